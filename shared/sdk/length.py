"""How long a recording or video lasts, read from its head alone: WAV and MP4 (MOV, M4A); nothing is decoded."""

import struct
import wave
from pathlib import Path
from typing import BinaryIO, Final

_IMAGES: Final = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"})
_LONGEST_HEAD: Final = 64
"""Boxes that are looked at before ``moov``; files have three or four."""


def seconds_of(path: Path) -> float | None:
    """Seconds; 0 for a picture, None where that cannot be told without decoding."""
    if path.suffix.lower() in _IMAGES:
        return 0.0
    try:
        with path.open("rb") as file:
            head = file.read(12)
            file.seek(0)
            if head[:4] == b"RIFF" and head[8:] == b"WAVE":
                with wave.open(file) as sound:
                    return float(sound.getnframes()) / float(sound.getframerate())
            return _mp4(file, path.stat().st_size) if head[4:8] in {b"ftyp", b"moov"} else None
    except (OSError, EOFError, wave.Error, struct.error, ZeroDivisionError):
        return None


def _mp4(file: BinaryIO, size: int) -> float | None:
    moov = _find(file, b"moov", 0, size)
    found = _find(file, b"mvhd", *moov) if moov else None
    if found is None:
        return None
    file.seek(found[0])
    body = file.read(32)
    if len(body) < 32:
        return None
    # Version 1 has times of 64 bits.
    scale, units = struct.unpack(">IQ", body[20:32]) if body[0] == 1 else struct.unpack(">II", body[12:20])
    return float(units) / float(scale)


def _find(file: BinaryIO, wanted: bytes, start: int, end: int) -> tuple[int, int] | None:
    """Where a box's content begins and ends."""
    for _ in range(_LONGEST_HEAD):
        if start + 8 > end:
            return None
        file.seek(start)
        size, kind = struct.unpack(">I4s", file.read(8))
        header = 8
        if size == 1:
            (size,) = struct.unpack(">Q", file.read(8))
            header = 16
        stop = end if size == 0 else start + size
        if kind == wanted:
            return start + header, stop
        if stop <= start:
            return None
        start = stop
    return None
