"""Takes away what has been kept for long enough, a bounded number of things at a time."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from edge_gateway.keeping.plan import Holding, KeepTimes, Kind, due
from shared.errors import ConflictError, DiskFullError, NotFoundError
from shared.telemetry.logging import get_logger

_LOG = get_logger(__name__)

_PAUSE_S: Final = 60.0
_STEP: Final = 100
"""Things that go in one sweep at most: users' calls come in between."""


class Files(Protocol):
    """Deletes files."""

    async def discard(self, asset_id: str) -> bool:
        """Delete a file unless an unfinished job needs it; False when it stays."""
        ...

    def is_read(self, asset_id: str) -> bool:
        """Whether a download of it runs."""
        ...


class Jobs(Protocol):
    """Deletes jobs."""

    async def delete(self, job_id: str) -> None:
        """Delete a job that is over, its events and its result.

        Raises:
            NotFoundError: there is none of this id.
            ConflictError: it has not ended.
        """
        ...


class Sweeper:
    """Lets go what is due. What an unfinished job needs, or a download reads, stays for a later sweep.

    Args:
        holdings: What there is.
        keep: For how long it stays.
        now_us: The clock of the edge's running time, in microseconds: a machine that was off makes nothing due.
        assets: Deletes files.
        jobs: Deletes jobs.
        on_gone: Told of everything that went.
    """

    def __init__(
        self,
        holdings: Callable[[], Awaitable[list[Holding]]],
        keep: KeepTimes,
        now_us: Callable[[], int],
        assets: Files,
        jobs: Jobs,
        *,
        on_gone: Callable[[Holding], None] = lambda _: None,
    ) -> None:
        self._holdings = holdings
        self._keep = keep
        self._now_us = now_us
        self._assets = assets
        self._jobs = jobs
        self._on_gone = on_gone

    async def plan(self) -> list[Holding]:
        """What would go now."""
        if self._keep == KeepTimes():
            return []
        held = await self._holdings()
        return [one for one in due(held, self._keep, self._now_us()) if not self._assets.is_read(one.name)]

    async def sweep(self) -> list[Holding]:
        """Let go of what is due; gives what went."""
        gone: list[Holding] = []
        for one in await self.plan():
            if len(gone) == _STEP:
                break
            if await self._let_go(one):
                _LOG.info("kept for long enough", kind=one.kind.value, name=one.name, size_bytes=one.size_bytes)
                self._on_gone(one)
                gone.append(one)
        return gone

    async def run(self) -> None:
        """Sweep now and then until cancelled; a full disk must not end the edge."""
        while True:
            try:
                await self.sweep()
            except DiskFullError as error:
                _LOG.error("nothing could be let go", error=error.message)
            await asyncio.sleep(_PAUSE_S)

    async def _let_go(self, one: Holding) -> bool:
        if one.kind is not Kind.JOB:
            return not self._assets.is_read(one.name) and await self._assets.discard(one.name)
        try:
            await self._jobs.delete(one.name)
        except (ConflictError, NotFoundError):
            return False
        return True
