"""Uploads: the manifest first, data at once, and after a cut only what is not yet safe at the edge."""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from shared.digest import CHUNK_BYTES
from shared.errors import EdgeUnavailableError
from shared.pb.viseme.gateway.v1 import asset_pb2
from shared.rpc.channel import END, send
from shared.sdk import model
from shared.sdk.convert import asset_from
from shared.sdk.link import Attempts, Link, read_within
from shared.sdk.source import Source

PIECE_BYTES: Final = 256 << 10
"""Bytes of one message: gRPC delivers only whole ones, so larger pieces would show no progress on a thin link."""

_EDGE_CHUNKS: Final = 2
"""Chunks from head and tail that go first, so that probing and decoding can begin."""

WINDOW_CHUNKS: Final = 8
"""Chunks on their way that the edge has not yet called safe. It bounds what a cut costs; 4 MiB would slow a link of
100 Mbit/s and 200 ms, this fills one of 300 Mbit/s."""

ProgressCallback = Callable[[model.Transfer], None]


def chunk_order(count: int) -> Iterator[int]:
    """The order in which chunks are sent: head, tail, then the rest."""
    head = range(min(_EDGE_CHUNKS, count))
    tail = range(max(len(head), count - _EDGE_CHUNKS), count)
    yield from head
    yield from tail
    yield from range(len(head), count - len(tail))


class Upload:
    """One file on its way."""

    def __init__(self, link: Link, source: Source, on_progress: ProgressCallback | None) -> None:
        self._link = link
        self._source = source
        self._on_progress = on_progress
        self._held: set[int] = set()
        self._flying: set[int] = set()
        self._landed = asyncio.Event()
        self._skipped_bytes: int | None = None
        self._attempts = Attempts(link)
        self._clock = asyncio.get_running_loop().time
        self._moved = self._clock()

    async def run(self) -> model.Asset:
        """Upload, over as many connections as it takes.

        Raises:
            EdgeUnavailableError: The edge stayed silent for too long.
            VisemeError: What the edge said, or that the file changed.
        """
        return await self._link.persist(self._attempt, self._attempts)

    async def _attempt(self) -> model.Asset:
        self._moved = self._clock()
        self._flying.clear()
        call = self._link.media.Upload(None)
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
        source = self._source
        manifest = asset_pb2.Manifest(
            size_bytes=source.size_bytes,
            chunk_bytes=CHUNK_BYTES,
            chunk_digests=source.digests,
            digest_function=asset_pb2.DIGEST_FUNCTION_SHA256,
            chunking=asset_pb2.CHUNKING_FIXED,
            display_name=source.path.name,
        )
        if not await send(call, asset_pb2.UploadRequest(manifest=manifest)):
            return  # the stream is over: the reader knows why
        for index in chunk_order(len(source.digests)):
            await self._room()
            if index in self._held:
                continue
            self._flying.add(index)
            for piece in _pieces(index, await source.chunk(index)):
                if index in self._held:
                    break
                if not await send(call, asset_pb2.UploadRequest(piece=piece)):
                    return
                self._moved = self._clock()
        await call.done_writing()

    async def _room(self) -> None:
        while len(self._flying) >= WINDOW_CHUNKS:
            self._landed.clear()
            await self._landed.wait()

    def _land(self, chunks: set[int]) -> None:
        self._held |= chunks
        self._flying -= chunks
        self._landed.set()

    async def _receive(self, call: Any) -> model.Asset:
        while (answer := await read_within(call, self._link, lambda: self._moved)) is not END:
            kind = answer.WhichOneof("message")
            if kind == "complete":
                self._attempts.progress()
                self._tell(self._source.size_bytes)
                return asset_from(answer.complete.asset)
            if kind == "start":
                self._held.clear()
                self._land(_indices(answer.start.held))
                held_bytes = sum(self._size_of(index) for index in self._held)
                if self._skipped_bytes is None:
                    self._skipped_bytes = held_bytes
                self._tell(held_bytes)
            elif kind == "persisted":
                self._attempts.progress()
                self._land(_indices(answer.persisted.chunks))
                self._tell(answer.persisted.persisted_bytes)
        raise EdgeUnavailableError(f"the edge at {self._link.address} ended the upload before it was complete")

    def _size_of(self, index: int) -> int:
        return min(CHUNK_BYTES, self._source.size_bytes - index * CHUNK_BYTES)

    def _tell(self, done_bytes: int) -> None:
        if self._on_progress is not None:
            self._on_progress(
                model.Transfer(
                    name=str(self._source.path),
                    done_bytes=done_bytes,
                    size_bytes=self._source.size_bytes,
                    skipped_bytes=self._skipped_bytes or 0,
                )
            )


def _pieces(index: int, chunk: bytes) -> Iterator[asset_pb2.ChunkPiece]:
    for offset in range(0, len(chunk), PIECE_BYTES):
        yield asset_pb2.ChunkPiece(chunk_index=index, offset_bytes=offset, data=chunk[offset : offset + PIECE_BYTES])


def _indices(ranges: Iterable[asset_pb2.ChunkRange]) -> set[int]:
    return {index for run in ranges for index in range(run.first, run.first + run.count)}
