"""Files as one ZIP that is written while it is sent: nothing is copied, and its size is known before its first byte.

The files are stored as they are, since videos do not get smaller; what a file's checksum is stands behind it.
"""

import io
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final
from zipfile import ZIP64_LIMIT, ZIP_FILECOUNT_LIMIT, ZIP_STORED, ZipFile, ZipInfo

_LARGE: Final = 1 << 30
"""A file of more bytes has its size written in the longer form; short of the greatest that the other could take."""
_FILE_MODE: Final = 0o100644 << 16
_UNIX: Final = 3
_FIRST_YEAR: Final = 1980


@dataclass(frozen=True, slots=True, kw_only=True)
class ZipEntry:
    """A file in a ZIP."""

    name: str
    size_bytes: int
    time_us: int
    """In microseconds since 1970."""
    read: Callable[[], AsyncGenerator[bytes, None]]
    """Gives its bytes; exactly so many."""


def zip_size(entries: Sequence[ZipEntry]) -> int:
    """Bytes of the ZIP that :func:`zipped` makes."""
    at = directory = 0
    for entry in entries:
        name, is_large = len(entry.name.encode()), entry.size_bytes >= _LARGE
        fields = 2 * (entry.size_bytes > ZIP64_LIMIT) + (at > ZIP64_LIMIT)
        directory += 46 + name + (4 + 8 * fields if fields else 0)
        at += 30 + name + (20 if is_large else 0) + entry.size_bytes + (24 if is_large else 16)
    is_long = len(entries) > ZIP_FILECOUNT_LIMIT or at > ZIP64_LIMIT or directory > ZIP64_LIMIT
    return at + directory + (56 + 20 if is_long else 0) + 22


async def zipped(entries: Sequence[ZipEntry]) -> AsyncGenerator[bytes, None]:
    """The bytes of a ZIP."""
    sink = _Sink()
    with ZipFile(sink, "w", ZIP_STORED) as archive:
        for entry in entries:
            with archive.open(_info(entry), "w", force_zip64=entry.size_bytes >= _LARGE) as file:
                async with aclosing(entry.read()) as data:
                    async for piece in data:
                        file.write(piece)
                        yield sink.take()
    yield sink.take()


def _info(entry: ZipEntry) -> ZipInfo:
    date = time.gmtime(entry.time_us / 1e6)[:6]
    info = ZipInfo(entry.name, date if date[0] >= _FIRST_YEAR else (_FIRST_YEAR, 1, 1, 0, 0, 0))
    info.external_attr, info.create_system = _FILE_MODE, _UNIX
    return info


class _Sink(io.RawIOBase):
    """Where a ZIP is written: cannot be gone back in, so nothing of it is kept."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def writable(self) -> bool:
        """As files have it."""
        return True

    def write(self, data: object, /) -> int:
        """Take bytes."""
        piece = data if isinstance(data, bytes) else bytes(memoryview(data))  # type: ignore[arg-type]  # any buffer
        self._pieces.append(piece)
        return len(piece)

    def take(self) -> bytes:
        """What was written since the last time."""
        data = b"".join(self._pieces)
        self._pieces.clear()
        return data
