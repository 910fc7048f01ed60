"""Byte ranges of HTTP (RFC 9110, section 14)."""

import re

_PART = re.compile(r"(?:(\d{1,18})-(\d{1,18})?|-(\d{1,18}))", re.ASCII)
_RANGES = 16
"""Ranges in one request at most; of one that asks for more everything is sent."""

Range = tuple[int, int]
"""First byte, and the byte behind the last."""


def read_ranges(header: str, size: int) -> list[Range] | None:
    """The ranges that a ``Range`` header asks for, those that touch joined; empty where the file has none of them.

    Args:
        header: Its value.
        size: Bytes in the file.

    Returns:
        None where the header is to be passed over: it speaks of other units, is none, or asks for too many.
    """
    unit, _, listed = header.partition("=")
    parts = [_PART.fullmatch(part.strip()) for part in listed.split(",")]
    if unit.strip().lower() != "bytes" or len(parts) > _RANGES:
        return None
    wanted = []
    for part in parts:
        if part is None:
            return None
        first, last, suffix = part.groups()
        if first and last and int(last) < int(first):
            return None
        begin = int(first) if first else max(0, size - int(suffix))
        end = min(size, int(last) + 1) if last else size
        if begin < end:
            wanted.append((begin, end))
    return _joined(wanted)


def _joined(ranges: list[Range]) -> list[Range]:
    joined: list[Range] = []
    for begin, end in sorted(ranges):
        if joined and begin <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((begin, end))
    return joined
