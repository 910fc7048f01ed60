"""A result and its job's success: both or neither, wherever a cancel, a full disk or a crash comes in between."""

import asyncio
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest

from edge_gateway.assets.asset import AssetKind, AssetLimits, Manifest
from edge_gateway.assets.catalog import Catalog
from edge_gateway.assets.finished import FinishedFiles
from edge_gateway.assets.service import AssetService
from edge_gateway.assets.store import AssetStore
from edge_gateway.database import Database
from edge_gateway.jobs.dispatch import Dispatcher
from edge_gateway.jobs.events import Journal
from edge_gateway.jobs.job import Change, Event, EventBody, Job, JobOptions, JobReport, JobState
from edge_gateway.jobs.lanes import Lanes
from edge_gateway.jobs.results import Results
from edge_gateway.jobs.service import JobService
from edge_gateway.jobs.sqlite import SqliteJobs
from shared.errors import DiskFullError
from shared.media.limits import MediaLimits
from shared.media.probe import MediaInfo, MediaKind

MEDIA = MediaInfo(kind=MediaKind.VIDEO, container="mp4", duration_seconds=2.0, audio_codec="aac")
LIMITS = AssetLimits(asset_bytes=1 << 20, manifest_chunks=9, piece_bytes=1 << 20, buffer_bytes=1 << 20, idle_s=9)
REPORT = JobReport(
    frames=1, frame_rate=25, segments=1, total_s=1, up_bytes=0, down_bytes=0, engine="", untouched_frames=0
)


