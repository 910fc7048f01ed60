"""Watching a result while it is made: from any fragment on, live, to the end, whatever becomes of the job meanwhile."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from edge_gateway.fragment import Fragment
from edge_gateway.jobs.events import Journal
from edge_gateway.jobs.job import Job, JobState
from edge_gateway.jobs.reel import PreviewInit, Reel, Reels
from edge_gateway.jobs.result_reel import ResultReels
from edge_gateway.jobs.service import JobService
from shared.errors import (
    CancelledByUserError,
    EdgeUnavailableError,
    InvalidInputError,
    JobFailedError,
    ResourceExhaustedError,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviewPiece:
    """Some bytes of a fragment; the pieces of one come in order, and fragments, too."""

    fragment: int
    """From 0."""
    start_us: int
    """When the fragment's first frame is shown in the result."""
    end_us: int
    """When its last frame ends."""
    size_bytes: int
    """Of the whole fragment."""
    offset: int
    """Where in the fragment the piece begins."""
    data: bytes

    @property
    def ends(self) -> bool:
        """Whether it is the fragment's last."""
        return self.offset + len(self.data) == self.size_bytes


PreviewAnswer = PreviewInit | PreviewPiece


@dataclass(slots=True, kw_only=True)
class _Place:
    """How far a watcher has come."""

    index: int
    offset: int = 0
    has_init: bool = False


class Previews:
    """Previews as clients see them.

    Args:
        jobs: The jobs.
        journal: Tells how they go on.
        reels: The previews of those that run.
        results: The previews of those that have succeeded.
        piece_bytes: Bytes of a piece at most.
        watchers: How many may watch at once.
        count_down: Told the bytes of every piece that goes out.
    """

    def __init__(
        self,
        jobs: JobService,
        journal: Journal,
        reels: Reels,
        results: ResultReels,
        *,
        piece_bytes: int,
        watchers: int,
        count_down: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._jobs = jobs
        self._journal = journal
        self._reels = reels
        self._results = results
        self._piece_bytes = piece_bytes
        self._limit = watchers
        self._watching = 0
        self._count_down = count_down

    async def watch(self, job_id: str, first: int) -> AsyncGenerator[PreviewAnswer, None]:
        """The init segment, then a result's fragments from a number on, until the job has ended well.

        Raises:
            NotFoundError: there is no such job, or its result was deleted.
            InvalidInputError: the result has not so many fragments.
            JobFailedError: the job failed.
            CancelledByUserError: the job was cancelled.
            EdgeUnavailableError: the edge ends.
            ResourceExhaustedError: too many watch.
        """
        await self._jobs.get(job_id)
        place = _Place(index=first)
        with self._seat(), self._journal.watch() as watch:
            news = watch.news
            watch.follow(job_id, 0)
            while True:
                news.clear()
                self._check_open()
                job = await self._jobs.get(job_id)
                reel = self._reels.find(job_id)
                if reel is None and not job.state.is_final:
                    await news.wait()
                    continue
                source = self._ended(job, place) if reel is None else self._live(reel, place, news)
                async with aclosing(source):
                    async for answer in source:
                        yield answer
                if reel is None:
                    return

    async def _live(self, reel: Reel, place: _Place, news: asyncio.Event) -> AsyncGenerator[PreviewAnswer, None]:
        """What there is while a job runs; ends when it no longer does."""
        async with reel.watched(news):
            while not reel.is_closed:
                news.clear()
                self._check_open()
                fragment = await reel.fragment(place.index)
                if fragment is None:
                    await news.wait()
                    continue
                try:
                    if not place.has_init:
                        yield await reel.init()
                        place.has_init = True
                    async for piece in self._pieces(fragment, reel.path(place.index), place):
                        yield piece
                except FileNotFoundError:
                    # The job has ended and its files are gone; the rest is in its result.
                    await news.wait()

    async def _ended(self, job: Job, place: _Place) -> AsyncGenerator[PreviewAnswer, None]:
        if job.state is JobState.CANCELLED:
            raise CancelledByUserError("the job was cancelled", field="job_id")
        if job.state is JobState.FAILED:
            reason, message = (job.error.reason, job.error.message) if job.error else ("internal", "the job failed")
            raise JobFailedError(message, field=job.error.field if job.error else "", cause_reason=reason)
        result = await self._results.open(job.result_asset_id)
        if place.index > result.count:
            message = f"the result has {result.count} fragments, {place.index} lies beyond them"
            raise InvalidInputError(message, field="from_fragment")
        if not place.has_init:
            yield result.init
            place.has_init = True
        while place.index < result.count:
            async for piece in self._pieces(await result.fragment(place.index), result.path, place):
                yield piece

    async def _pieces(self, fragment: Fragment, path: Path, place: _Place) -> AsyncIterator[PreviewPiece]:
        size = fragment.size_bytes
        while place.offset < size:
            data = await asyncio.to_thread(fragment.read, path, place.offset, self._piece_bytes)
            piece = PreviewPiece(
                fragment=place.index,
                start_us=fragment.start_us,
                end_us=fragment.end_us,
                size_bytes=size,
                offset=place.offset,
                data=data,
            )
            self._count_down(len(data))
            place.offset += len(data)
            yield piece
        place.index, place.offset = place.index + 1, 0

    def _check_open(self) -> None:
        if self._journal.is_closed:
            raise EdgeUnavailableError("the edge is shutting down; call again", retry_after_s=1)

    @contextmanager
    def _seat(self) -> Iterator[None]:
        if self._watching >= self._limit:
            message = f"{self._limit} watch previews at this edge already; try again later"
            raise ResourceExhaustedError(message, limit="preview_watchers", retry_after_s=5)
        self._watching += 1
        try:
            yield
        finally:
            self._watching -= 1
