"""Room on the disk below which an edge takes nothing new, so that what it has taken can be brought to its end."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from shared.errors import DiskFullError

RETRY_S: Final = 60.0
"""Seconds after which a client that was refused may try again: about as often as the edge lets go of what is due."""


def _disk(path: Path) -> tuple[int, int]:
    told = os.statvfs(path)
    return told.f_bavail * told.f_frsize, told.f_blocks * told.f_frsize


class Watermark:
    """The mark of one disk: a share of it, but no more than some bytes.

    Args:
        root: A directory on the disk.
        share: The part of the disk that must be free, from 0 (no mark) to below 1.
        most_bytes: What is enough on every disk.
        disk: Bytes that are free on the disk of a path, and bytes that it has.
    """

    def __init__(
        self, root: Path, share: float, most_bytes: int, *, disk: Callable[[Path], tuple[int, int]] = _disk
    ) -> None:
        self._root = root
        self._share = share
        self._most_bytes = most_bytes
        self._disk = disk

    @property
    def mark_bytes(self) -> int:
        """Bytes that must be free."""
        _, size = self._disk(self._root)
        return min(round(size * self._share), self._most_bytes)

    def check(self) -> None:
        """Refuse new work where too little is free; looks at the disk, which takes microseconds.

        Raises:
            DiskFullError: there is; says when to try again.
        """
        free, size = self._disk(self._root)
        mark = min(round(size * self._share), self._most_bytes)
        if free < mark:
            message = (
                f"the edge's disk has {free} bytes left and takes no new work below {mark}; "
                "what was taken goes on: delete some files, or try again later"
            )
            raise DiskFullError(message, limit="disk_watermark", retry_after_s=RETRY_S)
