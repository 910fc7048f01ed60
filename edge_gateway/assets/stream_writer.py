"""One writer of one upload whose bytes come in order.

Two tasks with a bounded buffer between them: one takes what the client sends, the other hashes it, writes it, syncs it
and writes down how far the upload is. A fast client is synced in large batches, a slow one several times a second, so
that a cut costs what was on the way and a crash at most what came in the last moment.
"""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path

from edge_gateway.assets.stream import Checksum, ChunkHasher, Clock, Stream, StreamLimits
from edge_gateway.assets.stream_catalog import StreamCatalog
from edge_gateway.disk import disk_errors, sync_directory
from edge_gateway.failures import one_error
from shared import digest
from shared.errors import (
    ConflictError,
    DeadlineError,
    EdgeUnavailableError,
    InvalidInputError,
    NotFoundError,
    VisemeError,
)

_FULL_BYTES = 1 << 20
"""Bytes that are made safe at once."""
_BATCH_BYTES = 256 << 10
"""Bytes that are made safe after a moment, since more of a fast client's are about to come."""
_BUFFER_BYTES = 2 << 20
"""Bytes that may wait for the disk."""
_MOMENT_S = 0.03
_LINGER_S = 0.2
"""Seconds for which fewer may wait for more."""


class _Intake:
    """Bytes between the network and the disk."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._size = 0
        self._ended = False
        self._some = asyncio.Event()
        self._batch = asyncio.Event()
        self._full = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()

    async def put(self, data: bytes) -> bool:
        """Add bytes; waits while the buffer is full, and gives whether it had to."""
        is_full = not self._room.is_set()
        await self._room.wait()
        self._pieces.append(data)
        self._size += len(data)
        self._some.set()
        if self._size >= _BATCH_BYTES:
            self._batch.set()
        if self._size >= _FULL_BYTES:
            self._full.set()
        if self._size >= _BUFFER_BYTES:
            self._room.clear()
        return is_full

    def end(self, *, drop: bool = False) -> None:
        """Nothing more comes; what waits is kept, unless it is to be dropped."""
        if drop:
            self._pieces.clear()
        self._ended = True
        self._some.set()
        self.hurry()

    def hurry(self) -> None:
        """Give what waits without waiting for more."""
        self._batch.set()
        self._full.set()

    async def take(self) -> bytes:
        """Everything that waits once it is worth a write; nothing at the end."""
        await self._some.wait()
        with suppress(TimeoutError):
            async with asyncio.timeout(_LINGER_S):
                await self._batch.wait()
            async with asyncio.timeout(_MOMENT_S):
                await self._full.wait()
        data = b"".join(self._pieces)
        self._pieces.clear()
        self._size = 0
        if not self._ended:
            self._some.clear()
            self._batch.clear()
            self._full.clear()
        self._room.set()
        return data


class StreamWriter:
    """Appends to one upload.

    Args:
        catalog: Where it is written down how far the upload is.
        path: The upload's file.
        limits: How slow the client may be.
        count_up: Told the bytes that came.
        clock: The time.
    """

    def __init__(
        self,
        catalog: StreamCatalog,
        path: Path,
        *,
        limits: StreamLimits,
        count_up: Callable[[int], None],
        clock: Clock,
    ) -> None:
        self.ended = asyncio.Event()
        """Set when this writer touches nothing any longer; see :meth:`end`."""
        self._catalog = catalog
        self._path = path
        self._limits = limits
        self._count_up = count_up
        self._clock = clock
        self._intake = _Intake()
        self._receiving: asyncio.Task[None] | None = None
        self._fault: ConnectionError | VisemeError | None = None
        self._evicted = False
        self._came = 0
        self._safe = 0
        self._news = asyncio.Event()

    async def settle(self) -> None:
        """Wait until what has come by now is safe, or this writer is at its end."""
        expected = self._came
        while self._safe < expected and not self.ended.is_set():
            self._news.clear()
            self._intake.hurry()
            await self._news.wait()

    def end(self) -> None:
        """Nothing is touched any longer."""
        self.ended.set()
        self._news.set()

    def stop(self) -> None:
        """End this writer and keep what came; the edge is ending."""
        self._fault = EdgeUnavailableError("the edge is ending; ask for the offset when it is back")
        self._intake.end()
        if self._receiving is not None:
            self._receiving.cancel()

    def evict(self) -> None:
        """End this writer; another one of the same upload has come."""
        self._evicted = True
        self._intake.end(drop=True)
        if self._receiving is not None:
            self._receiving.cancel()

    async def run(self, stream: Stream, body: AsyncIterator[bytes], checksum: Checksum | None) -> None:
        """Append what the body gives, from the upload's offset on.

        Without a checksum everything that came is kept, whatever ends the body; with one, all of it or nothing.

        Raises:
            ConflictError: another writer came.
            EdgeUnavailableError: the edge is ending.
            ConnectionError: the body raised it, since the client went away.
            DeadlineError: the client said nothing for too long.
            InvalidInputError: more came than belongs to the upload, or something else than the checksum says.
            DiskFullError: the disk has no room.
        """
        hasher = await asyncio.to_thread(_open, self._path, stream.offset_bytes)
        if self._evicted:
            raise _evicted()
        with one_error():
            async with asyncio.TaskGroup() as tasks:
                self._receiving = tasks.create_task(self._receive(body, stream.size_bytes - stream.offset_bytes))
                tasks.create_task(self._keep(stream, hasher, checksum))
        if self._fault is not None:
            raise self._fault
        if self._evicted:
            raise _evicted()

    async def _receive(self, body: AsyncIterator[bytes], room: int) -> None:
        pace = self._limits.pace(asyncio.get_running_loop().time)
        try:
            while (data := await pace.wait(anext(body, None))) is not None:
                self._count_up(len(data))
                room -= len(data)
                if room < 0:
                    message = "more was sent than belongs to the upload"
                    self._fault = InvalidInputError(message, field="Upload-Length")
                    break
                if data:
                    self._came += len(data)
                    if await self._intake.put(data):
                        pace.waited()
                    pace.got(len(data))
        except (ConnectionError, DeadlineError) as error:
            self._fault = error
        self._intake.end()

    async def _keep(self, stream: Stream, hasher: ChunkHasher, checksum: Checksum | None) -> None:
        offset = stream.offset_bytes
        chunks: dict[int, bytes] = {}
        verify = None if checksum is None else hashlib.new(checksum.algorithm)
        while data := await self._intake.take():
            chunks |= await asyncio.to_thread(_append, self._path, offset, data, hasher, verify)
            offset += len(data)
            if checksum is None:
                await self._advance(stream, offset, chunks, hasher)
                chunks.clear()
                self._safe += len(data)
                self._news.set()
        if checksum is None or verify is None or self._evicted:
            return
        if self._fault is None and verify.digest() != checksum.value:
            message = "the bytes are not those of the checksum; they were damaged on the way, send them again"
            self._fault = InvalidInputError(message, field="Upload-Checksum")
        if self._fault is not None:
            await asyncio.to_thread(_cut, self._path, stream.offset_bytes)
            return
        await asyncio.to_thread(_sync, self._path)
        await self._advance(stream, offset, chunks, hasher)

    async def _advance(self, stream: Stream, offset: int, chunks: dict[int, bytes], hasher: ChunkHasher) -> None:
        last = hasher.last() if offset == stream.size_bytes else {}
        await self._catalog.advance(
            stream.upload_id, offset, chunks | last, self._clock(), progress_bytes=self._limits.progress_bytes
        )


def _evicted() -> ConflictError:
    return ConflictError("another request took this upload over; ask for the offset", field="Upload-Offset")


def _open(path: Path, offset: int) -> ChunkHasher:
    """Cut off what was never written down and hash the chunk that lies open."""
    there = path.exists()
    with disk_errors(path):
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if os.fstat(handle).st_size < offset:
                raise NotFoundError("the upload's file is gone; upload it again", field="upload_id")
            os.ftruncate(handle, offset)
            start = offset - offset % digest.CHUNK_BYTES
            head = bytearray()
            while len(head) < offset - start:
                head += os.pread(handle, offset - start - len(head), start + len(head))
        finally:
            os.close(handle)
        if not there:
            sync_directory(path.parent)
    return ChunkHasher(offset, bytes(head))


def _append(
    path: Path, offset: int, data: bytes, hasher: ChunkHasher, verify: "hashlib._Hash | None"
) -> dict[int, bytes]:
    """Write bytes at the end; they are synced, unless they wait for a checksum. Gives the chunks that became whole."""
    with disk_errors(path):
        handle = os.open(path, os.O_WRONLY)
        try:
            rest, end = memoryview(data), offset
            while rest:
                written = os.pwrite(handle, rest, end)
                end += written
                rest = rest[written:]
            if verify is None:
                os.fdatasync(handle)
            else:
                verify.update(data)
        except OSError:
            os.ftruncate(handle, offset)
            raise
        finally:
            os.close(handle)
    return hasher.add(data)


def _cut(path: Path, offset: int) -> None:
    os.truncate(path, offset)


def _sync(path: Path) -> None:
    with disk_errors(path):
        handle = os.open(path, os.O_WRONLY)
        try:
            os.fdatasync(handle)
        finally:
            os.close(handle)
