"""One fragment of a preview, described: a head, places in a file that is there, a tail. In this order they are it."""

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from shared.errors import InternalError

_PREFIX = struct.Struct(">QQIII")
_EXTENT = struct.Struct(">QI")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fragment:
    """A fragment of fragmented MP4."""

    start_us: int
    """When its first frame is shown in the result."""
    end_us: int
    """When its last frame ends."""
    head: bytes
    extents: tuple[tuple[int, int], ...]
    """Where in the file, and how many bytes."""
    tail: bytes = b""

    @property
    def size_bytes(self) -> int:
        """Bytes of the whole fragment."""
        return len(self.head) + sum(size for _, size in self.extents) + len(self.tail)

    def to_bytes(self) -> bytes:
        """As a record."""
        prefix = _PREFIX.pack(self.start_us, self.end_us, len(self.head), len(self.extents), len(self.tail))
        return prefix + self.head + b"".join(_EXTENT.pack(*extent) for extent in self.extents) + self.tail

    @classmethod
    def of(cls, record: bytes) -> Self:
        """Undo :meth:`to_bytes`.

        Raises:
            InternalError: it is no record.
        """
        if len(record) < _PREFIX.size:
            raise InternalError("a fragment's record is damaged")
        start_us, end_us, head, extents, tail = _PREFIX.unpack_from(record)
        places = _PREFIX.size + head
        rest = places + extents * _EXTENT.size
        if len(record) != rest + tail:
            raise InternalError("a fragment's record is damaged")
        return cls(
            start_us=start_us,
            end_us=end_us,
            head=record[_PREFIX.size : places],
            extents=tuple(_EXTENT.iter_unpack(record[places:rest])),
            tail=record[rest:],
        )

    def read(self, path: Path, offset: int, length: int) -> bytes:
        """Some of its bytes, fewer at its end.

        Args:
            path: The file with the extents.
            offset: Where in the fragment.
            length: How many at most.

        Raises:
            InternalError: the file is shorter than it was.
        """
        with path.open("rb") as file:
            return b"".join(self._read(file.fileno(), offset, min(length, self.size_bytes - offset)))

    def _read(self, handle: int, offset: int, length: int) -> Iterator[bytes]:
        parts: list[tuple[bytes | int, int]] = [(self.head, len(self.head)), *self.extents, (self.tail, len(self.tail))]
        for where, size in parts:
            skipped, offset = min(offset, size), max(0, offset - size)
            taken = min(size - skipped, length)
            length -= taken
            if isinstance(where, bytes):
                yield where[skipped : skipped + taken]
            elif taken:
                data = os.pread(handle, taken, where + skipped)
                if len(data) != taken:
                    raise InternalError("a file of a preview is shorter than it was")
                yield data
