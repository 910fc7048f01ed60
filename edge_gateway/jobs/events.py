"""What happens to jobs, told to everybody who watches: a replay from a number, then live, without gap or doubling.

Nobody has a queue that could overflow. A watcher has a number, the last that it was told, and is woken when there is
more; it reads on from there, out of memory when it keeps up and out of the log when it does not.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice

from edge_gateway.jobs.job import Change, Event, EventBody, Job, Progress, Stage, StateChanged
from edge_gateway.jobs.repository import EventLog
from shared.errors import EdgeUnavailableError, InvalidInputError, NotFoundError, VisemeError

_TAIL_EVENTS = 256
_TAIL_JOBS = 256
_BATCH = 256
_SLOW = 16
"""A live watcher with more unread events than this is told only the newest progress of each stage."""


class Journal:
    """The way to record events and to read them.

    Args:
        log: Where they are written down.
        on_end: Told how each job ended, once, whoever ended it.
    """

    def __init__(self, log: EventLog, *, on_end: Callable[[Change], None] = lambda _: None) -> None:
        self._log = log
        self._on_end = on_end
        self._tails: OrderedDict[str, deque[Event]] = OrderedDict()
        self._watches: set[Watch] = set()
        self._followers: dict[str, set[Watch]] = {}
        self._closed = False

    async def record(self, job_id: str, *bodies: EventBody, change: Change | None = None) -> Job:
        """Append events, and change the job's state, in one transaction; then tell the watchers.

        Raises:
            NotFoundError: there is no such job.
            ConflictError: the state cannot follow the one that the job has, or the job has ended.
        """
        # Shielded: what is committed must also be told, even when the caller is cancelled meanwhile.
        return await asyncio.shield(self._record(job_id, bodies, change))

    async def _record(self, job_id: str, bodies: tuple[EventBody, ...], change: Change | None) -> Job:
        job, events = await self._log.record(job_id, bodies, change)
        self.tell(events)
        if change is not None and change.state.is_final:
            self._on_end(change)
        return job

    def tell(self, events: list[Event]) -> None:
        """Wake those who watch; for events that are in the log already."""
        for event in events:
            tail = self._tails.get(event.job_id)
            if tail is None:
                tail = self._tails[event.job_id] = deque(maxlen=_TAIL_EVENTS)
                if len(self._tails) > _TAIL_JOBS:
                    self._tails.popitem(last=False)
            if tail and event.sequence != tail[-1].sequence + 1:
                tail.clear()
            tail.append(event)
        for job_id in {event.job_id for event in events}:
            self._wake(job_id)

    def forget(self, job_id: str) -> None:
        """A job is gone: whoever watches it is told so."""
        self._tails.pop(job_id, None)
        self._wake(job_id)

    def close(self) -> None:
        """The edge ends: every watch ends."""
        self._closed = True
        for watch in self._watches:
            watch.news.set()

    async def read(self, job_id: str, after: int) -> list[Event]:
        """A batch of events with greater numbers than ``after``, in order; empty when there are none.

        Raises:
            NotFoundError: there is no such job.
        """
        tail = self._tails.get(job_id)
        if tail and tail[0].sequence <= after + 1:
            first = after + 1 - tail[0].sequence  # a tail has no gaps
            return list(islice(tail, first, first + _BATCH))
        return await self._log.events(job_id, after, _BATCH)

    async def check_place(self, job_id: str, after: int) -> bool:
        """Whether nothing can follow the event of this number, as the job has ended with it.

        Raises:
            NotFoundError: there is no such job.
            InvalidInputError: the job has not had so many events.
        """
        tail = self._tails.get(job_id)
        last = tail[-1] if tail else await self._log.last(job_id)
        if after > last.sequence:
            message = f"the job has had {last.sequence} events, {after} lies beyond"
            raise InvalidInputError(message, field="after_sequence")
        return after == last.sequence and _is_end(last)

    @contextmanager
    def watch(self) -> Iterator["Watch"]:
        """Watch jobs inside the block."""
        watch = Watch(self)
        self._watches.add(watch)
        try:
            yield watch
        finally:
            self._watches.discard(watch)
            watch.unfollow_all()

    def follow(self, job_id: str, watch: "Watch") -> None:
        """Wake a watch whenever there is something new about a job."""
        self._followers.setdefault(job_id, set()).add(watch)

    def unfollow(self, job_id: str, watch: "Watch") -> None:
        """No longer wake a watch for a job."""
        followers = self._followers.get(job_id, set())
        followers.discard(watch)
        if not followers:
            self._followers.pop(job_id, None)

    @property
    def is_closed(self) -> bool:
        """Whether the edge ends."""
        return self._closed

    def _wake(self, job_id: str) -> None:
        for watch in self._followers.get(job_id, ()):
            watch.wake(job_id)


@dataclass(slots=True, kw_only=True)
class _Follow:
    after: int
    live: bool = False
    ended: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Gone:
    """A job that cannot be watched (any more)."""

    job_id: str
    error: VisemeError


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """A watcher was too slow for all progress of a job: what came next is the newest."""

    job_id: str
    progress_events: int
    """Events that were left out."""


class Watch:
    """One watcher of any number of jobs. Made by :meth:`Journal.watch`."""

    def __init__(self, journal: Journal) -> None:
        self.news = asyncio.Event()
        """Set when there may be something to read."""
        self._journal = journal
        self._follows: dict[str, _Follow] = {}
        self._fresh: dict[str, None] = {}

    def follow(self, job_id: str, after: int) -> None:
        """Follow a job from a number; a job that is followed already is followed anew from there."""
        self._follows[job_id] = _Follow(after=after)
        self._journal.follow(job_id, self)
        self.wake(job_id)

    def unfollow(self, job_id: str) -> None:
        """No longer follow a job."""
        self._journal.unfollow(job_id, self)
        self._follows.pop(job_id, None)
        self._fresh.pop(job_id, None)

    def unfollow_all(self) -> None:
        """Follow nothing any more."""
        for job_id in list(self._follows):
            self.unfollow(job_id)

    def wake(self, job_id: str) -> None:
        """There may be something new about a job."""
        if job_id in self._follows:
            self._fresh[job_id] = None
            self.news.set()

    @property
    def following(self) -> int:
        """How many jobs are followed."""
        return len(self._follows)

    @property
    def is_over(self) -> bool:
        """Whether every job that is followed has ended and all of it was told."""
        return all(follow.ended for follow in self._follows.values())

    async def read(self) -> AsyncGenerator[Event | Gone | Skipped, None]:
        """Everything that is unread now; ends when there is no more.

        Raises:
            EdgeUnavailableError: the edge ends.
        """
        while self._fresh:
            if self._journal.is_closed:
                raise EdgeUnavailableError("the edge is shutting down; call again", retry_after_s=1)
            job_id = next(iter(self._fresh))
            del self._fresh[job_id]
            follow = self._follows[job_id]
            try:
                batch = await self._journal.read(job_id, follow.after)
                if not batch and follow.after and not follow.live:
                    # Whoever was cut off after the last event asks for what follows it: nothing will.
                    follow.ended = await self._journal.check_place(job_id, follow.after)
            except (InvalidInputError, NotFoundError) as error:
                if self._follows.get(job_id) is follow:
                    self.unfollow(job_id)
                    yield Gone(job_id=job_id, error=error)
                continue
            if self._follows.get(job_id) is not follow:
                continue
            told = _newest(batch) if follow.live and len(batch) > _SLOW else batch
            self._came_to(job_id, follow, batch)
            if len(told) < len(batch):
                yield Skipped(job_id=job_id, progress_events=len(batch) - len(told))
            for event in told:
                follow.ended = _is_end(event)
                yield event

    def _came_to(self, job_id: str, follow: _Follow, batch: list[Event]) -> None:
        """Note how far a watcher has come with a batch."""
        if batch:
            follow.after = batch[-1].sequence
        if len(batch) < _BATCH:
            # That was all; whatever is recorded from here on wakes us.
            follow.live = True
        else:
            self.wake(job_id)


def _is_end(event: Event) -> bool:
    return isinstance(event.body, StateChanged) and event.body.state.is_final


def _newest(batch: list[Event]) -> list[Event]:
    last: dict[Stage, int] = {}
    for event in batch:
        if isinstance(event.body, Progress):
            last[event.body.stage] = event.sequence
    return [
        event for event in batch if not isinstance(event.body, Progress) or last[event.body.stage] == event.sequence
    ]


class ProgressBoard:
    """Gathers the progress of one job and records the newest of each stage, at most once in ``interval_s``.

    Args:
        journal: Where it goes.
        job_id: The job.
        interval_s: Seconds between two records.
        on_first: Called once, when the first is recorded.
    """

    def __init__(
        self,
        journal: Journal,
        job_id: str,
        interval_s: float = 0.25,
        *,
        on_first: Callable[[], None] = lambda: None,
    ) -> None:
        self._journal = journal
        self._job_id = job_id
        self._interval_s = interval_s
        self._on_first = on_first
        self._newest: dict[Stage, Progress] = {}
        self._told: dict[Stage, Progress] = {}

    def set(self, progress: Progress) -> None:
        """Take note of how far a stage has come."""
        self._newest[progress.stage] = progress

    async def flush(self) -> None:
        """Record what has changed since the last time."""
        fresh = [progress for stage, progress in self._newest.items() if self._told.get(stage) != progress]
        if fresh:
            is_first = not self._told
            self._told.update({progress.stage: progress for progress in fresh})
            await self._journal.record(self._job_id, *fresh)
            if is_first:
                self._on_first()

    async def run(self) -> None:
        """Record until cancelled."""
        while True:
            await asyncio.sleep(self._interval_s)
            await self.flush()
