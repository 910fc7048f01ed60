"""The preview of a job that runs: fragments of what is composited, made once somebody watches, for all who watch.

They lie in the job's folder, so a watcher has nothing but a number: one who is slow reads later, and neither the job
nor the others nor the edge's memory know of it.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

from edge_gateway.fragment import Fragment
from edge_gateway.jobs.files import JobFiles
from shared.errors import InternalError, VisemeError
from shared.media.sandbox import Message
from shared.media.timeline import OutputSegment

_CARD = "preview.json"


class Cutter(Protocol):
    """A child that cuts fragments."""

    async def send(self, header: dict[str, Any], payload: bytes = b"") -> None:
        """Send it a segment."""
        ...

    async def receive(self) -> Message | None:
        """Its next message; None when it is done."""
        ...


Cut = Callable[[Sequence[Path], Path], AbstractAsyncContextManager[Cutter]]
"""Starts a child for the files that a result's sound is the sum of, and the folder with its segments."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviewInit:
    """What a player needs first."""

    mime_type: str
    data: bytes

    def to_json(self) -> dict[str, str]:
        """For the disk."""
        return {"mime_type": self.mime_type, "data": self.data.hex()}

    @classmethod
    def of(cls, told: dict[str, Any]) -> Self:
        """Undo :meth:`to_json`."""
        return cls(mime_type=told["mime_type"], data=bytes.fromhex(told["data"]))


class Reel:
    """The fragments of one job that runs. Made by :meth:`Reels.open`.

    Args:
        files: The job's files.
        cut: Starts a child that cuts.
        sound: Gives the files that the result's sound is the sum of, once they are there.
    """

    def __init__(self, files: JobFiles, cut: Cut, sound: Callable[[], Awaitable[Sequence[Path]]]) -> None:
        self._files = files
        self._cut = cut
        self._sound = sound
        self._closing = asyncio.Event()
        self._segments: dict[int, OutputSegment] = {}
        self._making = asyncio.Lock()
        self._watchers: list[asyncio.Event] = []
        self._stack = AsyncExitStack()
        self._child: Cutter | None = None
        self._fed = 0
        self.is_closed = False
        """Whether nothing more comes, as the job no longer runs."""

    def add(self, segment: OutputSegment) -> None:
        """A segment is composited and on disk."""
        self._segments[segment.index] = segment
        self._wake()

    @property
    def newest(self) -> int | None:
        """The last segment that is composited."""
        return max(self._segments, default=None)

    def path(self, index: int) -> Path:
        """The file in which a fragment's extents lie."""
        return self._files.composited(index)

    async def init(self) -> PreviewInit:
        """What goes before the first fragment; there is one once any fragment was made."""
        told = await asyncio.to_thread(self._files.read_json, _CARD)
        if told is None:
            raise FileNotFoundError(_CARD)
        return PreviewInit.of(told)

    async def fragment(self, index: int) -> Fragment | None:
        """A fragment; None while its segment is not composited, or once the reel is closed.

        Raises:
            VisemeError: it cannot be made.
        """
        if any(number not in self._segments for number in range(index + 1)):
            return None
        try:
            return await asyncio.to_thread(self._files.fragment, index) or await self._make(index)
        except (VisemeError, FileNotFoundError):
            if self.is_closed:
                return None
            raise

    async def _make(self, index: int) -> Fragment | None:
        async with self._making:
            made = await asyncio.to_thread(self._files.fragment, index)
            if made is None and not self.is_closed:
                await self._feed(index)
                made = await asyncio.to_thread(self._files.fragment, index)
            return made

    async def _feed(self, index: int) -> None:
        """Give the child what it has not had up to a segment, and keep what it makes of it."""
        try:
            if self._child is None:
                self._fed = 0
                cutting = self._cut(await self._sound_files(), self._files.folder)
                self._child = await self._stack.enter_async_context(cutting)
            for number in range(self._fed, index + 1):
                await self._cut_one(self._child, self._segments[number])
                self._fed = number + 1
        except BaseException:
            # Cut off in the middle of a conversation; the next who wants a fragment begins another.
            await self._dismiss()
            raise

    async def _sound_files(self) -> Sequence[Path]:
        """Wait for the sound; a job that ends before it is made must not be waited for."""
        sound = asyncio.ensure_future(self._sound())
        closing = asyncio.ensure_future(self._closing.wait())
        try:
            await asyncio.wait({sound, closing}, return_when=asyncio.FIRST_COMPLETED)
            if sound.done():
                return sound.result()
            raise FileNotFoundError(self._files.mixed())
        finally:
            sound.cancel()
            closing.cancel()

    async def _cut_one(self, child: Cutter, segment: OutputSegment) -> None:
        index = segment.index
        skip = await asyncio.to_thread(self._files.fragment, index) is not None
        header: dict[str, Any] = {
            "path": str(self._files.composited(index)),
            "start_us": segment.start_us,
            "end_us": segment.end_us,
            "is_last": segment.is_last,
            "skip": skip,
        }
        await child.send(header)
        if index == 0:
            init = await _answer(child, "init")
            card = PreviewInit(mime_type=str(init.header["mime_type"]), data=init.payload)
            await asyncio.to_thread(self._files.write_json, _CARD, card.to_json())
        if not skip:
            record = (await _answer(child, "fragment")).payload
            Fragment.of(record)
            await asyncio.to_thread(self._files.put_fragment, index, record)

    @asynccontextmanager
    async def watched(self, news: asyncio.Event) -> AsyncIterator[None]:
        """Be woken inside the block when there may be more; the child goes with the last who watches."""
        self._watchers.append(news)
        try:
            yield
        finally:
            self._watchers.remove(news)
            if not self._watchers:
                await self._dismiss()

    async def close(self) -> None:
        """The job no longer runs."""
        self.is_closed = True
        self._closing.set()
        await self._dismiss()
        async with self._making:
            await self._dismiss()
        self._wake()

    async def _dismiss(self) -> None:
        self._child = None
        await self._stack.aclose()

    def _wake(self) -> None:
        for news in self._watchers:
            news.set()


async def _answer(child: Cutter, kind: str) -> Message:
    message = await child.receive()
    if message is None or message.header.get("kind") != kind:
        raise InternalError("the task that cuts previews gave another answer than was asked for")
    return message


class Reels:
    """The previews of all jobs that run.

    Args:
        cut: Starts a child that cuts.
    """

    def __init__(self, cut: Cut) -> None:
        self._cut = cut
        self._reels: dict[str, Reel] = {}

    @asynccontextmanager
    async def open(
        self, job_id: str, files: JobFiles, sound: Callable[[], Awaitable[Sequence[Path]]]
    ) -> AsyncIterator[Reel]:
        """The preview of a job that runs inside the block; its fragments come once its sound is there."""
        reel = self._reels[job_id] = Reel(files, self._cut, sound)
        try:
            yield reel
        finally:
            del self._reels[job_id]
            await reel.close()

    def find(self, job_id: str) -> Reel | None:
        """The preview of a job, if it runs."""
        return self._reels.get(job_id)
