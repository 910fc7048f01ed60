"""Large files that an edge takes for media."""

import os
import struct
from pathlib import Path

CLIP = Path(__file__).resolve().parents[2] / "media" / "clip.mp4"
MIB = 1 << 20
_FRESH_BYTES = 64


def make_file(path: Path, size: int) -> Path:
    """A clip of ``size`` bytes, most of them in boxes that players skip; never twice the same."""
    path.write_bytes(CLIP.read_bytes())
    with path.open("ab") as file:
        while (left := size - file.tell()) > 0:
            part = max(_FRESH_BYTES, min(64 * MIB, left))
            file.write(struct.pack(">I4s", part, b"free") + os.urandom(part - 8))
    return path


def renew(path: Path) -> Path:
    """Make it another file by its last bytes, so that an edge that has the one does not know the other."""
    with path.open("r+b") as file:
        file.seek(8 - _FRESH_BYTES, os.SEEK_END)
        file.write(os.urandom(_FRESH_BYTES - 8))
    return path
