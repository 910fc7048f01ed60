"""One running upload: pieces come in, chunks become safe, answers go out.

Three tasks with bounded queues between them: one puts pieces together to chunks, one verifies and writes them, one
syncs all that was written meanwhile and writes it down, so that a fast client is synced in large batches while more
is written, and a slow one chunk by chunk. When a stream breaks, the chunks that are whole by then go the same way.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import TypeVar

from edge_gateway.assets.asset import (
    AssetLimits,
    ChunkRange,
    Digests,
    Held,
    Manifest,
    Persisted,
    Piece,
    UploadMessage,
    Wanted,
    ranges,
)
from edge_gateway.assets.ledger import Ledger
from edge_gateway.assets.room import Room
from edge_gateway.assets.store import AssetStore
from edge_gateway.failures import one_error
from shared.errors import InvalidInputError, LimitExceededError, TakenOverError

_T = TypeVar("_T")

_OPEN_CHUNKS = 4
"""Chunks whose pieces may be interleaved."""

_SMALL_PIECE = 16 << 10


@dataclass(slots=True, kw_only=True)
class _Assembly:
    """Puts the pieces of chunks together."""

    ledger: Ledger
    taken: set[int]
    """Chunks that are whole here or safe since before."""
    piece_bytes: int
    partial: dict[int, list[bytes | bytearray]] = field(default_factory=dict)
    """Pieces are kept as they came: putting them together would copy every byte once more."""
    filled: dict[int, int] = field(default_factory=dict)

    def add(self, piece: Piece) -> list[bytes | bytearray] | None:
        """Take a piece; gives the chunk when it is whole.

        Raises:
            InvalidInputError: the piece does not fit.
            LimitExceededError: it is too large.
        """
        self._check(piece)
        if piece.chunk in self.taken:
            return None
        whole = self.partial.get(piece.chunk)
        if whole is None or piece.offset == 0:
            if len(self.partial) >= _OPEN_CHUNKS and piece.chunk not in self.partial:
                message = f"at most {_OPEN_CHUNKS} chunks may be in work at once"
                raise LimitExceededError(message, field="piece.chunk_index", limit="open_chunks")
            whole = self.partial[piece.chunk] = []
            self.filled[piece.chunk] = 0
        filled = self.filled[piece.chunk]
        if piece.offset != filled:
            message = f"chunk {piece.chunk} goes on at {filled}, not at {piece.offset}"
            raise InvalidInputError(message, field="piece.offset_bytes")
        if len(piece.data) >= _SMALL_PIECE:
            whole.append(piece.data)
        elif whole and isinstance(whole[-1], bytearray):
            whole[-1] += piece.data
        else:  # a list of small ones would be many times as large as they are
            whole.append(bytearray(piece.data))
        filled += len(piece.data)
        length = self.ledger.manifest.length(piece.chunk)
        if filled > length:
            message = f"chunk {piece.chunk} has {length} bytes, more were sent"
            raise InvalidInputError(message, field="piece.data")
        self.filled[piece.chunk] = filled
        if filled < length:
            return None
        del self.partial[piece.chunk], self.filled[piece.chunk]
        self.taken.add(piece.chunk)
        return whole

    def _check(self, piece: Piece) -> None:
        count = self.ledger.manifest.count
        if not 0 <= piece.chunk < count:
            message = f"there is no chunk {piece.chunk}, the manifest has {count}"
            raise InvalidInputError(message, field="piece.chunk_index")
        if not self.ledger.digests[piece.chunk]:
            message = f"the digest of chunk {piece.chunk} was not announced"
            raise InvalidInputError(message, field="piece.chunk_index")
        if not 0 < len(piece.data) <= self.piece_bytes:
            message = f"a piece has 1 to {self.piece_bytes} bytes, this one has {len(piece.data)}"
            raise LimitExceededError(message, field="piece.data", limit="piece_bytes")


class Upload:
    """One writer of one asset.

    Args:
        store: Where chunks go.
        name: The asset's id, or the name that its upload has while digests are missing.
        ledger: The digests and what is safe.
        held: Chunks that are safe already.
        limits: What is refused.
        room: The memory that it shares with others.
        on_named: Told the asset's id once all digests are known, if they were not from the start.
    """

    def __init__(
        self,
        store: AssetStore,
        name: str,
        ledger: Ledger,
        held: set[int],
        limits: AssetLimits,
        *,
        room: Room,
        on_named: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.name = name
        self._store = store
        self._ledger = ledger
        self._limits = limits
        self._room = room
        self._on_named = on_named
        self._assembly = _Assembly(ledger=ledger, taken=set(held), piece_bytes=limits.piece_bytes)
        self._safe = sum(ledger.manifest.length(chunk) for chunk in held)
        # As many as wait are being written meanwhile.
        slots = max(1, (limits.buffer_bytes // ledger.manifest.chunk_bytes - _OPEN_CHUNKS) // 2)
        self._waiting: asyncio.Queue[tuple[int, list[bytes | bytearray]] | Manifest | None] = asyncio.Queue(slots)
        self._written: asyncio.Queue[int | Manifest | None] = asyncio.Queue(slots)
        self._naming = asyncio.Lock()
        self._waiting_bytes = 0
        self._counted_bytes = 0
        self._unsaid: set[int] = set()
        self._unsaid_held: set[int] = set()
        self._unsaid_name = ""
        self._unsaid_wanted: tuple[ChunkRange, ...] = ()
        self._is_named = not ledger.manifest.is_open
        self._news = asyncio.Event()
        self._evicted = False
        self._ending = False
        self._taking: asyncio.Task[None] | None = None
        self._ended = asyncio.Event()

    @property
    def is_complete(self) -> bool:
        """Whether every byte is safe and every digest known."""
        return self._is_named and self._safe == self._ledger.manifest.size_bytes

    def evict(self) -> None:
        """End this upload; another writer of the same asset has come."""
        self._evicted = True
        self._news.set()
        self._stop_taking()

    def close(self) -> None:
        """Say that nothing more comes, also of an upload that was never run."""
        self._ended.set()

    async def ended(self) -> None:
        """Wait until what had come of an upload that ends is safe."""
        await self._ended.wait()

    def want(self, chunks: tuple[ChunkRange, ...]) -> None:
        """Tell the client what somebody waits for; takes the place of what it was told before."""
        self._unsaid_wanted = chunks
        self._news.set()

    async def run(self, messages: AsyncIterator[UploadMessage]) -> AsyncGenerator[Held | Persisted | Wanted, None]:
        """Take pieces and digests until the asset is complete or the client stops; says what is there and became safe.

        Raises:
            TakenOverError: another writer came.
            ConflictError: the file is not the one that it seemed to be.
            DeadlineError: the client said nothing for too long, or too little.
            InvalidInputError: a piece or a chunk does not fit.
            DiskFullError: the disk has no room.
        """
        work = asyncio.create_task(self._work(messages))
        work.add_done_callback(lambda _: self._end())
        try:
            while True:
                await self._news.wait()
                self._news.clear()
                for answer in self._answers():
                    yield answer
                if self._evicted:
                    raise TakenOverError("another client took this upload over; ask for the asset to see how far it is")
                if work.done() and not self._unsaid:
                    break
            await work
        finally:
            self._stop_taking()  # what has come is kept, though the client be gone
            await asyncio.wait({work})
            if not work.cancelled():
                work.exception()
            self._room.change(-self._counted_bytes)

    def _stop_taking(self) -> None:
        self._ending = True
        if self._taking is not None:
            self._taking.cancel()

    def _end(self) -> None:
        self._news.set()
        self._ended.set()

    def _answers(self) -> list[Held | Persisted | Wanted]:
        answers: list[Held | Persisted | Wanted] = []
        if self._unsaid_held or self._unsaid_name:
            answers.append(Held(held=ranges(self._unsaid_held), asset_id=self._unsaid_name))
            self._unsaid_held.clear()
            self._unsaid_name = ""
        if self._unsaid:
            answers.append(Persisted(chunks=ranges(self._unsaid), persisted_bytes=self._safe))
            self._unsaid.clear()
        if self._unsaid_wanted:
            answers.append(Wanted(chunks=self._unsaid_wanted))
            self._unsaid_wanted = ()
        return answers

    async def _work(self, messages: AsyncIterator[UploadMessage]) -> None:
        with one_error():
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._write())
                tasks.create_task(self._sync())
                self._taking = tasks.create_task(self._take(messages))
                if self._ending:
                    self._taking.cancel()
                await asyncio.wait({self._taking})
                await self._waiting.put(None)

    async def _take(self, messages: AsyncIterator[UploadMessage]) -> None:
        everything = self._ledger.manifest.count
        pace = self._limits.pace(asyncio.get_running_loop().time)
        if self._ledger.is_complete and not self._is_named:  # one or two chunks: the ends are all
            await self._waiting.put(self._ledger.whole())
        while len(self._assembly.taken) < everything or not self._ledger.is_complete:
            if self._room.is_full and not self._assembly.partial:
                await self._room.free()
                pace.waited()
            message = await pace.wait(anext(messages, None))
            if message is None:
                break
            if isinstance(message, Digests):
                pace.got(sum(map(len, message.digests)))
                await self._announce(message)
                continue
            pace.got(len(message.data))
            chunk = self._assembly.add(message)
            if chunk is not None:
                self._waiting_bytes += self._ledger.manifest.length(message.chunk)
            self._count()
            if chunk is not None:
                await self._waiting.put((message.chunk, chunk))
                pace.waited()

    def _count(self) -> None:
        """Tell the others how much memory this upload takes."""
        taken = self._waiting_bytes + sum(self._assembly.filled.values())
        self._room.change(taken - self._counted_bytes)
        self._counted_bytes = taken

    async def _announce(self, message: Digests) -> None:
        was_complete = self._ledger.is_complete
        held = self._ledger.announce(message)
        if held:
            self._unsaid_held.update(held)
            self._news.set()
        if self._ledger.is_complete and not was_complete:
            await self._waiting.put(self._ledger.whole())

    async def _write(self) -> None:
        while not await self._write_all():
            pass

    async def _write_all(self) -> bool:
        """Write what waits; gives whether it was the last. In a call of its own, lest an idle loop keep the bytes."""
        entries = await _all(self._waiting)
        chunks = dict(entry for entry in entries if isinstance(entry, tuple))
        if chunks:
            async with self._naming:
                await self._store.write(self.name, self._ledger.digests, chunks)
            self._waiting_bytes -= sum(map(self._ledger.manifest.length, chunks))
            self._count()
        for entry in entries:
            await self._written.put(entry[0] if isinstance(entry, tuple) else entry)
        return entries[-1] is None

    async def _sync(self) -> None:
        is_over = False
        while not is_over:
            entries = await _all(self._written)
            is_over = entries[-1] is None
            chunks = [entry for entry in entries if isinstance(entry, int)]
            if chunks:
                await self._store.hold(self.name, self._ledger.digests, chunks)
                self._safe += sum(map(self._ledger.manifest.length, chunks))
                self._unsaid.update(chunks)
                self._news.set()
            for entry in entries:
                if isinstance(entry, Manifest):
                    await self._be_named(entry)

    async def _be_named(self, manifest: Manifest) -> None:
        async with self._naming:  # nothing is written while the file moves
            await self._store.name(self.name, manifest)
            self.name = self._unsaid_name = manifest.asset_id
        self._is_named = True
        self._on_named(self.name)
        self._news.set()


async def _all(queue: asyncio.Queue[_T]) -> list[_T]:
    """All that waits in a queue, once something does."""
    entries = [await queue.get()]
    while not queue.empty():
        entries.append(queue.get_nowait())
    return entries
