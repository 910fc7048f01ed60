"""Uploads: what is known of the file first, data at once, and after a cut only what is not yet safe at the edge.

The file is hashed by a thread while it is sent. What can be hashed in ``HASH_AHEAD_S`` decides how an upload begins: a
file that is hashed by then, or was by an earlier attempt, sends its whole manifest, so that one which is there is
recognised at once; a larger one sends the digests of its ends, and the others as they become known. Hashing is faster
than any link but loopback, so that digests are ahead of the data, and the edge says which of the announced chunks it
has before they are sent.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from shared.digest import CHUNK_BYTES
from shared.errors import ConflictError, EdgeUnavailableError, InvalidInputError, NotFoundError, TakenOverError
from shared.pb.viseme.gateway.v1 import asset_pb2
from shared.rpc.channel import END, send
from shared.sdk import model
from shared.sdk.convert import asset_from, chunks_from
from shared.sdk.link import Attempts, Link, read_within
from shared.sdk.order import Order
from shared.sdk.pace import Meter, Pause, Throttle
from shared.sdk.rival import Rival
from shared.sdk.source import Source
from shared.telemetry import tracing

PIECE_BYTES: Final = 256 << 10
"""Bytes of one message: gRPC delivers only whole ones, so larger pieces would show no progress on a thin link."""

PIECE_S: Final = 0.02
"""Pieces grow to what the link moves in this time, up to a chunk: on a fast one each costs more than its bytes."""

WINDOW_CHUNKS: Final = 16
"""Chunks on their way that the edge has not yet called safe; the edge keeps what has come of them after a cut. 4 MiB
would slow a link of 100 Mbit/s and 200 ms, and of 8 the edge has too few to sync while others come."""

HASH_AHEAD_S: Final = 0.1
"""Time to hash before the first message."""

HASH_AHEAD_BYTES: Final = 192 << 20
"""Size of a file that cannot be hashed in that time: it is not tried."""

PAUSE_HOLD_S: Final = 30.0
"""Time for which a paused upload keeps its stream; later it takes the upload up anew."""

_DIGESTS: Final = 4096
"""Digests in one message."""

_WHOLE_FIELDS: Final = frozenset({"digests", "manifest.chunk_digests", "asset_id"})
"""Fields of errors by which an edge asks for the whole manifest: the second is that of one which knows no other, the
third tells that what began without an id became, by another client, an asset of another file with the same ends."""

_DAMAGED_FIELDS: Final = frozenset({"piece", "piece.data"})

ProgressCallback = Callable[[model.Transfer], None]


class _PausedError(Exception):
    """The stream was given up as the pause lasts."""


class Upload:
    """One file on its way.

    Args:
        link: To the edge.
        source: The file, entered.
        on_progress: Told how far it is.
        throttle: The rate to keep.
        pause: Holds it up.
        ends_first: Send only the ends of the file, and what the edge waits for, until :meth:`release`.
        on_sent: Told once when nothing is left to be sent, or another client sends it.
    """

    def __init__(
        self,
        link: Link,
        source: Source,
        on_progress: ProgressCallback | None,
        *,
        throttle: Throttle | None = None,
        pause: Pause | None = None,
        ends_first: bool = False,
        on_sent: Callable[[], None] = lambda: None,
    ) -> None:
        self._link = link
        self._source = source
        self._on_progress = on_progress
        self._throttle = throttle or Throttle()
        self._pause = pause or Pause()
        self._ends_first = ends_first
        self._on_sent = on_sent
        self._needs_whole = False
        self._began_open = False
        self._held: set[int] = set()
        self._flying: set[int] = set()
        self._sent: set[int] = set()
        self._sent_before: set[int] = set()
        self._skipped: set[int] = set()
        self._told = 0
        self._held_bytes = 0
        self._skipped_bytes = 0
        self._done_bytes = 0
        self._order = Order(0)
        self._wanted: list[int] = []
        self._wake = asyncio.Event()
        self._started = False
        self._name: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._rival = Rival(link)
        self._by_other = False
        self._attempts = Attempts(link)
        self._clock = asyncio.get_running_loop().time
        self._meter = Meter(self._clock)
        self._moved = self._clock()
        self._place = link.place

    async def run(self) -> model.Asset:
        """Upload, over as many connections as it takes.

        Raises:
            EdgeUnavailableError: The edge stayed silent for too long.
            VisemeError: What the edge said, or that the file changed.
        """
        while True:
            await self._pause.cleared()
            try:
                asset = await self._link.persist(self._attempt, self._attempts)
            except _PausedError:
                continue
            except TakenOverError:
                followed = await self._follow()
                if followed is None:
                    continue
                asset = followed
            except (ConflictError, InvalidInputError, NotFoundError) as error:
                if self._began_open and error.field in _WHOLE_FIELDS:
                    continue
                if error.field in _DAMAGED_FIELDS:
                    await self._source.check()
                raise
            await self._source.finished()
            return asset

    async def named(self) -> str:
        """Wait until the edge knows the file as an asset, complete or not; gives the asset's id."""
        return await asyncio.shield(self._name)

    def release(self) -> None:
        """Send everything from now on."""
        self._ends_first = False
        self._moved = self._clock()
        self._wake.set()

    async def _follow(self) -> model.Asset | None:
        """Let the client go on that took the upload over; None when it does not."""
        await self._source.hashed()
        self._by_other = True
        self._sent_before = set(self._sent)
        self._on_sent()
        asset = await self._rival.outcome(self._source.asset_id, self._see)
        self._by_other = False
        if asset is not None:
            self._see(set(range(self._source.count)))
        return asset

    def _see(self, chunks: set[int]) -> None:
        """Note what the edge has of an upload that another client goes on with."""
        self._be_named(self._source.asset_id)
        self._attempts.progress()
        self._skip(chunks)

    def _be_named(self, asset_id: str) -> None:
        if not self._name.done():
            self._name.set_result(asset_id)

    def _arrive(self) -> None:
        """Forget what the edge had that was left: of this one nothing is known yet."""
        self._place = self._link.place
        for chunks in (self._held, self._sent, self._skipped):
            chunks.clear()
        self._held_bytes = self._skipped_bytes = self._done_bytes = 0
        self._wanted = []
        self._meter = Meter(self._clock)

    async def _attempt(self) -> model.Asset:
        if self._place != self._link.place:
            self._arrive()
        self._moved = self._clock()
        self._flying.clear()
        self._started = False
        # Whether chunks that were sent before a cut arrived, the edge will say; the others need not wait for that.
        self._order = Order(self._source.count, self._sent - self._held, self._wanted)
        self._sent_before = set(self._sent)
        call = self._link.media.Upload(None, metadata=tracing.metadata())
        sender = asyncio.create_task(self._send(call))
        reader = asyncio.create_task(self._receive(call))
        try:
            await asyncio.wait({sender, reader}, return_when=asyncio.FIRST_COMPLETED)
            if sender.done() and (failed := sender.exception()) is not None:
                raise failed
            return await reader
        finally:
            sender.cancel()
            reader.cancel()
            call.cancel()
            await asyncio.gather(sender, reader, return_exceptions=True)

    async def _send(self, call: Any) -> None:
        if not await self._begin(call):
            return  # the stream is over: the reader knows why
        while await self._announce(call):
            index = self._next()
            if index is None and self._order.is_empty and self._told == self._source.count:
                self._on_sent()
                await call.done_writing()
                return
            if index is None:
                await self._news()
                continue
            await self._source.hashed(index)
            if not await self._announce(call):
                return
            if index not in self._held and not await self._send_chunk(call, index):
                return

    def _next(self) -> int | None:
        """The chunk to send now; None where there is none, or as many are on their way as may be."""
        if len(self._flying) >= WINDOW_CHUNKS:
            return None
        return self._order.next(self._held.__contains__, bulk=not self._ends_first, doubtful=self._started)

    async def _news(self) -> None:
        """Wait until there may be something to send."""
        self._wake.clear()
        waits: list[asyncio.Future[Any]] = [asyncio.ensure_future(self._wake.wait())]
        if self._told < self._source.count:
            waits.append(asyncio.ensure_future(self._source.more(self._told)))
        try:
            done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for one in done:
                one.result()
        finally:
            for one in waits:
                one.cancel()

    async def _begin(self, call: Any) -> bool:
        """Send the manifest; False when the stream is over."""
        source = self._source
        ahead_s = HASH_AHEAD_S if source.size_bytes <= HASH_AHEAD_BYTES else 0.0
        try:
            async with asyncio.timeout(None if self._needs_whole else ahead_s):
                await source.hashed()
        except TimeoutError:
            await source.hashed(0, source.count - 1)
        self._began_open = not source.is_hashed
        self._needs_whole = True  # after a cut: only so does the edge say at once what it has
        manifest = asset_pb2.Manifest(
            size_bytes=source.size_bytes,
            chunk_bytes=CHUNK_BYTES,
            digest_function=asset_pb2.DIGEST_FUNCTION_SHA256,
            chunking=asset_pb2.CHUNKING_FIXED,
            display_name=source.path.name,
        )
        if self._began_open:
            manifest.head_digest, manifest.tail_digest = source.digests[0], source.digests[-1]
            self._told = 0
        else:
            manifest.chunk_digests.extend(source.digests)
            self._told = source.count
        return await send(call, asset_pb2.UploadRequest(manifest=manifest))

    async def _announce(self, call: Any) -> bool:
        """Tell the digests that have become known; False when the stream is over."""
        fresh = self._source.known[self._told :]
        self._told += len(fresh)
        for first, count in _runs(fresh):
            for at in range(first, first + count, _DIGESTS):
                digests = self._source.digests[at : min(at + _DIGESTS, first + count)]
                message = asset_pb2.ChunkDigests(first_chunk=at, digests=digests)
                if not await send(call, asset_pb2.UploadRequest(digests=message)):
                    return False
        return True

    async def _send_chunk(self, call: Any, index: int) -> bool:
        """Send one chunk, as far as the edge does not have it; False when the stream is over."""
        self._flying.add(index)
        size = max(PIECE_BYTES, min(CHUNK_BYTES, int(self._meter.rate * PIECE_S)))
        chunk = await self._source.chunk(index)
        for request in _pieces(index, chunk, self._throttle.piece(size)):
            await self._throttle.take(len(request.piece.data))
            await self._unpaused()
            if index in self._held:
                return True
            if not await self._announce(call):
                return False
            if request.piece.offset_bytes + len(request.piece.data) == len(chunk):
                self._sent.add(index)  # before it goes: it may arrive although we hear of a cut
            if not await send(call, request):
                return False
            self._moved = self._clock()
        return True

    async def _unpaused(self) -> None:
        if self._pause.is_set():
            if not await self._pause.cleared(PAUSE_HOLD_S):
                raise _PausedError
            self._moved = self._clock()

    def _land(self, chunks: set[int]) -> None:
        self._held_bytes += self._size(chunks - self._held)
        self._held |= chunks
        self._flying -= chunks
        self._wake.set()
        self._tell(self._held_bytes)

    def _skip(self, chunks: set[int]) -> None:
        """Note chunks that the edge has; those that we sent before a cut were not skipped."""
        skipped = chunks - self._sent_before - self._skipped
        self._skipped |= skipped
        self._skipped_bytes += self._size(skipped)
        self._land(chunks)

    async def _receive(self, call: Any) -> model.Asset:
        while (answer := await read_within(call, self._link, self._last_moved)) is not END:
            kind = answer.WhichOneof("message")
            if kind == "complete":
                self._attempts.progress()
                self._link.arrived(str(self._source.path), self._source.size_bytes)
                self._tell(self._source.size_bytes)
                self._be_named(answer.complete.asset.asset_id)
                return asset_from(answer.complete.asset)
            if kind == "start":
                self._begun(answer.start)
            elif kind == "held":
                self._attempts.progress()
                self._skip(self._chunks(answer.held.held))
                if answer.held.asset_id:
                    self._be_named(answer.held.asset_id)
            elif kind == "persisted":
                self._attempts.progress()
                self._land(self._chunks(answer.persisted.chunks))
            elif kind == "wanted":
                self._wanted = chunks_from(answer.wanted.chunks, self._source.count)
                self._order.want(self._wanted)
                self._wake.set()
        raise EdgeUnavailableError(f"the edge at {self._link.address} ended the upload before it was complete")

    def _begun(self, start: asset_pb2.UploadStart) -> None:
        """Note what the edge says first."""
        self._held.clear()
        self._held_bytes = 0
        self._started = True
        if self._ends_first:  # the edge ends a stream on which nothing comes, but is there
            self._attempts.progress()
        self._skip(self._chunks(start.held))
        if not self._began_open:
            self._link.arrived(str(self._source.path), self._held_bytes)
            self._be_named(start.asset_id)

    def _last_moved(self) -> float:
        return self._clock() if self._pause.is_set() or self._ends_first else self._moved

    def _chunks(self, ranges: Iterable[asset_pb2.ChunkRange]) -> set[int]:
        return set(chunks_from(ranges, self._source.count))

    def _size(self, chunks: set[int]) -> int:
        whole = self._source.size_bytes
        return sum(min(CHUNK_BYTES, whole - index * CHUNK_BYTES) for index in chunks)

    def _tell(self, done_bytes: int) -> None:
        self._done_bytes = max(self._done_bytes, done_bytes)
        self._meter.note(max(0, self._done_bytes - self._skipped_bytes))
        self._link.acknowledged(str(self._source.path), self._done_bytes)
        if self._on_progress is None:
            return
        rate = self._meter.rate
        left = self._source.size_bytes - self._done_bytes
        self._on_progress(
            model.Transfer(
                name=str(self._source.path),
                done_bytes=self._done_bytes,
                size_bytes=self._source.size_bytes,
                skipped_bytes=self._skipped_bytes,
                bytes_per_s=rate,
                left_s=left / rate if rate > 0 else None,
                by_other=self._by_other,
            )
        )


def _pieces(index: int, chunk: bytes, size: int) -> Iterator[asset_pb2.UploadRequest]:
    for offset in range(0, len(chunk), size):
        request = asset_pb2.UploadRequest()
        piece = request.piece  # filled in place: to put it in later would copy it
        piece.chunk_index, piece.offset_bytes, piece.data = index, offset, chunk[offset : offset + size]
        yield request


def _runs(indices: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Runs of numbers that follow each other, as first and count, in the order given."""
    first = count = 0
    for index in indices:
        if count and index == first + count:
            count += 1
            continue
        if count:
            yield first, count
        first, count = index, 1
    if count:
        yield first, count
