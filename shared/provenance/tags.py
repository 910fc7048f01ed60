"""The metadata of an MP4 that has names of its own (QuickTime's ``mdta``): a table of keys, and a list of values."""

import struct
from collections.abc import Iterator
from typing import BinaryIO

from shared.errors import LimitExceededError
from shared.provenance.boxes import Box, boxes_in, read_content

MOST_BYTES = 4 << 20
"""Of all of a file's metadata."""
_HEAD = 8
_TEXT = 1


def read_tags(file: BinaryIO, size: int) -> dict[str, str]:
    """Keys and values, those that are text.

    Raises:
        InvalidMediaError: the file is no MP4.
        LimitExceededError: it has more metadata than is read.
    """
    tags: dict[str, str] = {}
    for meta in _metas(file, size):
        if meta.size > MOST_BYTES:
            raise LimitExceededError(f"it has more than {MOST_BYTES} bytes of metadata", field="file", limit="metadata")
        # In MP4 it has a version first; in QuickTime its boxes come at once.
        versioned = read_content(file, meta, _HEAD)[4:8] != b"hdlr"
        inner = {box.kind: box for box in boxes_in(file, meta.content + 4 * versioned, meta.end)}
        if "keys" in inner and "ilst" in inner:
            keys = _keys(read_content(file, inner["keys"], MOST_BYTES))
            tags |= _values(file, inner["ilst"], keys)
    return tags


def _metas(file: BinaryIO, size: int) -> Iterator[Box]:
    """Where metadata stands: in the film's index, or in its part for users."""
    for moov in boxes_in(file, 0, size):
        for box in boxes_in(file, moov.content, moov.end) if moov.kind == "moov" else ():
            inner = boxes_in(file, box.content, box.end) if box.kind == "udta" else (box,)
            yield from (one for one in inner if one.kind == "meta")


def _keys(table: bytes) -> list[str]:
    keys, at = [], _HEAD
    while at + _HEAD <= len(table):
        (length,) = struct.unpack_from(">I", table, at)
        if length < _HEAD:
            break
        keys.append(table[at + _HEAD : at + length].decode(errors="replace"))
        at += length
    return keys


def _values(file: BinaryIO, ilst: Box, keys: list[str]) -> dict[str, str]:
    found = {}
    for item in boxes_in(file, ilst.content, ilst.end):
        number = int.from_bytes(item.kind.encode("latin-1"), "big")
        for data in boxes_in(file, item.content, item.end):
            content = read_content(file, data, MOST_BYTES)
            if data.kind == "data" and content[:4] == _TEXT.to_bytes(4, "big") and 0 < number <= len(keys):
                found[keys[number - 1]] = content[_HEAD:].decode(errors="replace")
    return found
