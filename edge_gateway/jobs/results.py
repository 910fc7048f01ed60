"""From a finished file to a job that has succeeded: both or neither, whatever is cut off in between."""

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from edge_gateway.assets.finished import FinishedFile, FinishedFiles
from edge_gateway.jobs.events import Journal
from edge_gateway.jobs.job import Change, JobReport, JobState
from shared.errors import DiskFullError, VisemeError
from shared.telemetry.logging import get_logger

T = TypeVar("T")

_LOG = get_logger(__name__)

_DISK_PAUSE_S = 5.0


class Results:
    """Hands results over.

    A job that is cancelled meanwhile is cancelled before its result becomes an asset, or has succeeded. What a power
    cut leaves behind in between is dropped by :meth:`FinishedFiles.drop_unowned` at the next start.

    Args:
        files: Where results go.
        journal: Where the jobs' ends go.
        disk_pause_s: Seconds between two tries to write down that a job has succeeded, on a full disk.
    """

    def __init__(self, files: FinishedFiles, journal: Journal, *, disk_pause_s: float = _DISK_PAUSE_S) -> None:
        self._files = files
        self._journal = journal
        self._disk_pause_s = disk_pause_s
        # An asset without a job is dropped by whoever sees it, so nobody may look while one is handed over.
        self._handing = asyncio.Lock()

    async def hand_over(self, job_id: str, path: Path, name: str, report: JobReport) -> Change:
        """Make a job's file an asset, and write down that the job has succeeded.

        Raises:
            DiskFullError: the disk has no room for the asset.
            ConflictError: the job has ended otherwise.
            NotFoundError: the job is gone.
        """
        file = await self._files.look(path, name)
        change = Change(state=JobState.SUCCEEDED, result_asset_id=file.manifest.asset_id, report=report)
        try:
            while not await _uncancelled(self._hand_over(job_id, file, change)):
                _LOG.error("the disk is full; a job cannot be written down yet", job_id=job_id)
                await asyncio.sleep(self._disk_pause_s)
        except (asyncio.CancelledError, VisemeError):
            await _uncancelled(self._drop())
            raise
        return change

    async def _hand_over(self, job_id: str, file: FinishedFile, change: Change) -> bool:
        """Do both; False where the disk has no room to write down the second, and the first must be done again."""
        async with self._handing:
            await self._files.keep(file)
            try:
                await self._journal.record(job_id, change=change)
            except DiskFullError:
                return False
        return True

    async def _drop(self) -> None:
        async with self._handing:
            try:
                await self._files.drop_unowned()
            except DiskFullError as error:
                _LOG.error("results without a job are dropped at the next start", error=error.message)


async def _uncancelled(work: Coroutine[Any, Any, T]) -> T:
    """Do something to its end, also when the caller is cancelled meanwhile; the cancellation comes after it."""
    task = asyncio.create_task(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        if not task.cancelled():
            task.exception()
        raise
