"""Jobs that wait for an upload leave their place to others, and take it again when bytes come."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from edge_gateway.assets.asset import AssetKind, Manifest
from edge_gateway.assets.catalog import Catalog
from edge_gateway.assets.growth import Growth, Source, Want
from edge_gateway.database import Database
from edge_gateway.jobs.dispatch import Dispatcher
from edge_gateway.jobs.events import Journal
from edge_gateway.jobs.job import Change, Job, JobOptions, JobState, Notice
from edge_gateway.jobs.lanes import Lanes
from edge_gateway.jobs.sqlite import SqliteJobs
from edge_gateway.jobs.stall import StalledError
from shared.errors import DiskFullError, InvalidMediaError
from shared.media.probe import MediaInfo, MediaKind

MEDIA = MediaInfo(kind=MediaKind.VIDEO, container="mp4", duration_seconds=1.0)


class Upload:
    """A video that is being uploaded, and jobs on it that can do nothing before it comes."""

    def __init__(self, source: Source) -> None:
        assert source.growth is not None
        self.growth: Growth = source.growth
        self.begun: list[str] = []
        self._source = source
        self._journal: Journal | None = None

    def on(self, journal: Journal) -> "Upload":
        self._journal = journal
        return self

    async def __call__(self, job: Job) -> Change:
        assert self._journal is not None
        self.begun.append(job.job_id)
        await self._journal.record(job.job_id, change=Change(state=JobState.PREPARING))
        if job.options.engine == "needs-it" and not self.growth.is_ready:
            raise StalledError([("video", self._source, Want(first=0, count=1))])
        for state in (JobState.RENDERING, JobState.FINISHING, JobState.SUCCEEDED):
            await self._journal.record(job.job_id, change=Change(state=state))
        return Change(state=JobState.SUCCEEDED)


@pytest.fixture
def jobs(database: Database) -> SqliteJobs:
    return SqliteJobs(database)


@pytest.fixture
async def job(catalog: Catalog) -> Job:
    asset = await catalog.announce(Manifest(size_bytes=3_000_000, digests=(b"d" * 32,) * 3, display_name="v"), 1)
    return Job(
        job_id="job-" + "0" * 20,
        state=JobState.QUEUED,
        video_asset_id=asset.asset_id,
        speech_asset_id=asset.asset_id,
        options=JobOptions(engine="needs-it"),
        created_us=1,
        updated_us=1,
    )


@pytest.fixture
async def upload(catalog: Catalog, job: Job) -> Upload:
    asset = await catalog.find(job.video_asset_id)
    assert asset is not None
    return Upload(Source(asset, Path("media"), Growth(asset.asset_id, asset.size_bytes)))


@asynccontextmanager
async def running(jobs: SqliteJobs, journal: Journal, upload: Upload, root: Path) -> AsyncIterator[Dispatcher]:
    dispatcher = Dispatcher(jobs, journal, upload.on(journal), root, lane=partial(Lanes(1).join, lambda: 0))
    task = asyncio.create_task(dispatcher.run())
    try:
        yield dispatcher
    finally:
        task.cancel()
        await asyncio.wait({task})


async def until(journal: Journal, jobs: SqliteJobs, job_id: str, state: JobState, *, times: int = 1) -> Job:
    with journal.watch() as watch:
        watch.follow(job_id, 0)
        seen = 0
        while True:
            await watch.news.wait()
            watch.news.clear()
            async for event in watch.read():
                seen += getattr(getattr(event, "body", None), "state", None) is state
            if seen >= times:
                found = await jobs.find(job_id)
                assert found is not None
                return found


async def test_a_parked_job_lets_others_go_first_and_goes_on_when_bytes_come(
    jobs: SqliteJobs, job: Job, upload: Upload, tmp_path: Path
) -> None:
    other = replace(job, job_id="job-" + "1" * 20, options=JobOptions())
    journal = Journal(jobs)
    await jobs.add(job, "", 9)
    async with running(jobs, journal, upload, tmp_path) as dispatcher:
        await until(journal, jobs, job.job_id, JobState.QUEUED, times=2)
        await jobs.add(other, "", 9)
        dispatcher.wake()
        await until(journal, jobs, other.job_id, JobState.SUCCEEDED)
        assert upload.begun == [job.job_id, other.job_id]
        assert dispatcher.awaiting == {job.job_id}
        upload.growth.finish()
        await until(journal, jobs, job.job_id, JobState.SUCCEEDED)
        assert dispatcher.awaiting == set()
    told = [event.body.message for event in await jobs.events(job.job_id, 0, 99) if isinstance(event.body, Notice)]
    assert told == ["Waiting for the rest of the video: 0.0 of 3.0 MB are here."]


async def test_a_parked_job_can_be_stopped(jobs: SqliteJobs, job: Job, upload: Upload, tmp_path: Path) -> None:
    journal = Journal(jobs)
    await jobs.add(job, "", 9)
    async with running(jobs, journal, upload, tmp_path) as dispatcher:
        await until(journal, jobs, job.job_id, JobState.QUEUED, times=2)
        await dispatcher.stop(job.job_id)
        assert dispatcher.awaiting == set()
        await journal.record(job.job_id, change=Change(state=JobState.CANCELLED))
        upload.growth.finish()
        other = replace(job, job_id="job-" + "1" * 20)
        await jobs.add(other, "", 9)
        dispatcher.wake()
        await until(journal, jobs, other.job_id, JobState.SUCCEEDED)
    stopped = await jobs.find(job.job_id)
    assert stopped is not None
    assert stopped.state is JobState.CANCELLED


async def test_jobs_on_a_file_that_is_refused_end_with_its_error(
    jobs: SqliteJobs, job: Job, upload: Upload, catalog: Catalog, tmp_path: Path
) -> None:
    speech = await catalog.announce(Manifest(size_bytes=1, digests=(b"s" * 32,), display_name="s"), 1)
    await catalog.complete(speech.asset_id, AssetKind.AUDIO, MEDIA)
    journal = Journal(jobs)
    await jobs.add(replace(job, speech_asset_id=speech.asset_id), "", 9)
    async with running(jobs, journal, upload, tmp_path) as dispatcher:
        await until(journal, jobs, job.job_id, JobState.QUEUED, times=2)
        (tmp_path / job.job_id).mkdir()
        await dispatcher.lose(speech.asset_id, InvalidMediaError("the file is damaged", field="asset"))
        failed = await until(journal, jobs, job.job_id, JobState.FAILED)
    assert failed.error is not None
    assert (failed.error.reason, failed.error.field) == ("invalid_media", "speech")
    assert not (tmp_path / job.job_id).exists()


@pytest.mark.parametrize("begun", [True, False])
async def test_a_job_that_meets_a_full_disk_waits_and_goes_on(
    jobs: SqliteJobs, job: Job, tmp_path: Path, *, begun: bool
) -> None:
    journal, tries = Journal(jobs), 0

    async def work(job: Job) -> Change:
        nonlocal tries
        tries += 1
        if tries == 1 and begun:
            await journal.record(job.job_id, change=Change(state=JobState.PREPARING))
        if tries == 1:
            raise DiskFullError("no room for x; free some and try again", limit="disk")
        for state in (JobState.PREPARING, JobState.RENDERING, JobState.FINISHING, JobState.SUCCEEDED):
            await journal.record(job.job_id, change=Change(state=state))
        return Change(state=JobState.SUCCEEDED)

    await jobs.add(job, "", 9)
    task = asyncio.create_task(
        Dispatcher(jobs, journal, work, tmp_path, lane=partial(Lanes(1).join, lambda: 0), disk_patience_s=0.1).run()
    )
    await until(journal, jobs, job.job_id, JobState.SUCCEEDED)
    task.cancel()
    await asyncio.wait({task})
    told = [event.body for event in await jobs.events(job.job_id, 0, 99)]
    assert [body.reason for body in told if isinstance(body, Notice)] == ["disk_full"]
    assert tries == 2
