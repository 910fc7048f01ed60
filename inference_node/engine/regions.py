"""Regions of POSIX shared memory in which tensors pass between the node and a Triton on the same machine."""

import mmap
import os
import secrets
from collections import defaultdict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SMALLEST_BYTES: Final = 1 << 20
SHARED_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - POSIX shared memory lives nowhere else on Linux


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Region:
    """A piece of memory that the server has mapped too, under ``name``."""

    name: str
    memory: mmap.mmap
    size_bytes: int


Register = Callable[[str, str, int], Awaitable[None]]
"""Makes the server map a region: name, key in POSIX shared memory, size in bytes."""


class RegionPool:
    """Regions that are used again. The owner puts back only those whose request was answered.

    A region's file is unlinked as soon as the server has mapped it, so nothing stays behind however the node ends.

    Args:
        register: Makes the server map a region.
        limit_bytes: What all regions may have together.
    """

    def __init__(self, register: Register, *, limit_bytes: int) -> None:
        self._register = register
        self._limit_bytes = limit_bytes
        self._free: dict[int, list[Region]] = defaultdict(list)
        self._used_bytes = 0

    @property
    def names(self) -> list[str]:
        """Regions that lie ready."""
        return [region.name for regions in self._free.values() for region in regions]

    async def take(self, size_bytes: int) -> Region | None:
        """Take a region of at least this size; None where the limit allows no more."""
        size = max(SMALLEST_BYTES, 1 << (size_bytes - 1).bit_length())
        if self._free[size]:
            return self._free[size].pop()
        if self._used_bytes + size > self._limit_bytes:
            return None
        self._used_bytes += size
        try:
            return await self._make(size)
        except BaseException:
            self._used_bytes -= size
            raise

    def put_back(self, region: Region) -> None:
        """Give a region back for the next request."""
        self._free[region.size_bytes].append(region)

    def discard(self, region: Region) -> None:
        """Forget a region into which the server may still write."""
        self._used_bytes -= region.size_bytes
        _close(region)

    def clear(self) -> None:
        """Forget all regions that lie ready."""
        for regions in self._free.values():
            while regions:
                self.discard(regions.pop())

    async def _make(self, size: int) -> Region:
        name = f"viseme_{os.getpid()}_{secrets.token_hex(6)}"
        path = SHARED_MEMORY / name
        file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
        try:
            # Reserved now: a full /dev/shm is an error here and not a SIGBUS later.
            os.posix_fallocate(file, 0, size)
            memory = mmap.mmap(file, size)
            await self._register(name, f"/{name}", size)
        finally:
            os.close(file)
            path.unlink(missing_ok=True)
        return Region(name=name, memory=memory, size_bytes=size)


def _close(region: Region) -> None:
    with suppress(BufferError):  # a view of it is still alive; it goes with the last of them
        region.memory.close()
