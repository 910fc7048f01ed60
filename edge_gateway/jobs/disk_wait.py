"""Jobs that meet a full disk: they leave their place to others and wait for room, for a bounded time."""

import asyncio
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from edge_gateway.jobs.job import Notice, Severity
from shared.errors import DiskFullError

_LOOK_S: Final = 1.0
_ROOM_BYTES: Final = 1 << 20
"""More room than when a job met a full disk, with which it tries again."""
_BLIND_S: Final = 60.0
"""It also tries again after this time: a quota is not seen in what is free."""


class DiskWait:
    """Waits of jobs for room.

    Args:
        root: A directory on the disk.
        patience_s: Seconds that one job waits in all before it fails.
        free: Bytes that are free on the disk of a path.
        clock: Seconds, never going back.
    """

    def __init__(
        self,
        root: Path,
        patience_s: float,
        *,
        free: Callable[[Path], int] = lambda path: shutil.disk_usage(path).free,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._root = root
        self._patience_s = patience_s
        self._free = free
        self._clock = clock
        self._waited: dict[str, float] = {}

    def begin(self, job_id: str, error: DiskFullError) -> Notice:
        """A job has met a full disk; gives what a person is told.

        Raises:
            DiskFullError: it has waited for long enough.
        """
        waited = self._waited.get(job_id, 0.0)
        if waited >= self._patience_s:
            words = f"; given up after {waited:.0f} s" if waited else ""
            raise DiskFullError(error.message + words, limit=error.limit) from error
        message = (
            f"Waiting for room on the edge's disk, for {self._patience_s - waited:.0f} s at most: {error.message}."
            " What was done is kept."
        )
        return Notice(severity=Severity.WARNING, reason=error.reason, message=message)

    async def until_room(self, job_id: str) -> None:
        """Wait until trying again makes sense."""
        begun, before = self._clock(), self._free(self._root)
        left = self._patience_s - self._waited.get(job_id, 0.0)
        end = begun + min(_BLIND_S, left)
        try:
            while self._free(self._root) < before + _ROOM_BYTES and self._clock() < end:  # noqa: ASYNC110 - no disk tells
                await asyncio.sleep(min(_LOOK_S, max(0.0, end - self._clock())))
        finally:
            self._waited[job_id] = self._waited.get(job_id, 0.0) + self._clock() - begun

    def forget(self, job_id: str) -> None:
        """A job is over."""
        self._waited.pop(job_id, None)
