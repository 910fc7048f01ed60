"""The boxes of an MP4 (ISO/IEC 14496-12), found without reading what is in them."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from shared.errors import InvalidMediaError

MOST_BOXES = 100_000
"""Boxes side by side that are looked through; a fragmented film of ten hours has 40,000."""
C2PA_UUID = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
"""What a box of kind ``uuid`` begins with that holds a C2PA manifest."""
BRANDS = frozenset({"ftyp", "styp"})

_HEAD, _LARGE = struct.Struct(">I4s"), struct.Struct(">Q")


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """One box; places are bytes from the file's beginning."""

    kind: str
    start: int
    size: int
    """Of all of it, in bytes."""
    head: int
    """Bytes before its content: 8 or 16."""

    @property
    def content(self) -> int:
        """Where its content begins."""
        return self.start + self.head

    @property
    def end(self) -> int:
        """Where the next begins."""
        return self.start + self.size


def boxes_in(file: BinaryIO, begin: int, end: int) -> Iterator[Box]:
    """The boxes that lie side by side in part of a file.

    Raises:
        InvalidMediaError: there is something else, or there are too many.
    """
    at = begin
    for _ in range(MOST_BOXES):
        if at == end:
            return
        box = _box_at(file, at, end)
        yield box
        at = box.end
    raise InvalidMediaError(f"the file has more than {MOST_BOXES} boxes", field="file", limit="boxes")


def _box_at(file: BinaryIO, at: int, end: int) -> Box:
    file.seek(at)
    told = file.read(_HEAD.size + _LARGE.size)[: max(0, end - at)]
    if len(told) < _HEAD.size:
        raise InvalidMediaError(f"the file is cut off, or no MP4, at byte {at}", field="file")
    size, kind = _HEAD.unpack_from(told)
    head = _HEAD.size
    if size == 1 and len(told) == _HEAD.size + _LARGE.size:
        (size,) = _LARGE.unpack_from(told, _HEAD.size)
        head += _LARGE.size
    elif size == 0:
        size = end - at
    if size < head or at + size > end:
        raise InvalidMediaError(f"the file is cut off, or no MP4, at byte {at}", field="file")
    return Box(kind=kind.decode("latin-1"), start=at, size=size, head=head)


def find_manifest(file: BinaryIO, size: int) -> Box | None:
    """The box with a file's C2PA manifest."""
    for box in boxes_in(file, 0, size):
        if box.kind == "uuid" and read_content(file, box, len(C2PA_UUID)) == C2PA_UUID:
            return box
    return None


def read_content(file: BinaryIO, box: Box, most: int) -> bytes:
    """What is in a box, up to so many bytes."""
    file.seek(box.content)
    return file.read(min(most, box.size - box.head))
