"""Assets while they are uploaded: which of their bytes are safe, who waits for others, and until when.

Jobs may begin on an asset that is not complete. Whoever reads one has a :class:`Source`, which answers its child's
questions as chunks become safe; what is waited for is told to the client that uploads, so that it may send that first.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from weakref import WeakValueDictionary

from edge_gateway.assets.asset import Asset, ChunkRange, ranges
from shared.digest import CHUNK_BYTES, chunk_count
from shared.errors import InvalidMediaError, VisemeError
from shared.media.growing import HAVE

_AHEAD: Final = 4
"""Chunks that a reader is taken to want from where it waits: a client that sends them in one go saves round trips."""
_NOT_THERE: Final = "the file makes its reader ask for what it does not have"
_SIGN_BYTES: Final = 64 << 10
"""Bytes of a chunk that count as a sign that it comes: by single ones a client could hold a job's place for hours."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Want:
    """Something that is waited for."""

    first: int
    """The chunk without which nothing goes on."""
    count: int
    """Chunks from there that are wanted."""
    whole: bool = False
    """Whether nothing less than the complete asset will do."""


class Growth:
    """One asset that is being uploaded.

    Args:
        asset_id: Which.
        size_bytes: Its size in the end.
        on_want: Told the asset's id when something more is wanted.
        is_coming: Whether a client uploads the asset of an id at the moment.
        clock: Seconds, never going back.
    """

    def __init__(
        self,
        asset_id: str,
        size_bytes: int,
        *,
        on_want: Callable[[str], None] = lambda _: None,
        is_coming: Callable[[str], bool] = lambda _: True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.asset_id = asset_id
        self.size_bytes = size_bytes
        self.is_ready = False
        """Whether the asset is complete and was found to be sound."""
        self._clock = clock
        self._on_want = on_want
        self._is_coming = is_coming
        self._count = chunk_count(size_bytes)
        self._held: set[int] = set()
        self._heard: dict[int, float] = {}
        self._unheard: dict[int, int] = {}
        self._last = clock()
        self._wants: dict[Want, float] = {}
        self._error: VisemeError | None = None
        self._change = asyncio.Event()

    @property
    def is_coming(self) -> bool:
        """Whether a client uploads it at the moment."""
        return self._is_coming(self.asset_id)

    @property
    def is_wanted(self) -> bool:
        """Whether somebody waits for something of it."""
        return bool(self._wants)

    @property
    def held_bytes(self) -> int:
        """Bytes that are safe."""
        if self.is_ready:
            return self.size_bytes
        last = self._count - 1
        short = self._count * CHUNK_BYTES - self.size_bytes if last in self._held else 0
        return len(self._held) * CHUNK_BYTES - short

    def add(self, chunks: Iterable[int]) -> None:
        """Chunks have become safe."""
        for chunk in chunks:
            self._held.add(chunk)
            self._heard.pop(chunk, None)
            self._unheard.pop(chunk, None)
            self._last = self._clock()
        self._tell()

    def forget(self) -> None:
        """The file is gone; no chunk is safe any longer."""
        self._held.clear()

    def finish(self) -> None:
        """The asset is complete."""
        self.is_ready = True
        self._tell()

    def fail(self, error: VisemeError) -> None:
        """The asset will never be complete."""
        self._error = error
        self._tell()

    def heard(self, chunk: int, size: int) -> None:
        """So many bytes of a chunk have come."""
        self._unheard[chunk] = self._unheard.get(chunk, 0) + size
        if self._unheard[chunk] >= _SIGN_BYTES:
            self._unheard[chunk] = 0
            self._last = self._heard[chunk] = self._clock()

    def run(self, offset: int) -> tuple[int, int]:
        """The run of safe bytes around an offset, from the beginning of its chunk; empty where it is not safe."""
        if self.is_ready:
            return 0, self.size_bytes
        first = last = offset // CHUNK_BYTES
        while last in self._held:
            last += 1
        return first * CHUNK_BYTES, max(first * CHUNK_BYTES, min(last * CHUNK_BYTES, self.size_bytes))

    def is_met(self, want: Want) -> bool:
        """Whether what is waited for is there."""
        return self._error is None and (self.is_ready or (not want.whole and want.first in self._held))

    async def until(self, want: Want) -> None:
        """Wait for something.

        Raises:
            VisemeError: the asset will never be complete.
        """
        if self.is_met(want):
            return
        self._wants[want] = self._clock()
        self._on_want(self.asset_id)
        try:
            while True:
                change = self._change
                if self._error is not None:
                    raise self._error
                if self.is_met(want):
                    return
                await change.wait()
        finally:
            del self._wants[want]

    def silent_s(self, want: Want) -> float:
        """Seconds for which nothing has come of what is waited for."""
        since = self._wants.get(want)
        if since is None:
            return 0.0
        return self._clock() - max(since, self._last if want.whole else self._heard.get(want.first, since))

    def wanted(self) -> tuple[ChunkRange, ...]:
        """What is waited for and not there, the first first."""
        told: list[ChunkRange] = []
        for want in self._wants:
            end = min(self._count, want.first + want.count)
            told += ranges(chunk for chunk in range(want.first, end) if chunk not in self._held)
        return tuple(told)

    def all_of_it(self) -> Want:
        """The want of the complete asset."""
        first = next((chunk for chunk in range(self._count) if chunk not in self._held), 0)
        return Want(first=first, count=self._count, whole=True)

    def _tell(self) -> None:
        self._change.set()
        self._change = asyncio.Event()


class Growths:
    """The assets that somebody waits for; others cost nothing."""

    def __init__(self) -> None:
        self.on_want: Callable[[str], None] = lambda _: None
        """Told the id of an asset of which something more is wanted; to be set before any is opened."""
        self.is_coming: Callable[[str], bool] = lambda _: True
        """Whether a client uploads the asset of an id at the moment; to be set before any is opened."""
        self._known: WeakValueDictionary[str, Growth] = WeakValueDictionary()

    def open(self, asset: Asset) -> Growth:
        """That of an asset; nothing is known of its chunks where nobody else has it open."""
        growth = self._known.get(asset.asset_id)
        if growth is None:
            growth = Growth(asset.asset_id, asset.size_bytes, on_want=self.on_want, is_coming=self.is_coming)
            self._known[asset.asset_id] = growth
        return growth

    def get(self, asset_id: str) -> Growth | None:
        """That of an asset, if somebody has it open."""
        return self._known.get(asset_id)


class Source:
    """What one reader has of an asset, complete or not.

    Args:
        asset: The asset as it was when it was opened.
        path: Where its bytes lie.
        growth: What comes; None where everything is there.
    """

    def __init__(self, asset: Asset, path: Path, growth: Growth | None = None) -> None:
        self.asset = asset
        self.path = path
        self.growth = growth
        self.want: Want | None = None
        """What is waited for at the moment."""
        self._waits: list[tuple[float, float]] = []
        self._since = 0.0

    def again(self) -> "Source":
        """The same for another reader."""
        return Source(self.asset, self.path, self.growth)

    @property
    def arguments(self) -> dict[str, Any]:
        """How a child is told of the file."""
        growing = self.growth is not None and not self.growth.is_ready
        return {"path": str(self.path), "growing_bytes": self.asset.size_bytes if growing else 0}

    @property
    def silent_s(self) -> float:
        """Seconds for which this reader has waited and nothing has come of what it waits for."""
        return 0.0 if self.growth is None or self.want is None else self.growth.silent_s(self.want)

    @property
    def is_coming(self) -> bool:
        """Whether a client uploads it at the moment."""
        return self.growth is not None and self.growth.is_coming

    @property
    def waits(self) -> Sequence[tuple[float, float]]:
        """When this reader waited: from, until, by the monotonic clock; in order."""
        return self._waits if self.want is None else [*self._waits, (self._since, time.monotonic())]

    async def ready(self) -> None:
        """Wait until the asset is complete.

        Raises:
            VisemeError: it will never be.
        """
        if self.growth is not None:
            await self._until(self.growth.all_of_it())

    async def answer(self, question: dict[str, Any]) -> dict[str, Any]:
        """Answer a child, see :mod:`shared.media.growing`; once there is something to answer where it waits.

        Raises:
            InvalidMediaError: it asks for what the file does not have.
            VisemeError: the asset will never be complete.
        """
        offset, length, waits = question.get("offset"), question.get("length"), question.get("wait")
        # The child may be one that its file has taken over.
        if not isinstance(offset, int) or not isinstance(length, int) or self.growth is None:
            raise InvalidMediaError(_NOT_THERE, field="video")
        if not 0 <= offset < self.asset.size_bytes or length < 0:
            raise InvalidMediaError(_NOT_THERE, field="video")
        if waits:
            first = offset // CHUNK_BYTES
            count = max(_AHEAD, (offset + length - 1) // CHUNK_BYTES - first + 1)
            await self._until(Want(first=first, count=count))
        begin, end = self.growth.run(offset)
        return {"kind": HAVE, "offset": begin, "end": end}

    async def _until(self, want: Want) -> None:
        if self.growth is None or self.growth.is_met(want):
            return
        self.want, self._since = want, time.monotonic()
        try:
            await self.growth.until(want)
        finally:
            self.want = None
            self._waits.append((self._since, time.monotonic()))
