"""One upload: pieces come in, chunks become safe, answers go out.

Two tasks with a bounded queue between them: one puts pieces together to chunks, the other hands all chunks that wait to
the store at once, so that a fast client is synced in large batches and a slow one chunk by chunk.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, field

from edge_gateway.assets.asset import AssetLimits, Manifest, Persisted, Piece, ranges
from edge_gateway.assets.store import AssetStore
from edge_gateway.failures import one_error
from shared.errors import ConflictError, DeadlineError, InvalidInputError, LimitExceededError

_OPEN_CHUNKS = 4
"""Chunks whose pieces may be interleaved."""


@dataclass(slots=True, kw_only=True)
class _Assembly:
    """Puts the pieces of chunks together."""

    manifest: Manifest
    held: set[int]
    piece_bytes: int
    partial: dict[int, bytearray] = field(default_factory=dict)

    def add(self, piece: Piece) -> bytearray | None:
        """Take a piece; gives the chunk when it is whole.

        Raises:
            InvalidInputError: the piece does not fit.
            LimitExceededError: it is too large.
        """
        if not 0 <= piece.chunk < len(self.manifest.digests):
            message = f"there is no chunk {piece.chunk}, the manifest has {len(self.manifest.digests)}"
            raise InvalidInputError(message, field="piece.chunk_index")
        if not 0 < len(piece.data) <= self.piece_bytes:
            message = f"a piece has 1 to {self.piece_bytes} bytes, this one has {len(piece.data)}"
            raise LimitExceededError(message, field="piece.data", limit="piece_bytes")
        if piece.chunk in self.held:
            return None
        whole = self.partial.get(piece.chunk)
        if whole is None or piece.offset == 0:
            if len(self.partial) >= _OPEN_CHUNKS and piece.chunk not in self.partial:
                message = f"at most {_OPEN_CHUNKS} chunks may be in work at once"
                raise LimitExceededError(message, field="piece.chunk_index", limit="open_chunks")
            whole = self.partial[piece.chunk] = bytearray()
        if piece.offset != len(whole):
            message = f"chunk {piece.chunk} goes on at {len(whole)}, not at {piece.offset}"
            raise InvalidInputError(message, field="piece.offset_bytes")
        whole += piece.data
        length = self.manifest.length(piece.chunk)
        if len(whole) > length:
            message = f"chunk {piece.chunk} has {length} bytes, more were sent"
            raise InvalidInputError(message, field="piece.data")
        if len(whole) < length:
            return None
        del self.partial[piece.chunk]
        self.held.add(piece.chunk)
        return whole


class Upload:
    """One writer of one asset.

    Args:
        store: Where chunks go.
        manifest: What comes.
        held: Chunks that are safe already.
        limits: What is refused.
    """

    def __init__(self, store: AssetStore, manifest: Manifest, held: set[int], limits: AssetLimits) -> None:
        self._store = store
        self._manifest = manifest
        self._limits = limits
        self._assembly = _Assembly(manifest=manifest, held=set(held), piece_bytes=limits.piece_bytes)
        self._safe = sum(manifest.length(chunk) for chunk in held)
        slots = max(1, limits.buffer_bytes // manifest.chunk_bytes - _OPEN_CHUNKS)
        self._waiting: asyncio.Queue[tuple[int, bytearray] | None] = asyncio.Queue(slots)
        self._unsaid: set[int] = set()
        self._news = asyncio.Event()
        self._evicted = False

    @property
    def is_complete(self) -> bool:
        """Whether every byte is safe."""
        return self._safe == self._manifest.size_bytes

    def evict(self) -> None:
        """End this upload; another writer of the same asset has come."""
        self._evicted = True
        self._news.set()

    async def run(self, pieces: AsyncIterator[Piece]) -> AsyncGenerator[Persisted, None]:
        """Take pieces until the asset is complete or the client stops; says what became safe.

        Raises:
            ConflictError: another writer came.
            DeadlineError: the client said nothing for too long.
            InvalidInputError: a piece or a chunk does not fit.
            DiskFullError: the disk has no room.
        """
        work = asyncio.create_task(self._work(pieces))
        work.add_done_callback(lambda _: self._news.set())
        try:
            while True:
                await self._news.wait()
                self._news.clear()
                if self._unsaid:
                    runs = ranges(self._unsaid)
                    self._unsaid.clear()
                    yield Persisted(chunks=runs, persisted_bytes=self._safe)
                if self._evicted:
                    raise ConflictError("another client took this upload over; ask for the asset to see how far it is")
                if work.done() and not self._unsaid:
                    break
            await work
        finally:
            work.cancel()
            await asyncio.wait({work})
            if not work.cancelled():
                work.exception()

    async def _work(self, pieces: AsyncIterator[Piece]) -> None:
        with one_error():
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._take(pieces))
                tasks.create_task(self._keep())

    async def _take(self, pieces: AsyncIterator[Piece]) -> None:
        everything = len(self._manifest.digests)
        while len(self._assembly.held) < everything:
            try:
                async with asyncio.timeout(self._limits.idle_s):
                    piece = await anext(pieces, None)
            except TimeoutError:
                message = f"nothing was sent for {self._limits.idle_s:g} s; call again to go on"
                raise DeadlineError(message, limit="upload_idle_s") from None
            if piece is None:
                break
            chunk = self._assembly.add(piece)
            if chunk is not None:
                await self._waiting.put((piece.chunk, chunk))
        await self._waiting.put(None)

    async def _keep(self) -> None:
        ended = False
        while not ended:
            batch: dict[int, bytearray] = {}
            entry = await self._waiting.get()
            while entry is not None:
                batch[entry[0]] = entry[1]
                if self._waiting.empty():
                    break
                entry = self._waiting.get_nowait()
            ended = entry is None
            if batch:
                await self._store.put(self._manifest, batch)
                self._safe += sum(map(len, batch.values()))
                self._unsaid.update(batch)
                self._news.set()
