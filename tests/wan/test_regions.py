"""A region goes away in the middle of an upload, of a job, or with its node alone: the other one takes it up."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.wan.regions import (
    CLIP,
    LARGE_BYTES,
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

pytestmark = pytest.mark.wan

LEAST_S = 60.0
"""Far more than is lost, far less than the 90 s after which an edge alone is given up."""


@pytest.fixture(scope="module")
def regions() -> Iterator[Regions]:
    with two_regions() as made:
        yield made


@pytest.fixture(scope="module")
def undisturbed(regions: Regions) -> Done:
    done = run(regions, CLIP, SPEECH, "--fit", "loop")
    assert done.edges == [regions.stack.edge]
    return done


def test_the_edge_of_the_region_is_taken_and_its_node(undisturbed: Done, regions: Regions) -> None:
    assert undisturbed.again_bytes == 0
    assert regions.home.counters().up.delivered_bytes > 10_000


def test_an_upload_whose_edge_is_cut_off_goes_on_at_the_other(regions: Regions, tmp_path: Path) -> None:
    cut = Once(half_uploaded, regions.near.cut)
    try:
        done = run(regions, large_clip(tmp_path / "large.mp4"), SPEECH, during=cut)
    finally:
        regions.near.restore()
    assert cut.at is not None
    assert done.edges == regions.stack.edges.split(",")
    assert LARGE_BYTES // 2 <= done.again_bytes < LARGE_BYTES
    assert done.seconds < LEAST_S


def test_a_job_whose_node_is_cut_off_goes_on_at_the_other_regions_node(regions: Regions, undisturbed: Done) -> None:
    cut = Once(renders, regions.home.cut)
    try:
        done = run(regions, CLIP, SPEECH, "--fit", "bounce", during=cut)
    finally:
        regions.home.restore()
    assert cut.at is not None
    assert done.edges == [regions.stack.edge]
    assert "node_changed" in done.reasons()
    assert done.seconds < LEAST_S + undisturbed.seconds


def test_a_job_whose_edge_is_killed_goes_on_at_the_other(regions: Regions, undisturbed: Done) -> None:
    kill = Once(renders, lambda: regions.stack.kill("edge"))
    try:
        done = run(regions, CLIP, SPEECH, "--fit", "loop", during=kill)
    finally:
        regions.stack.start("edge")
    assert kill.at is not None
    assert done.edges == regions.stack.edges.split(",")
    assert 0 < done.again_bytes <= CLIP.stat().st_size + SPEECH.stat().st_size
    assert done.digest == undisturbed.digest
    assert done.seconds < LEAST_S
