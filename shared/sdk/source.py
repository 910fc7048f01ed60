"""A local file that is to be uploaded: checked, hashed while it is sent, and read again chunk by chunk."""

import asyncio
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from shared.digest import CHUNK_BYTES, asset_id, chunk_count, chunk_digest
from shared.errors import InvalidInputError, InvalidMediaError, VisemeError

_END_CHUNKS: Final = 2
"""Chunks from head and tail that go first, so that probing and decoding can begin."""


def end_chunks(count: int) -> tuple[int, ...]:
    """The chunks of head and tail."""
    head = range(min(_END_CHUNKS, count))
    return (*head, *range(max(len(head), count - _END_CHUNKS), count))


def chunk_order(count: int) -> Iterator[int]:
    """The order in which chunks are hashed and sent: head, tail, then the rest."""
    ends = end_chunks(count)
    yield from ends
    yield from (chunk for chunk in range(count) if chunk not in ends)


class Source:
    """A file whose chunks are hashed by a thread inside ``async with``; made by :func:`open_source`.

    Args:
        path: The file.
        field: What to name in errors.
        size_bytes: Its size.
    """

    def __init__(self, path: Path, field: str, size_bytes: int) -> None:
        self.path = path
        self.field = field
        self.size_bytes = size_bytes
        self.count = chunk_count(size_bytes)
        self.digests: list[bytes] = [b""] * self.count
        """Of each chunk; empty while unknown."""
        self.known: list[int] = []
        """The chunks whose digests are known, in the order in which they became so."""
        self._stamp = 0
        self._stop = threading.Event()
        self._news = asyncio.Event()
        self._failed: VisemeError | None = None
        self._hashing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        with self._readable():
            self._stamp = self.path.stat().st_mtime_ns
        self._hashing = asyncio.create_task(asyncio.to_thread(self._hash, asyncio.get_running_loop()))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._hashing is not None:
            await asyncio.wait({self._hashing})

    @property
    def is_hashed(self) -> bool:
        """Whether every digest is known."""
        return len(self.known) == self.count

    @property
    def asset_id(self) -> str:
        """The id of the asset that this file makes, once every digest is known."""
        return asset_id(self.size_bytes, self.digests)

    async def hashed(self, *chunks: int) -> None:
        """Wait until the digests of these chunks are known, of all where none is named.

        Raises:
            InvalidInputError: The file cannot be read, or changed meanwhile.
        """
        while not (all(self.digests[chunk] for chunk in chunks) if chunks else self.is_hashed):
            self._news.clear()
            if self._failed is None:
                await self._news.wait()
            if self._failed is not None:
                raise self._failed

    async def more(self, count: int) -> bool:
        """Wait until more than ``count`` digests are known.

        Raises:
            InvalidInputError: The file cannot be read, or changed meanwhile.
        """
        while len(self.known) <= count:
            self._news.clear()
            if self._failed is None:
                await self._news.wait()
            if self._failed is not None:
                raise self._failed
        return True

    async def finished(self) -> None:
        """Wait until hashing has ended.

        Raises:
            InvalidInputError: The file cannot be read, or changed while it was hashed.
        """
        if self._hashing is not None:
            await asyncio.wait({self._hashing})
        if self._failed is not None:
            raise self._failed

    async def chunk(self, index: int) -> bytes:
        """Read one chunk.

        Raises:
            InvalidInputError: The file is not any more what was hashed.
        """
        return await asyncio.to_thread(self._read, index)

    async def check(self) -> None:
        """Read the whole file again.

        Raises:
            InvalidInputError: It is not any more what was hashed.
        """
        for index in self.known:
            await asyncio.to_thread(self._verify, index)

    def _verify(self, index: int) -> None:
        with self._readable(), self.path.open("rb") as file:
            file.seek(index * CHUNK_BYTES)
            if chunk_digest(file.read(CHUNK_BYTES)) != self.digests[index]:
                raise self._changed()

    def _read(self, index: int) -> bytes:
        with self._readable(), self.path.open("rb", buffering=0) as file:
            now = os.fstat(file.fileno())
            file.seek(index * CHUNK_BYTES)
            data = file.read(CHUNK_BYTES)
        # The edge checks every chunk; here we only look closer where the file was touched.
        touched = now.st_mtime_ns != self._stamp or now.st_size != self.size_bytes
        if touched and chunk_digest(data) != self.digests[index]:
            raise self._changed()
        return data

    def _hash(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            with self._readable(), self.path.open("rb", buffering=0) as file:
                block = memoryview(bytearray(min(CHUNK_BYTES, self.size_bytes)))
                for index in chunk_order(self.count):
                    if self._stop.is_set():
                        return
                    length = min(CHUNK_BYTES, self.size_bytes - index * CHUNK_BYTES)
                    file.seek(index * CHUNK_BYTES)
                    if file.readinto(block[:length]) != length:
                        raise self._changed()
                    self._tell(loop, index, chunk_digest(block[:length]))
                now = os.fstat(file.fileno())
            if now.st_size != self.size_bytes:
                raise self._changed()
            if now.st_mtime_ns != self._stamp:  # changed or only touched: what was hashed first may be out of date
                for index in self.known:
                    self._verify(index)
        except VisemeError as error:
            self._failed = error
            self._wake(loop)

    def _tell(self, loop: asyncio.AbstractEventLoop, index: int, digest: bytes) -> None:
        self.digests[index] = digest
        self.known.append(index)
        self._wake(loop)

    def _wake(self, loop: asyncio.AbstractEventLoop) -> None:
        if not self._stop.is_set():
            loop.call_soon_threadsafe(self._news.set)

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise InvalidInputError(f"{self.path} cannot be read: {error.strerror}", field=self.field) from error

    def _changed(self) -> InvalidInputError:
        return InvalidInputError(f"{self.path} changed while it was uploaded; try again", field=self.field)


def check_file(path: Path, *, field: str) -> int:
    """Make sure that a file can be sent at all; gives its size in bytes.

    Raises:
        InvalidInputError: It is not there, not a file, or not readable.
        InvalidMediaError: It is empty.
    """
    try:
        if path.is_dir():
            raise InvalidInputError(f"{path} is a folder, not a file", field=field)
        size = path.stat().st_size
        if not path.is_file():
            raise InvalidInputError(f"{path} is not a regular file", field=field)
    except OSError as error:
        raise InvalidInputError(f"{path}: {error.strerror}", field=field) from error
    if not os.access(path, os.R_OK):
        raise InvalidInputError(f"{path} may not be read by this user", field=field)
    if size == 0:
        raise InvalidMediaError(f"{path} is empty", field=field)
    return size


async def open_source(path: Path, *, field: str) -> Source:
    """Check a file; hashing begins when the source is entered.

    Raises:
        InvalidInputError: It cannot be read or is empty.
    """
    return Source(path, field, await asyncio.to_thread(check_file, path, field=field))
