"""``viseme doctor``: where the time goes between here and the GPU, and what to do about it."""

import asyncio
import dataclasses
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from shared.cli.edges import named, shown_of
from shared.cli.places import Places
from shared.cli.state import find_edge
from shared.errors import EdgeUnavailableError
from shared.sdk.checkup import Checkup, check_up
from shared.sdk.forecast import Forecast, NodeWay, Wanted, wanted
from shared.sdk.length import seconds_of
from shared.sdk.probe import EdgeWay
from shared.sdk.source import check_file

_SHORT_S: Final = 0.05


async def doctor(edges: Sequence[str], files: Sequence[str], places: Places, *, as_json: bool) -> None:
    """Measure every edge, one after the other, and tell.

    Raises:
        EdgeUnavailableError: No edge was named and none runs here, or none answers.
        InvalidInputError: A file cannot be read, or an address is none.
    """
    job = await asyncio.to_thread(_job, [Path(name) for name in files])
    addresses = named(edges)
    if not addresses:
        found = await find_edge(places.state)
        if found is None:
            words = "no edge runs on this machine; name those to measure with --edge HOST:PORT"
            raise EdgeUnavailableError(words)
        addresses = [found]
    seen: list[Checkup] = []
    for address in addresses:
        # Side by side they would share what is measured.
        seen.append(await check_up(address, job, **shown_of(os.environ)))
        if as_json:
            print(json.dumps(as_plain(seen[-1])), flush=True)
        else:
            print("\n".join(lines(seen[-1], job)), flush=True)
    if len(seen) > 1 and not as_json:
        print("\n".join(comparison(seen)))
    if all(one.error is not None for one in seen):
        raise EdgeUnavailableError("none of the edges answers" if len(seen) > 1 else str(seen[0].error))


def _job(paths: Sequence[Path]) -> Wanted | None:
    """What the files would be asked of an edge: the first is the video or photo, the others are speeches."""
    for number, path in enumerate(paths):
        check_file(path, field="speech" if number else "video")
    if not paths:
        return None
    return wanted([path.stat().st_size for path in paths], [seconds_of(path) for path in paths])


def as_plain(checkup: Checkup) -> dict[str, Any]:
    """A checkup as one JSON object: seconds, bits a second, bytes."""
    told = dataclasses.asdict(dataclasses.replace(checkup, error=None))
    error = checkup.error
    told["error"] = None if error is None else {"reason": error.reason, "message": error.message}
    if checkup.forecast is not None:
        told["forecast"]["stages"] = {str(stage): s for stage, s in checkup.forecast.stages.items()}
    return told


def lines(checkup: Checkup, job: Wanted | None) -> list[str]:
    """A checkup for a person."""
    if checkup.error is not None or checkup.way is None or checkup.pace is None:
        return [f"edge at {checkup.address}", f"  does not answer: {checkup.error}"]
    where = f", region {checkup.region}" if checkup.region else ""
    told = [f"edge {checkup.name} at {checkup.address}{where} (viseme {checkup.version})", _way(checkup.way)]
    told += [_node(node) for node in checkup.nodes or ()]
    pace = checkup.pace
    source = f"the last {pace.jobs} jobs here" if pace.jobs else "assumed: no job has succeeded here yet"
    work = f"prepare {pace.prepare_s:.2f} s, infer {pace.infer_s:.2f} s, composite {pace.composite_s:.2f} s"
    told.append(f"  a second of video  {work} ({source})")
    if job is not None:
        told += _forecast(checkup.forecast, job)
    told += [f"  ! {f'{one.culprit}: ' if one.culprit else ''}{one.words}" for one in checkup.findings]
    return told if checkup.findings else [*told, "  nothing is slow"]


def _way(way: EdgeWay) -> str:
    ahead = f"clock {way.skew_s:+.3f} s (to within {way.skew_error_s:.3f} s)"
    trips = f"{_ms(way.round_trip_s)} there and back, jitter {_ms(way.jitter_s)}"
    rates = f"up {_bits(way.up_bits_s)}, down {_bits(way.down_bits_s)}"
    return f"  you to the edge    {trips}; {rates}; TLS {'yes' if way.is_encrypted else 'no'}; {ahead}"


def _node(node: NodeWay) -> str:
    if not node.is_up:
        return f"  edge to the GPU    the node at {node.address} does not answer"
    trip = "" if node.round_trip_s is None else f"{_ms(node.round_trip_s)} there and back, "
    rate = _bits(node.bits_s) if node.bits_s else "rate not measured"
    queue = f"{node.queued_segments} of {node.queue_limit} segments wait"
    return f"  edge to the GPU    {node.name} at {node.address}: {trip}{rate}; {queue}"


def _forecast(seen: Forecast | None, job: Wanted) -> list[str]:
    size = f"{job.upload_bytes / 1e6:.1f} MB to send, {job.length_s:.1f} s of result"
    if job.is_guessed:
        size += " (a guess: how long a file lasts cannot be told from its head)"
    if seen is None:
        return [f"  these files        {size}: not to be told while the way to the GPU is not known"]
    stages = ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in seen.stages.items() if seconds >= _SHORT_S)
    return [
        f"  these files        {size}: about {seen.total_s:.1f} s, most of it {seen.slowest} ({seen.slowest_s:.1f} s)",
        f"                     {stages}, distance {seen.distance_s:.1f} s; stages overlap",
        f"                     sending the whole files to the GPU: about {seen.whole_s:.1f} s",
    ]


def comparison(seen: Sequence[Checkup]) -> list[str]:
    """Which edge is best, from the best."""
    ranked = sorted(seen, key=_worth)
    told = ["", f"  {'edge':<34} {'round trip':>10} {'up':>14} {'down':>14} {'these files':>12}"]
    for one in ranked:
        if one.way is None:
            told.append(f"  {one.address:<34} does not answer")
            continue
        total = f"{one.forecast.total_s:.1f} s" if one.forecast else "-"
        rates = f"{_bits(one.way.up_bits_s):>14} {_bits(one.way.down_bits_s):>14}"
        told.append(f"  {one.address:<34} {_ms(one.way.round_trip_s):>10} {rates} {total:>12}")
    best = ranked[0]
    return told if best.way is None else [*told, f"best: --edge {best.address}"]


def _worth(one: Checkup) -> tuple[bool, bool, float, float]:
    if one.way is None:
        return True, True, 0.0, 0.0
    is_useless = one.nodes is not None and not any(node.is_up for node in one.nodes)
    return False, is_useless, one.forecast.total_s if one.forecast else 0.0, one.way.round_trip_s


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"


def _bits(rate: float) -> str:
    return f"{rate / 1e6:.1f} Mbit/s"
