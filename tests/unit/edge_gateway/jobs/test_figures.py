"""Where a job's time goes, and how the edge stands."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from edge_gateway.assets.asset import Asset
from edge_gateway.assets.growth import Growth, Source, Want
from edge_gateway.jobs.figures import Gauge, Where, where_of
from edge_gateway.jobs.job import Job, JobOptions, JobState, Stage
from edge_gateway.jobs.usage import Usage
from edge_gateway.jobs.work import Desk, Work

JOB = "job-" + "0" * 20
ASSET = Asset(number=1, asset_id="0" * 64, size_bytes=9, display_name="a", created_us=1, ready=False)


@dataclass(slots=True)
class FakeNode:
    is_up: bool = True
    round_trip_s: float | None = 0.2
    up_bits_s: float | None = 1e7


@dataclass(slots=True)
class World:
    """One job that is being done."""

    desk: Desk = field(default_factory=Desk)
    node: FakeNode = field(default_factory=FakeNode)
    told: list[int] = field(default_factory=list)
    growth: Growth = field(default_factory=lambda: Growth(ASSET.asset_id, 9))
    clock: list[float] = field(default_factory=lambda: [0.0])

    def work(self) -> Work:
        job = Job(
            job_id=JOB,
            state=JobState.RENDERING,
            video_asset_id=ASSET.asset_id,
            speech_asset_id=ASSET.asset_id,
            options=JobOptions(),
            created_us=1,
            updated_us=1,
        )
        nothing: Any = None
        video, speech = Source(ASSET, Path("v"), self.growth), Source(ASSET, Path("s"))
        return Work(
            job=job,
            video=video,
            speeches=(speech,),
            background=None,
            sound=nothing,
            files=nothing,
            board=nothing,
            reel=nothing,
            usage=Usage(lambda: self.clock[0]),
        )

    def gauge(self, awaiting: tuple[str, ...] = ()) -> Gauge:
        async def counts() -> Mapping[JobState, int]:
            return {JobState.QUEUED: 3, JobState.RENDERING: 1, JobState.PREPARING: 1, JobState.FAILED: 7}

        return Gauge(self.desk, self.node, counts, lambda: self.told.append(1), lambda: awaiting)


async def test_a_job_waits_for_what_stands_still() -> None:
    world = World()
    work = world.work()
    usage = work.usage
    assert where_of(work, node_up=True) is Where.EDGE
    assert where_of(work, node_up=False) is Where.LINK
    usage.owed.add(("voice", 3))
    assert where_of(work, node_up=True) is Where.GPU
    with usage.at_work(Stage.SEND):
        assert where_of(work, node_up=True) is Where.LINK
    usage.arriving.add("voice")
    assert where_of(work, node_up=True) is Where.LINK
    usage.arriving.clear()
    world.growth._wants[Want(first=0, count=1)] = 0.0
    assert where_of(work, node_up=True) is Where.CONNECTION


async def test_what_was_seen_most_often_is_told_and_then_counted_anew() -> None:
    world = World()
    gauge, work = world.gauge(), world.work()
    with world.desk.at(work):
        gauge.look()
        work.usage.owed.add(("voice", 1))
        gauge.look()
        gauge.look()
        work.usage.owed.clear()
        await gauge.tell()
        assert gauge.last is not None
        assert gauge.last.jobs[JOB].where is Where.GPU
        gauge.look()
        await gauge.tell()
        assert gauge.last.jobs[JOB].where is Where.EDGE
    await gauge.tell()
    assert gauge.last.jobs == {}
    assert world.told == [1, 1, 1]


async def test_the_edge_tells_its_load_its_link_and_the_stages_so_far() -> None:
    world = World()
    work = world.work()
    with work.usage.at_work(Stage.PREPARE):
        world.clock[0] = 2.5
    with world.desk.at(work):
        figures = await world.gauge(("job-waits",)).now()
    assert (figures.running, figures.queued) == (2, 3)
    assert (figures.node_up, figures.round_trip_s, figures.up_bits_s) == (True, 0.2, 1e7)
    assert figures.jobs[JOB].stages[Stage.PREPARE] == pytest.approx(2.5)
    assert figures.jobs["job-waits"].where is Where.CONNECTION
