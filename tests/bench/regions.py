"""What is lost when a region goes: two edges and two nodes, 40 ms apart, in namespaces of their own (root).

    python -m tests.bench.regions

The client stands in the first region, 2 ms from its edge; every link carries 20 Mbit/s. An upload of 20 MiB is cut off
from its edge in the middle, an edge is killed in the middle of a job, and a node is cut off. Seconds lost are those
beyond the same command undisturbed, which goes to the same edge that the other ends at, with the same bytes to send.
"""

import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.wan.regions import (
    CLIP,
    RATE_MBIT,
    SPEECH,
    Done,
    Once,
    Regions,
    half_uploaded,
    large_clip,
    renders,
    run,
    two_regions,
)

_RUNS = 3


def main() -> None:
    """Print the table."""
    print("| what goes | undisturbed | disturbed | sent again | seconds lost | of which for bytes again |")
    print("|---|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        _show("edge cut off, in an upload of 20 MiB", lambda at: _upload(at, Path(folder)))
        _show("edge killed, in a job", _job)
        _show("node cut off, in a job", _node)


def _show(what: str, measure: Callable[[Regions], tuple[Done, Done]]) -> None:
    pairs = []
    for _ in range(_RUNS):
        with two_regions() as regions:  # fresh ones: what an edge has seen is not sent again
            pairs.append(measure(regions))
    even, odd = (statistics.median(pair[at].seconds for pair in pairs) for at in (0, 1))
    again = statistics.median(pair[1].again_bytes for pair in pairs)
    resend_s = 8 * again / (RATE_MBIT * 1e6)
    lost = statistics.median(pair[1].seconds - pair[0].seconds for pair in pairs)
    print(f"| {what} | {even:.1f} s | {odd:.1f} s | {again / 1e6:.1f} MB | {lost:.1f} | {resend_s:.1f} |", flush=True)


def _upload(regions: Regions, folder: Path) -> tuple[Done, Done]:
    even = run(regions, large_clip(folder / "even.mp4"), SPEECH)
    return even, run(regions, large_clip(folder / "odd.mp4"), SPEECH, during=Once(half_uploaded, regions.near.cut))


def _job(regions: Regions) -> tuple[Done, Done]:
    even = run(regions, CLIP, SPEECH, "--fit", "loop")
    kill = Once(renders, lambda: regions.stack.kill("edge"))
    odd = run(regions, CLIP, SPEECH, "--fit", "loop", during=kill)
    if odd.digest != even.digest:
        raise RuntimeError("the results differ")
    return even, odd


def _node(regions: Regions) -> tuple[Done, Done]:
    even = run(regions, CLIP, SPEECH, "--fit", "loop")
    odd = run(regions, CLIP, SPEECH, "--fit", "loop", during=Once(renders, regions.home.cut))
    if odd.digest != even.digest:
        raise RuntimeError("the results differ")
    return even, odd


if __name__ == "__main__":
    main()
