"""The end of a run: where the time went, what crossed the WAN, and how good the result is."""

import dataclasses
from typing import Any, Final

from shared.sdk.model import LOW_SCORE, JobReport, Stage, Unscored, UntouchedReason

STAGES: Final = tuple(stage for stage in Stage if stage is not Stage.UNKNOWN)
"""In the order in which a frame meets them."""

_BAR_COLUMNS: Final = 32
_SHORT: Final = 0.005
_STRETCHES: Final = 10
_UNSCORED: Final = {
    Unscored.TOO_SHORT: "none; lips were painted for less than two seconds",
    Unscored.NO_SPEECH: "none; WARNING: no speech was heard, so the lips stay closed",
    Unscored.NOT_MEASURED: "none; the node did not say how the lips move",
    Unscored.UNKNOWN: "none",
}
_UNTOUCHED: Final = {
    UntouchedReason.NO_FACE: "no face",
    UntouchedReason.HIDDEN: "mouth covered, or face not to be made out",
    UntouchedReason.TURNED_AWAY: "turned away too far",
    UntouchedReason.TOO_SMALL: "face too small",
    UntouchedReason.UNKNOWN: "for a reason that this version does not know",
}


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
        "sync": None if report.sync is None else dataclasses.asdict(report.sync),
        "unscored": report.unscored,
        "untouched_frames": report.untouched_frames,
        "untouched": [dataclasses.asdict(stretch) for stretch in report.untouched],
        "untouched_left_out": report.untouched_left_out,
        **watched,
    }


def waterfall(report: dict[str, Any], *, plain: bool = False) -> list[str]:
    """The same for people: a table with bars, a line each.

    Args:
        report: From ``report_json``.
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
    return [*lines, *_result_lines(report)]


def sync_words(score: int, lag_ms: int | None) -> str:
    """A sync score in a few words."""
    if lag_ms is None:
        return f"{score} of 100"
    late = f"lips {abs(lag_ms)} ms {'late' if lag_ms > 0 else 'early'}" if lag_ms else "lips in time"
    return f"{score} of 100, {late}"


def _result_lines(report: dict[str, Any]) -> list[str]:
    """How good the result is."""
    lines = []
    if (sync := report.get("sync")) is not None:
        words = sync_words(sync["score"], sync["lag_ms"])
        low = "; WARNING: the lips hardly follow the speech" if sync["score"] < LOW_SCORE else ""
        lines.append(f"sync score: {words}{low}")
    elif (unscored := report.get("unscored")) is not None:
        lines.append(f"sync score: {_UNSCORED[Unscored(unscored)]}")
    if report.get("untouched_frames"):
        lines.append(f"{report['untouched_frames']} frames passed through untouched")
    stretches = report.get("untouched", [])
    for stretch in stretches[:_STRETCHES]:
        times = f"{stretch['start_seconds']:.2f} to {stretch['end_seconds']:.2f} s"
        lines.append(f"  {times}: {_UNTOUCHED[UntouchedReason(stretch['reason'])]}")
    if more := len(stretches[_STRETCHES:]) + report.get("untouched_left_out", 0):
        lines.append(f"  and {more} more stretches")
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
