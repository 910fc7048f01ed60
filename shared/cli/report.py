"""The waterfall at the end of a run: where the time went, and what crossed the WAN."""

from typing import Any, Final

from shared.sdk.model import JobReport, Stage

STAGES: Final = tuple(stage for stage in Stage if stage is not Stage.UNKNOWN)
"""In the order in which a frame meets them."""

_BAR_COLUMNS: Final = 32
_SHORT: Final = 0.005


def report_json(report: JobReport, *, total_seconds: float, first_preview_s: float | None = None) -> dict[str, Any]:
    """The report as ``--report`` writes it.

    Args:
        report: What the edge and this client measured.
        total_seconds: The whole run on the wall clock, from the first byte sent to the last byte written.
        first_preview_s: From the first byte sent to the first fragment of the preview; None where nobody watched.
    """
    stages = {str(stage): round(report.stages.get(stage, 0.0), 3) for stage in STAGES}
    watched = {} if first_preview_s is None else {"first_preview_s": round(first_preview_s, 3)}
    return {
        "job_id": report.job_id,
        "frames": report.frames,
        "fps": report.frame_rate,
        "segments": report.segments,
        "stages": {**stages, "total": round(total_seconds, 3)},
        "wan": {"up_bytes": report.wan_up_bytes, "down_bytes": report.wan_down_bytes},
        "engine": report.engine,
        "link_profile": report.link_profile,
        **watched,
    }


def waterfall(report: dict[str, Any], *, untouched_frames: int = 0, plain: bool = False) -> list[str]:
    """The same for people: a table with bars, a line each.

    Args:
        report: From ``report_json``.
        untouched_frames: Frames that passed through since no face was found in them.
        plain: ASCII alone.
    """
    stages: dict[str, float] = report["stages"]
    total = stages["total"]
    # A stage may be at work on several segments at once, and so for longer than the wall clock shows.
    longest = max([*stages.values(), 1e-9])
    lines = [f"{'stage':<10} {'at work':>9}"]
    for name, seconds in stages.items():
        share = "" if name == "total" or total <= 0 else f"{100 * seconds / total:>4.0f} %"
        bar = _bar(seconds / longest, plain=plain)
        lines.append(f"{name:<10} {seconds:>7.2f} s  {bar:<{_BAR_COLUMNS}} {share}".rstrip())
    frames, fps = report["frames"], report["fps"]
    up, down = report["wan"]["up_bytes"], report["wan"]["down_bytes"]
    speed = f", {frames / total:.1f} frames/s" if total > 0 else ""
    lines.append("stages overlap; total is wall time")
    lines.append(f"{frames} frames at {fps:g} a second in {report['segments']} segments by {report['engine']}{speed}")
    profile = f", profile {report['link_profile']}" if report.get("link_profile") else ""
    crossed = f"{_size(up)} up, {_size(down)} down{_per_minute(frames, fps, up, down)}"
    lines.append(f"between edge and node: {crossed}{profile}")
    if untouched_frames:
        lines.append(f"{untouched_frames} frames without a face passed through untouched")
    return lines


def _bar(share: float, *, plain: bool) -> str:
    if plain:
        return "#" * round(share * _BAR_COLUMNS)
    eighths = round(share * _BAR_COLUMNS * 8)
    if not eighths and share > _SHORT:
        eighths = 1
    return "█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8].strip()


def _size(count: int) -> str:
    if count < 1000:
        return f"{count} B"
    if count < 1_000_000:
        return f"{count / 1000:.1f} kB"
    return f"{count / 1_000_000:.2f} MB"


def _per_minute(frames: int, fps: float, up: int, down: int) -> str:
    if not frames or not fps:
        return ""
    minutes = frames / fps / 60
    return f" ({up / minutes / 1e6:.2f} and {down / minutes / 1e6:.2f} MB a minute)"
