"""What happens to all jobs, in one row: for watchers that follow many of them by one number.

The row is the log's: one reader takes what was written down since it last looked, and tells everybody. So there is no
queue that could overflow: a follower has a number, reads on from there, out of memory when it keeps up and out of the
log when it does not.
"""

import asyncio
from bisect import bisect_right
from collections import Counter, deque
from collections.abc import AsyncIterator, Collection, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, Protocol

from edge_gateway.jobs.job import Event, Progress, Stage
from shared.errors import EdgeUnavailableError, ResourceExhaustedError

_TAIL: Final = 2048
"""Items that are kept in memory for those who keep up."""
_BATCH: Final = 256
_SLOW: Final = 64
"""A live follower with more unread items than this is told only the newest progress of each job's stages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobDeleted:
    """A job is gone, with its events."""

    number: int
    job_id: str
    time_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """A follower that is slow was not told all progress of a job."""

    job_id: str
    progress_events: int


NewsItem = Event | JobDeleted


class NewsLog(Protocol):
    """Where the row is written down."""

    async def newest(self) -> int:
        """The greatest number that was ever taken; 0 before any."""
        ...

    async def since(self, after: int, limit: int, jobs: Iterable[str] | None) -> list[NewsItem]:
        """Items with greater numbers, in order, at most so many; of these jobs where any are named."""
        ...

    async def reaches(self, after: int) -> bool:
        """Whether everything that came after a number can still be told."""
        ...


class News:
    """The row, and those who follow it.

    Args:
        log: Where it is written down.
        followers: How many may follow at once.
    """

    def __init__(self, log: NewsLog, *, followers: int) -> None:
        self._log = log
        self._limit = followers
        self._followers: set[Follower] = set()
        self._tail: deque[NewsItem] = deque()
        self._floor = 0
        """Everything with a greater number, up to ``last``, is in the tail."""
        self.last = 0
        """The greatest number that was read."""
        self._fresh = asyncio.Event()
        self.is_closed = False
        """Whether the edge ends."""

    def stir(self) -> None:
        """Something may have been written down."""
        self._fresh.set()

    def wake(self) -> None:
        """Let every follower look up, even if nothing happened."""
        for follower in self._followers:
            follower.news.set()

    def close(self) -> None:
        """The edge ends: whoever follows is told so."""
        self.is_closed = True
        self.wake()

    async def run(self) -> None:
        """Read the row and tell of it, until cancelled."""
        self.last = self._floor = await self._log.newest()
        while True:
            self._fresh.clear()
            items = await self._log.since(self.last, _BATCH, None)
            if items:
                self._take(items)
            else:
                await self._fresh.wait()

    def _take(self, items: list[NewsItem]) -> None:
        self._tail.extend(items)
        self.last = items[-1].number
        while len(self._tail) > _TAIL:
            self._floor = self._tail.popleft().number
        self.wake()

    @asynccontextmanager
    async def follow(self, jobs: Collection[str] | None, after: int | None) -> AsyncIterator["Follower"]:
        """Follow jobs inside the block, all of them where none are named.

        Args:
            jobs: Their ids.
            after: The number after which to go on; None for what happens from now on.

        Raises:
            ResourceExhaustedError: as many follow already.
        """
        if len(self._followers) >= self._limit:
            message = f"{self._limit} streams of events are open at this edge; close some, or try again later"
            raise ResourceExhaustedError(message, limit="event_streams", retry_after_s=5)
        follower = Follower(self, None if jobs is None else frozenset(jobs))
        self._followers.add(follower)
        try:
            follower.resumed = after is not None and await self._log.reaches(after)
            follower.after = after if after is not None and follower.resumed else await self._log.newest()
            follower.begin()
            yield follower
        finally:
            self._followers.discard(follower)

    async def read(self, after: int, jobs: frozenset[str] | None) -> tuple[list[NewsItem], int]:
        """Items after a number, and the number up to which there are no others.

        Raises:
            EdgeUnavailableError: the edge ends.
        """
        if self.is_closed:
            raise EdgeUnavailableError("the edge is shutting down; call again", retry_after_s=1)
        last = self.last
        if after < self._floor:
            items = await self._log.since(after, _BATCH, jobs)
            return items, items[-1].number if len(items) == _BATCH else max([last, *(item.number for item in items)])
        first = bisect_right(self._tail, after, key=lambda item: item.number)
        unread = [self._tail[place] for place in range(first, len(self._tail))]
        return [item for item in unread if jobs is None or item.job_id in jobs], max(after, last)


class Follower:
    """One who follows. Made by :meth:`News.follow`."""

    def __init__(self, news: News, jobs: frozenset[str] | None) -> None:
        self.news = asyncio.Event()
        """Set when there may be something to read."""
        self.after = 0
        """Everything up to this number was read."""
        self.resumed = False
        """Whether it goes on where it was; otherwise it begins now."""
        self._of = news
        self._jobs = jobs
        self._is_live = False

    def begin(self) -> None:
        """It knows where it begins; who begins now is live from the first."""
        self._is_live = not self.resumed

    @property
    def is_behind(self) -> bool:
        """Whether there may be something to read."""
        return self.after < self._of.last or self._of.is_closed

    async def read(self) -> list[NewsItem | Skipped]:
        """What is unread; nothing where there is nothing more now.

        Raises:
            EdgeUnavailableError: the edge ends.
        """
        was_live = self._is_live
        items, self.after = await self._of.read(self.after, self._jobs)
        self._is_live = was_live or not self.is_behind
        return _newest(items) if was_live and len(items) > _SLOW else [*items]


def _newest(items: list[NewsItem]) -> list[NewsItem | Skipped]:
    """Everything but progress that newer progress has overtaken, after what is told of that."""
    last: dict[tuple[str, Stage], int] = {}
    for item in items:
        stage = _progress_of(item)
        if stage is not None:
            last[item.job_id, stage] = item.number
    kept: list[NewsItem | Skipped] = []
    skipped: Counter[str] = Counter()
    for item in items:
        stage = _progress_of(item)
        if stage is not None and last[item.job_id, stage] != item.number:
            skipped[item.job_id] += 1
        else:
            kept.append(item)
    return [*(Skipped(job_id=job_id, progress_events=count) for job_id, count in skipped.items()), *kept]


def _progress_of(item: NewsItem) -> Stage | None:
    """The stage that came further; None for everything else."""
    return item.body.stage if isinstance(item, Event) and isinstance(item.body, Progress) else None
