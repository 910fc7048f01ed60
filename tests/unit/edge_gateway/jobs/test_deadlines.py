"""Jobs that may take only so long."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from edge_gateway.assets.asset import AssetKind, Manifest
from edge_gateway.assets.catalog import Catalog
from edge_gateway.database import Database
from edge_gateway.jobs.deadlines import Deadlines
from edge_gateway.jobs.dispatch import Dispatcher
from edge_gateway.jobs.events import Journal
from edge_gateway.jobs.job import Change, Job, JobOptions, JobState, check_timeout
from edge_gateway.jobs.lanes import Lanes
from edge_gateway.jobs.sqlite import SqliteJobs
from shared.errors import InvalidInputError, LimitExceededError
from shared.media.probe import MediaInfo, MediaKind

MEDIA = MediaInfo(kind=MediaKind.VIDEO, container="mp4", duration_seconds=1.0)
NOW_US = 1_700_000_000_000_000


class Clock:
    us = NOW_US

    def __call__(self) -> int:
        return self.us


class Work:
    """Work that goes on until it is stopped."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.running: set[str] = set()
        self.begun = asyncio.Event()

    async def __call__(self, job: Job) -> Change:
        await self.journal.record(job.job_id, change=Change(state=JobState.PREPARING))
        self.running.add(job.job_id)
        self.begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.running.discard(job.job_id)
        raise AssertionError


@pytest.fixture
async def job(catalog: Catalog) -> Job:
    asset = await catalog.announce(Manifest(size_bytes=1, digests=(b"d" * 32,), display_name="v"), 1)
    await catalog.complete(asset.asset_id, AssetKind.VIDEO, MEDIA)
    return Job(
        job_id="job-" + "0" * 20,
        state=JobState.QUEUED,
        video_asset_id=asset.asset_id,
        speech_asset_id=asset.asset_id,
        options=JobOptions(timeout_s=1.5),
        created_us=NOW_US,
        updated_us=NOW_US,
    )


class Bench:
    def __init__(self, database: Database, root: Path) -> None:
        self.clock = Clock()
        self.jobs = SqliteJobs(database, self.clock)
        self.journal = Journal(self.jobs)
        self.work = Work(self.journal)
        self.dispatcher = Dispatcher(self.jobs, self.journal, self.work, root, lane=partial(Lanes(1).join, lambda: 0))
        self.deadlines = Deadlines(self.jobs, self.dispatcher.fail, self.clock)

    async def ended(self, job_id: str) -> Job:
        with self.journal.watch() as watch:
            watch.follow(job_id, 0)
            async with asyncio.timeout(10):
                while not watch.is_over:
                    watch.news.clear()
                    async for _ in watch.read():
                        pass
                    if not watch.is_over:
                        await watch.news.wait()
        job = await self.jobs.find(job_id)
        assert job is not None
        return job


@asynccontextmanager
async def running(bench: Bench) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(bench.dispatcher.run()), asyncio.create_task(bench.deadlines.run())]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def test_a_running_job_is_stopped_and_fails_when_its_time_is_over(
    database: Database, job: Job, tmp_path: Path
) -> None:
    bench = Bench(database, tmp_path)
    async with running(bench):
        await bench.jobs.add(job, "", 9)
        bench.deadlines.add(job)
        bench.dispatcher.wake()
        await bench.work.begun.wait()
        assert bench.work.running
        bench.clock.us += 1_500_000
        bench.deadlines.add(replace(job, job_id="job-" + "1" * 20))  # another's news let it look at the clock
        ended = await bench.ended(job.job_id)
    assert ended.state is JobState.FAILED
    assert ended.error is not None
    assert (ended.error.reason, ended.error.field) == ("deadline_exceeded", "timeout")
    assert "1.5 s" in ended.error.message
    assert not bench.work.running


async def test_time_goes_on_while_the_edge_is_down(database: Database, job: Job, tmp_path: Path) -> None:
    bench = Bench(database, tmp_path)
    await bench.jobs.add(job, "", 9)
    bench.clock.us += 3_600_000_000
    async with running(bench):
        ended = await bench.ended(job.job_id)
    assert ended.error is not None
    assert ended.error.reason == "deadline_exceeded"


async def test_a_job_that_has_ended_stays_as_it_is(database: Database, job: Job, tmp_path: Path) -> None:
    bench = Bench(database, tmp_path)
    await bench.jobs.add(job, "", 9)
    bench.deadlines.add(job)
    await bench.journal.record(job.job_id, change=Change(state=JobState.CANCELLED))
    other = replace(job, job_id="job-" + "1" * 20, created_us=NOW_US + 1)
    await bench.jobs.add(other, "", 9)
    bench.deadlines.add(other)
    bench.clock.us += 2_000_000
    async with running(bench):
        await bench.ended(other.job_id)
    kept = await bench.jobs.find(job.job_id)
    assert kept is not None
    assert kept.state is JobState.CANCELLED


def test_what_is_no_time_is_refused() -> None:
    for wrong in (-1.0, float("nan")):
        with pytest.raises(InvalidInputError) as refused:
            check_timeout(wrong)
        assert refused.value.field == "timeout"
    with pytest.raises(LimitExceededError) as too_long:
        check_timeout(1e9)
    assert too_long.value.limit == "timeout"
