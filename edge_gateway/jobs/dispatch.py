"""Which jobs run: a bounded number at once, in the order in which they came; taken up again after a restart.

A job that can do nothing until more of an upload comes, or until the disk has room, is parked: it goes back to the
queue, and is passed over there until that is so.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from pathlib import Path

from edge_gateway.disk import remove_tree
from edge_gateway.jobs.disk_wait import DiskWait
from edge_gateway.jobs.events import Journal
from edge_gateway.jobs.job import UNFINISHED, Change, Job, JobError, JobState, Notice
from edge_gateway.jobs.lanes import Lane
from edge_gateway.jobs.repository import JobRepository
from edge_gateway.jobs.stall import StalledError
from shared.errors import ConflictError, DiskFullError, NotFoundError, VisemeError
from shared.telemetry import tracing
from shared.telemetry.logging import get_logger, of_job

_LOG = get_logger(__name__)

_DISK_PAUSE_S = 5.0


class Dispatcher:
    """Runs jobs.

    Args:
        repository: Where jobs are written down.
        journal: Where their ends go.
        work: Does one job and writes down that it has succeeded; gives how it ended.
        root: The directory of their files.
        lane: What this tenant has of the jobs that may run at once.
        disk_patience_s: Seconds that a job waits for room on the disk before it fails.
    """

    def __init__(
        self,
        repository: JobRepository,
        journal: Journal,
        work: Callable[[Job], Awaitable[Change]],
        root: Path,
        *,
        lane: Callable[[Callable[[], None]], Lane],
        disk_patience_s: float = 600.0,
    ) -> None:
        self._repository = repository
        self._journal = journal
        self._work = work
        self._root = root
        self._disk = DiskWait(root, disk_patience_s)
        self._running: dict[str, asyncio.Task[None]] = {}
        self._parked: dict[str, asyncio.Task[None]] = {}
        self._news = asyncio.Event()
        self._lane = lane(self.wake)
        self._held: frozenset[str] = frozenset()
        self._stalled: set[str] = set()

    def folder(self, job_id: str) -> Path:
        """Where a job's files lie."""
        return self._root / job_id

    @property
    def awaiting(self) -> frozenset[str]:
        """Jobs in the queue that can do nothing before more of an upload has come."""
        return self._held | self._stalled

    def wake(self) -> None:
        """There is a new job, or room for one."""
        self._news.set()

    async def stop(self, job_id: str) -> None:
        """Stop the work on a job and wait until nothing of it runs; nothing happens when none does."""
        for tasks in (self._running, self._parked):
            task = tasks.get(job_id)
            if task is not None:
                task.cancel()
                await asyncio.wait({task})

    def clear(self, job_id: str) -> None:
        """Remove the files of a job that is over."""
        self._disk.forget(job_id)
        remove_tree(self.folder(job_id))

    async def run(self) -> None:
        """Run jobs until cancelled; what runs then is left to be taken up again."""
        await self._take_up()
        async with asyncio.TaskGroup() as tasks:
            while True:
                self._news.clear()
                queued = await self._repository.in_states([JobState.QUEUED])
                self._held = frozenset(job.job_id for job in queued if job.awaited)
                for job in queued:
                    if job.awaited or job.job_id in self._running or job.job_id in self._parked:
                        continue
                    if not self._lane.take():
                        break
                    task = tasks.create_task(self._run(job, tasks))
                    self._running[job.job_id] = task
                    task.add_done_callback(partial(self._ended, self._running, job.job_id))
                else:
                    self._lane.rest()
                await self._news.wait()

    async def _take_up(self) -> None:
        """Drop files that belong to no job, and put jobs back to the queue that were running when the edge ended."""
        unfinished = await self._repository.in_states(UNFINISHED)
        alive = {job.job_id for job in unfinished}
        if self._root.is_dir():
            for folder in self._root.iterdir():
                if folder.name not in alive:
                    await asyncio.to_thread(remove_tree, folder)
        for job in unfinished:
            if job.state is not JobState.QUEUED:
                _LOG.info("job goes on", job_id=job.job_id, was=job.state.value)
                await self._write_down(job.job_id, Change(state=JobState.QUEUED))

    async def lose(self, asset_id: str, error: VisemeError) -> None:
        """Fail every unfinished job that needs an asset which will never be complete."""
        for job in await self._repository.in_states(UNFINISHED):
            field = next((name for name, wanted in job.assets if wanted == asset_id), None)
            if field is not None:
                told = JobError(reason=error.reason, field=field, message=error.message, limit=error.limit)
                await self.fail(job.job_id, told)

    async def fail(self, job_id: str, error: JobError) -> None:
        """Stop a job, wherever it is at work, and let it fail; one that has ended stays as it is."""
        await self.stop(job_id)
        await self._end(job_id, Change(state=JobState.FAILED, error=error))
        # It may have begun in between.
        await self.stop(job_id)
        await asyncio.to_thread(self.clear, job_id)

    def _ended(self, tasks: dict[str, asyncio.Task[None]], job_id: str, task: asyncio.Task[None]) -> None:
        tasks.pop(job_id, None)
        if tasks is self._running:
            self._lane.give()
        if tasks is self._parked:
            self._stalled.discard(job_id)
        # Whoever stops a parked job is about to end it.
        if tasks is self._running or not task.cancelled():
            self.wake()

    async def _park(
        self, job_id: str, notice: Notice, wait: Callable[[], Coroutine[None, None, None]], tasks: asyncio.TaskGroup
    ) -> None:
        """Put a job back to the queue, to be passed over there until what it waits for is so."""
        _LOG.info("job parked", job_id=job_id, waits=notice.message)
        job = await self._repository.find(job_id)
        is_queued = job is not None and job.state is JobState.QUEUED
        await self._write_down(job_id, None if is_queued else Change(state=JobState.QUEUED), notice)
        task = self._parked[job_id] = tasks.create_task(wait())
        task.add_done_callback(partial(self._ended, self._parked, job_id))

    async def _run(self, job: Job, tasks: asyncio.TaskGroup) -> None:
        with of_job(job.job_id), tracing.span("job", parent=job.trace, job_id=job.job_id):
            await self._do(job, tasks)

    async def _do(self, job: Job, tasks: asyncio.TaskGroup) -> None:
        try:
            change = await self._work(job)
        except StalledError as stall:
            self._stalled.add(job.job_id)
            await self._park(job.job_id, stall.notice, stall.until_more, tasks)
            return
        except DiskFullError as error:
            try:
                notice = self._disk.begin(job.job_id, error)
            except DiskFullError as last:
                change = _failed_by(job.job_id, last)
            else:
                await self._park(job.job_id, notice, partial(self._disk.until_room, job.job_id), tasks)
                return
        except VisemeError as error:
            change = _failed_by(job.job_id, error)
        except Exception:  # noqa: BLE001 - the last boundary: a fault in one job must not end the others
            _LOG.exception("job failed unexpectedly", job_id=job.job_id)
            change = _failed("internal", "", f"a fault of ours; the edge's log has it under {job.job_id}")
        await self._end(job.job_id, change)

    async def _end(self, job_id: str, change: Change) -> None:
        if change.state is JobState.FAILED:
            # Before it is written down: where the disk is full this makes room for that.
            await asyncio.to_thread(self.clear, job_id)
            await self._write_down(job_id, change)
        await asyncio.to_thread(self.clear, job_id)
        _LOG.info("job ended", job_id=job_id, state=change.state.value)

    async def _write_down(self, job_id: str, change: Change | None, *notices: Notice) -> None:
        while True:
            try:
                await self._journal.record(job_id, *notices, change=change)
            except DiskFullError:
                _LOG.error("the disk is full; a job cannot be written down yet", job_id=job_id)
                await asyncio.sleep(_DISK_PAUSE_S)
            except (ConflictError, NotFoundError) as error:
                _LOG.info("job had ended otherwise", job_id=job_id, error=error.message)
                return
            else:
                return


def _failed_by(job_id: str, error: VisemeError) -> Change:
    _LOG.warning("job failed", job_id=job_id, reason=error.reason, field=error.field, error=error.message)
    return _failed(error.reason, error.field, error.message, error.limit)


def _failed(reason: str, field: str, message: str, limit: str = "") -> Change:
    return Change(state=JobState.FAILED, error=JobError(reason=reason, field=field, message=message, limit=limit))
