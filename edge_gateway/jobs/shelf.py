"""The faces on disk, held within a number of bytes and a time: those go first that nobody has used for longest."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge_gateway.disk import remove_tree
from shared.telemetry.logging import get_logger

_LOG = get_logger(__name__)

_GOING: Final = ".going-"
"""What a face is called while it is deleted: it is there whole or not at all, even for whoever starts after a crash."""
_LOOK_S: Final = 60.0
"""How often it is looked whether the time of one is over."""
_ASSET_ID: Final = 64
"""Characters of a face's key that are the video's asset id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Held:
    key: str
    used_ns: int
    size_bytes: int


def video_of(key: str) -> str:
    """The asset id of the video that a face is of."""
    return key[:_ASSET_ID]


class FaceShelf:
    """Bounds the directory of the faces.

    Args:
        root: The directory.
        limit_bytes: What all faces may take; those in use may exceed it.
        in_use: The asset ids of videos that unfinished jobs need.
        keep_s: Seconds after its last use after which a face goes, 0 for never.
        clock_ns: The time of day in nanoseconds, as folders have it.
        on_gone: Told the bytes of each face that goes as its time is over.
        on_going: Told the key of each face that is about to go.
    """

    def __init__(
        self,
        root: Path,
        limit_bytes: int,
        in_use: Callable[[], Awaitable[Iterable[str]]],
        *,
        keep_s: float = 0.0,
        clock_ns: Callable[[], int] = time.time_ns,
        on_gone: Callable[[int], None] = lambda _: None,
        on_going: Callable[[str], Awaitable[None]] | None = None,
    ) -> None:
        self._root = root
        self._limit_bytes = limit_bytes
        self._in_use = in_use
        self._keep_s = keep_s
        self._clock_ns = clock_ns
        self._on_gone = on_gone
        self._on_going = on_going
        self._taken: set[str] = set()
        self._sizes: dict[str, int] = {}
        self._news = asyncio.Event()

    def take(self, key: str) -> None:
        """A face is opened: it stays until it is put back."""
        self._taken.add(key)
        self._touch(key)

    def put(self, key: str) -> None:
        """Nobody has the face open any more."""
        self._taken.discard(key)
        self._sizes.pop(key, None)
        self._touch(key)
        self.wake()

    def wake(self) -> None:
        """There may be something to delete: a face grew, or a job ended that needed one."""
        self._news.set()

    async def run(self) -> None:
        """Keep within the limit and the time until cancelled."""
        while True:
            self._news.clear()
            await self.trim()
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_S if self._keep_s else None):
                    await self._news.wait()

    async def trim(self) -> None:
        """Delete what was left half deleted, faces whose time is over, and more until the rest is within the limit."""
        held = await asyncio.to_thread(self._look)
        self._sizes = {face.key: face.size_bytes for face in held if face.key not in self._taken}
        excess = sum(face.size_bytes for face in held) - self._limit_bytes
        over_ns = self._clock_ns() - round(self._keep_s * 1e9) if self._keep_s else -1
        if excess <= 0 and not any(face.used_ns <= over_ns for face in held):
            return
        needed = frozenset(await self._in_use())
        for face in sorted(held, key=lambda face: face.used_ns):
            is_over = face.used_ns <= over_ns
            if excess <= 0 and not is_over:
                break
            if self._on_going is not None:
                await self._on_going(face.key)
            # Asked again here: between a look and a rename on this thread nobody can open it.
            if face.key in self._taken or video_of(face.key) in needed:
                continue
            going = self._root / f"{_GOING}{face.key}"
            with suppress(FileNotFoundError):
                (self._root / face.key).rename(going)
                _LOG.info("face evicted", face=face.key, size_bytes=face.size_bytes, is_over=is_over)
                if is_over:
                    self._on_gone(face.size_bytes)
                excess -= face.size_bytes
                self._sizes.pop(face.key, None)
            await asyncio.to_thread(remove_tree, going)

    def _touch(self, key: str) -> None:
        with suppress(FileNotFoundError):
            os.utime(self._root / key)

    def _look(self) -> list[_Held]:
        held = []
        for folder in sorted(self._root.iterdir()):
            if folder.name.startswith(_GOING):
                remove_tree(folder)
                continue
            # One that is deleted meanwhile by others takes no room.
            with suppress(FileNotFoundError):
                size = self._sizes.get(folder.name)
                if size is None:
                    size = sum(path.stat().st_size for path in folder.iterdir())
                held.append(_Held(key=folder.name, used_ns=folder.stat().st_mtime_ns, size_bytes=size))
        return held
