"""A watcher's session: it asks for jobs, cancels, pings; it gets events and pongs."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from functools import partial

from edge_gateway.jobs.events import Gone, Journal, Skipped, Watch
from edge_gateway.jobs.job import Event, check_job_id
from edge_gateway.jobs.service import JobService
from shared.errors import LimitExceededError, ResourceExhaustedError, VisemeError

_FOLLOWS = 1000
"""Jobs that one session may follow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscribe:
    """Follow a job from a number."""

    job_id: str
    after: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsubscribe:
    """No longer follow a job."""

    job_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel:
    """Stop a job."""

    job_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ping:
    """Measure the round trip."""

    nonce: int


SessionAsk = Subscribe | Unsubscribe | Cancel | Ping


@dataclass(frozen=True, slots=True, kw_only=True)
class Pong:
    """Answers a ping."""

    nonce: int
    time_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Something that was asked could not be done."""

    job_id: str
    error: VisemeError


SessionAnswer = Event | Skipped | Pong | Refused


class Sessions:
    """Serves watchers.

    Args:
        journal: Tells what happens.
        jobs: Where jobs are cancelled.
        limit: Sessions that may be open at once.
    """

    def __init__(self, journal: Journal, jobs: JobService, *, limit: int) -> None:
        self._journal = journal
        self._jobs = jobs
        self._limit = limit
        self._open = 0

    async def serve(
        self, asks: AsyncIterator[SessionAsk], check_cancel: Callable[[], None] = lambda: None
    ) -> AsyncGenerator[SessionAnswer, None]:
        """Serve one watcher until it goes, or until it has no more to ask and all its jobs have ended.

        Args:
            asks: What it asks.
            check_cancel: Raises where it may not cancel jobs.

        Raises:
            EdgeUnavailableError: the edge ends.
            ResourceExhaustedError: too many sessions are open.
        """
        with self._seat(), self._journal.watch() as watch:
            answers: asyncio.Queue[SessionAnswer] = asyncio.Queue(64)
            listener = asyncio.create_task(_listen(watch, partial(_do, watch, self._jobs, check_cancel), asks, answers))
            listener.add_done_callback(lambda _: watch.news.set())
            try:
                while not (listener.done() and answers.empty() and watch.is_over):
                    await watch.news.wait()
                    watch.news.clear()
                    while not answers.empty():
                        yield answers.get_nowait()
                    async with aclosing(watch.read()) as news:
                        async for event in news:
                            yield Refused(job_id=event.job_id, error=event.error) if isinstance(event, Gone) else event
                            while not answers.empty():
                                yield answers.get_nowait()
                await listener
            finally:
                listener.cancel()
                await asyncio.wait({listener})
                if not listener.cancelled():
                    listener.exception()

    @contextmanager
    def _seat(self) -> Iterator[None]:
        if self._open >= self._limit:
            message = f"{self._limit} sessions are open at this edge already; try again later"
            raise ResourceExhaustedError(message, limit="sessions", retry_after_s=5)
        self._open += 1
        try:
            yield
        finally:
            self._open -= 1


async def _listen(
    watch: Watch,
    do: Callable[[Subscribe | Unsubscribe | Cancel], Awaitable[None]],
    asks: AsyncIterator[SessionAsk],
    answers: asyncio.Queue[SessionAnswer],
) -> None:
    async for ask in asks:
        if isinstance(ask, Ping):
            await answers.put(Pong(nonce=ask.nonce, time_us=time.time_ns() // 1000))
            watch.news.set()
            continue
        try:
            await do(ask)
        except VisemeError as error:
            await answers.put(Refused(job_id=ask.job_id[:64], error=error))
            watch.news.set()


async def _do(
    watch: Watch, jobs: JobService, check_cancel: Callable[[], None], ask: Subscribe | Unsubscribe | Cancel
) -> None:
    check_job_id(ask.job_id)
    match ask:
        case Subscribe():
            if watch.following >= _FOLLOWS:
                message = f"one session follows at most {_FOLLOWS} jobs"
                raise LimitExceededError(message, field="subscribe", limit="session_jobs")
            watch.follow(ask.job_id, ask.after)
        case Unsubscribe():
            watch.unfollow(ask.job_id)
        case Cancel():
            check_cancel()
            await jobs.cancel(ask.job_id)