class Gate:
    """A place where the work waits until it may go on."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.open = asyncio.Event()

    async def __call__(self) -> None:
        self.reached.set()
        await self.open.wait()


class Log(SqliteJobs):
    """Events that can be held up, or refused for want of room, when a job succeeds."""

    before: Gate | None = None
    full: list[Gate]

    async def record(
        self, job_id: str, bodies: Sequence[EventBody], change: Change | None = None
    ) -> tuple[Job, list[Event]]:
        if change is None or change.state is not JobState.SUCCEEDED:
            return await super().record(job_id, bodies, change)
        if self.full:
            await self.full.pop(0)()
            raise DiskFullError("no room")
        if self.before is not None:
            await self.before()
        return await super().record(job_id, bodies, change)


class Stopping(Dispatcher):
    """Tells when the work on a job is being stopped."""

    stopping: asyncio.Event

    async def stop(self, job_id: str) -> None:
        self.stopping.set()
        await super().stop(job_id)


class Edge:
    """The parts between a finished file and a job that has succeeded."""

    def __init__(self, database: Database, catalog: Catalog, store: AssetStore, root: Path) -> None:
        self.catalog, self.store, self.root = catalog, store, root
        self.log = Log(database)
        self.log.full = []
        self.probing: Gate | None = None
        self.journal = Journal(self.log)
        self.assets = AssetService(store, catalog, self.probe, LIMITS)
        self.files = FinishedFiles(store, self.probe)
        self.results = Results(self.files, self.journal, disk_pause_s=3600)
        self.dispatcher = Stopping(
            self.log, self.journal, self.work, root / "jobs", lane=partial(Lanes(1).join, lambda: 0)
        )
        self.dispatcher.stopping = asyncio.Event()
        self.service = JobService(
            self.log,
            self.journal,
            self.assets,
            self.dispatcher,
            limits=MediaLimits(),
            queue_limit=9,
            engines=frozenset,
        )

    async def probe(self, path: Path, field: str) -> MediaInfo:
        if self.probing is not None:
            await self.probing()
        return MEDIA

    async def work(self, job: Job) -> Change:
        folder = self.dispatcher.folder(job.job_id)
        folder.mkdir(parents=True)
        path = folder / "result.mp4"
        path.write_bytes(b"the result")
        for state in (JobState.PREPARING, JobState.RENDERING, JobState.FINISHING):
            await self.journal.record(job.job_id, change=Change(state=state))
        return await self.results.hand_over(job.job_id, path, "out.mp4", REPORT)

    async def submit(self) -> str:
        ids = []
        for name in ("video", "speech"):
            manifest = Manifest(size_bytes=1, digests=(name.encode().ljust(32),), display_name=name)
            asset = await self.catalog.announce(manifest, 1)
            await self.catalog.complete(asset.asset_id, AssetKind.VIDEO, MEDIA)
            ids.append(asset.asset_id)
        job, _ = await self.service.submit(video=ids[0], speech=ids[1], options=JobOptions(), key="")
        return job.job_id

    async def kept(self) -> list[str]:
        """The results that are there, in the catalog and on disk."""
        rows = await self.catalog.page(count=9, before=None, kind=AssetKind.RESULT)
        ids = sorted(row.asset_id for row in rows)
        folders = self.root / "assets"
        assert ids == sorted(path.name for path in folders.iterdir()) if folders.is_dir() else not ids
        return ids


@pytest.fixture
def edge(database: Database, catalog: Catalog, store: AssetStore, tmp_path: Path) -> Edge:
    return Edge(database, catalog, store, tmp_path)


async def cancelled_at(edge: Edge, gate: Gate) -> Job:
    """Cancel a job while it waits at a gate, which opens once nothing but the gate holds the cancel up."""
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(edge.dispatcher.run())
        job_id = await edge.submit()
        await gate.reached.wait()
        cancelling = tasks.create_task(edge.service.cancel(job_id))
        await edge.dispatcher.stopping.wait()
        gate.open.set()
        job = await cancelling
        running.cancel()
    assert not edge.dispatcher.folder(job.job_id).exists()
    return job


async def test_a_job_cancelled_before_its_result_is_an_asset_leaves_none(edge: Edge) -> None:
    edge.probing = Gate()
    job = await cancelled_at(edge, edge.probing)
    assert job.state is JobState.CANCELLED
    assert await edge.kept() == []


async def test_a_job_cancelled_while_its_success_is_written_down_has_succeeded(edge: Edge) -> None:
    edge.log.before = Gate()
    job = await cancelled_at(edge, edge.log.before)
    assert job.state is JobState.SUCCEEDED
    assert await edge.kept() == [job.result_asset_id]


async def test_a_job_cancelled_while_the_disk_is_full_leaves_none(edge: Edge) -> None:
    gate = Gate()
    edge.log.full.append(gate)
    job = await cancelled_at(edge, gate)
    assert job.state is JobState.CANCELLED
    assert await edge.kept() == []


async def succeeded(edge: Edge) -> Job:
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(edge.dispatcher.run())
        job_id = await edge.submit()
        with edge.journal.watch() as watch:
            watch.follow(job_id, 0)
            while not watch.is_over:
                await watch.news.wait()
                watch.news.clear()
                async for _ in watch.read():
                    pass
        running.cancel()
    return await edge.service.get(job_id)


async def test_a_job_succeeds_once_the_disk_has_room(edge: Edge) -> None:
    gate = Gate()
    gate.open.set()
    edge.log.full.append(gate)
    edge.results = Results(edge.files, edge.journal, disk_pause_s=0)
    job = await succeeded(edge)
    assert job.state is JobState.SUCCEEDED
    assert await edge.kept() == [job.result_asset_id]


@pytest.mark.parametrize("moved", [False, True])
async def test_what_a_crash_left_in_between_is_dropped_at_the_next_start(
    edge: Edge, tmp_path: Path, moved: bool
) -> None:
    path = tmp_path / "result.mp4"
    path.write_bytes(b"the result")
    file = await edge.files.look(path, "out.mp4")
    if moved:
        await edge.files.keep(file)
    else:
        await edge.catalog.announce(file.manifest, 1, AssetKind.RESULT)
    await edge.files.drop_unowned()
    assert await edge.kept() == []


async def test_results_of_jobs_and_what_jobs_work_with_stay(edge: Edge) -> None:
    first = await succeeded(edge)
    kept = await edge.kept()
    await edge.service.submit(video=kept[0], speech=kept[0], options=JobOptions(), key="")
    await edge.service.delete(first.job_id)
    await edge.files.drop_unowned()
    assert await edge.kept() == kept == [first.result_asset_id]
