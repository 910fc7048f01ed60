"""What happens to all jobs, as one stream of server-sent events; ``Last-Event-ID`` goes on where a stream was cut."""

import random
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import lru_cache
from http import HTTPStatus
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from edge_gateway.jobs.figures import Figures, Gauge
from edge_gateway.jobs.job import check_job_id
from edge_gateway.jobs.news import Follower, News, NewsItem, Skipped
from edge_gateway.web.answer import NO_STORE, Streamed, reading
from edge_gateway.web.limits import WebLimits
from edge_gateway.web.told import Told
from edge_gateway.web.told_events import EdgeEvent, HelloEvent, of_item
from shared.errors import EdgeUnavailableError, InvalidInputError, LimitExceededError

STREAM_TYPE: Final = "text/event-stream"
_HEADERS = {**NO_STORE, "Content-Type": STREAM_TYPE, "X-Accel-Buffering": "no"}
_NUMBER = re.compile(r"[0-9]{1,18}", re.ASCII)
_JOBS: Final = 1000
"""Jobs that one stream may name; the limit ``session_jobs``."""
_RETRY_MS: Final = (500, 2000)
"""When a client that was cut off comes again: not all at once."""
_KEPT: Final = 1024
"""Events that are kept as they are sent: everybody is sent the same bytes."""


class EventPages:
    """Answers those who watch.

    Args:
        news: What happens to jobs.
        gauge: How the edge stands.
        limits: How long a client may take nothing.
    """

    def __init__(self, news: News, gauge: Gauge, limits: WebLimits) -> None:
        self._news = news
        self._gauge = gauge
        self._stall_s = limits.stall_s
        self._written = lru_cache(maxsize=_KEPT)(_item)
        self._figures: tuple[Figures, bytes] | None = None

    def routes(self) -> list[Route]:
        """What the application answers here."""
        return [Route("/events", reading(self.stream), methods=["GET"])]

    async def stream(self, request: Request) -> Response:
        """Everything that happens, or what happens to the jobs that are named, until the client goes."""
        jobs, after = _jobs(request), _after(request)
        if request.method == "HEAD":
            return Response(headers=_HEADERS)
        pieces = self._pieces(jobs, after)
        # Whoever cannot be served is refused by the status, so the first piece is waited for.
        first = await anext(pieces)
        whole = _chained(first, pieces)
        return Streamed(whole, status_code=HTTPStatus.OK, headers=_HEADERS, stall_s=self._stall_s)

    async def _pieces(self, jobs: frozenset[str] | None, after: int | None) -> AsyncGenerator[bytes, None]:
        async with self._news.follow(jobs, after) as follower:
            hello = HelloEvent(number=follower.after, resumed=follower.resumed)
            yield f"retry: {random.randint(*_RETRY_MS)}\n".encode() + _event("hello", hello, follower.after)  # noqa: S311 - spreads load
            told: Figures | None = None
            while True:
                follower.news.clear()
                try:
                    async with aclosing(self._unread(follower)) as unread:
                        async for piece in unread:
                            yield piece
                except EdgeUnavailableError:
                    return  # the edge ends; the client comes again
                if self._gauge.last is not None and self._gauge.last is not told:
                    told = self._gauge.last
                    yield self._figured(told, jobs)
                await follower.news.wait()

    async def _unread(self, follower: Follower) -> AsyncGenerator[bytes, None]:
        while follower.is_behind:
            if items := await follower.read():
                yield b"".join(
                    [_event(*of_item(item)) if isinstance(item, Skipped) else self._written(item) for item in items]
                )

    def _figured(self, figures: Figures, jobs: frozenset[str] | None) -> bytes:
        if jobs is not None:
            return _event("edge", EdgeEvent.of(figures, jobs))
        if self._figures is None or self._figures[0] is not figures:
            self._figures = figures, _event("edge", EdgeEvent.of(figures, None))
        return self._figures[1]


async def _chained(first: bytes, rest: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    async with aclosing(rest):
        yield first
        async for piece in rest:
            yield piece


def _event(name: str, data: Told, number: int | None = None) -> bytes:
    number_line = "" if number is None else f"id: {number}\n"
    return f"event: {name}\n{number_line}data: {data.model_dump_json()}\n\n".encode()


def _item(item: NewsItem) -> bytes:
    return _event(*of_item(item), item.number)


def _jobs(request: Request) -> frozenset[str] | None:
    """The jobs that are named; None for all."""
    named = request.query_params.getlist("job")
    if len(named) > _JOBS:
        raise LimitExceededError(f"one stream names at most {_JOBS} jobs", field="job", limit="session_jobs")
    return frozenset(map(check_job_id, named)) if named else None


def _after(request: Request) -> int | None:
    """The number to go on from; None for now."""
    # A browser that comes again after a cut calls the same address, so what it has meanwhile counts before that.
    text = request.headers.get("last-event-id") or request.query_params.get("after")
    if text is None:
        return None
    if not _NUMBER.fullmatch(text):
        raise InvalidInputError("the number of an event is a number", field="Last-Event-ID")
    return int(text)
