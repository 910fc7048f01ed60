"""Crop segments and speech on disk, by digest: anything may be thrown away, and nothing is trusted unread."""

import asyncio
import errno
import hashlib
import os
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from shared.errors import DiskFullError, InternalError, ResourceExhaustedError
from shared.telemetry.logging import get_logger

_PART = ".part"
_SWEEP_S: Final = 60.0
_LOG = get_logger(__name__)


class BlobLostError(LookupError):
    """What was in the cache is no longer there; it can be asked for again."""

    def __init__(self, digest: bytes) -> None:
        super().__init__(digest.hex())
        self.digest = digest


class BlobCache:
    """Files named by their SHA-256, the least recently used evicted first.

    Args:
        folder: Where they lie.
        limit_bytes: What they may have together.
        keep_s: Seconds after their last use after which they go, 0 for never.
        clock: The time of day in seconds, as files have it.
    """

    def __init__(
        self, folder: Path, *, limit_bytes: int, keep_s: float = 0.0, clock: Callable[[], float] = time.time
    ) -> None:
        self._folder = folder
        self.limit_bytes = limit_bytes
        self.used_bytes = 0
        self._keep_s = keep_s
        self._clock = clock
        self._used_at: dict[bytes, float] = {}
        self._sizes: OrderedDict[bytes, int] = OrderedDict()
        self._pins: Counter[bytes] = Counter()
        self._soon_over = 0
        self._unpinned = asyncio.Event()
        self._scan()

    def __contains__(self, digest: bytes) -> bool:
        return digest in self._sizes

    @contextmanager
    def pinned(self, digests: Iterable[bytes], *, soon_over: bool = False) -> Iterator[None]:
        """Keep these from being evicted inside the block; whether they are there is another question.

        Args:
            digests: What to keep.
            soon_over: The block ends without waiting for anything that is yet to be put in.
        """
        held = tuple(digests)
        self._pins.update(held)
        self._soon_over += soon_over
        try:
            yield
        finally:
            self._soon_over -= soon_over
            self._unpinned.set()
            self._unpinned = asyncio.Event()
            self._pins.subtract(held)
            for digest in held:
                if self._pins[digest] <= 0:
                    del self._pins[digest]

    async def put(self, digest: bytes, data: bytes) -> None:
        """Keep bytes whose digest has been verified; waits for room while that is pinned by what is soon over.

        Raises:
            ResourceExhaustedError: the cache is full of what is being rendered.
            DiskFullError: the disk is full.
        """
        while digest not in self._sizes:
            unpinned = self._unpinned
            try:
                evicted = self._make_room(len(data))
            except ResourceExhaustedError:
                if not self._soon_over:
                    raise
                await unpinned.wait()
            else:
                break
        else:
            self._use(digest)
            return
        self._sizes[digest] = len(data)
        self._use(digest)
        self.used_bytes += len(data)
        try:
            await asyncio.to_thread(self._write, digest, data, evicted)
        except BaseException as error:
            self._forget(digest)
            if isinstance(error, OSError):
                raise _disk_error(error) from error
            raise

    async def get(self, digest: bytes) -> bytes:
        """Read bytes back and verify them.

        Raises:
            BlobLostError: they were evicted, or are not what they were.
        """
        if digest not in self._sizes:
            raise BlobLostError(digest)
        self._use(digest)
        try:
            data = await asyncio.to_thread(self._read, digest)
        except OSError as error:
            self._forget(digest)
            raise BlobLostError(digest) from error
        if data is None:
            _LOG.warning("cached file is damaged and is asked for again", digest=digest.hex())
            self._forget(digest)
            raise BlobLostError(digest)
        return data

    def in_use(self, digests: Iterable[bytes]) -> list[bytes]:
        """Those of these that are pinned."""
        return [digest for digest in digests if self._pins[digest]]

    async def drop(self, digests: Iterable[bytes]) -> int:
        """Delete what is of these; gives how many. What is being rendered stays until it is dropped again."""
        going = [digest for digest in digests if digest in self._sizes and not self._pins[digest]]
        for digest in going:
            self._forget(digest)
        await asyncio.to_thread(self._unlink, going)
        return len(going)

    async def sweep(self) -> int:
        """Delete what nobody has used for long enough; gives how many."""
        if not self._keep_s:
            return 0
        before = self._clock() - self._keep_s
        return await self.drop([digest for digest, used_at in self._used_at.items() if used_at <= before])

    async def keep_swept(self) -> None:
        """Sweep now and then until cancelled."""
        while True:
            if gone := await self.sweep():
                _LOG.info("cached files were not used for long enough", files=gone)
            await asyncio.sleep(_SWEEP_S)

    def _use(self, digest: bytes) -> None:
        self._sizes.move_to_end(digest)
        self._used_at[digest] = self._clock()

    def _make_room(self, size: int) -> list[bytes]:
        evicted: list[bytes] = []
        spare = self.limit_bytes - self.used_bytes
        for digest, has in self._sizes.items():
            if spare >= size:
                break
            if not self._pins[digest]:
                evicted.append(digest)
                spare += has
        if spare < size:
            raise ResourceExhaustedError("The node's cache is full.", limit="cache_bytes", retry_after_s=5.0)
        for digest in evicted:
            self._forget(digest)
        return evicted

    def _forget(self, digest: bytes) -> None:
        self.used_bytes -= self._sizes.pop(digest, 0)
        self._used_at.pop(digest, None)

    def _path(self, digest: bytes) -> Path:
        name = digest.hex()
        return self._folder / name[:2] / name

    def _write(self, digest: bytes, data: bytes, evicted: list[bytes]) -> None:
        self._unlink(evicted)
        path = self._path(digest)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.urandom(4).hex()}{_PART}")
        try:
            part.write_bytes(data)
            part.replace(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise

    def _unlink(self, digests: Iterable[bytes]) -> None:
        for digest in digests:
            if digest not in self._sizes:  # it may have come again in the meantime
                self._path(digest).unlink(missing_ok=True)

    def _read(self, digest: bytes) -> bytes | None:
        path = self._path(digest)
        data = path.read_bytes()
        if hashlib.sha256(data).digest() != digest:
            path.unlink(missing_ok=True)
            return None
        os.utime(path)  # the order of use survives a restart
        return data

    def _scan(self) -> None:
        """Take up what an earlier run left."""
        self._folder.mkdir(parents=True, exist_ok=True)
        found: list[tuple[float, bytes, int]] = []
        for path in self._folder.glob("*/*"):
            if path.suffix == _PART or len(path.name) != 2 * hashlib.sha256().digest_size:
                path.unlink(missing_ok=True)
                continue
            status = path.stat()
            found.append((status.st_mtime, bytes.fromhex(path.name), status.st_size))
        for used_at, digest, size in sorted(found):
            self._sizes[digest] = size
            self._used_at[digest] = used_at
            self.used_bytes += size
        for digest in self._make_room(0) if self.used_bytes > self.limit_bytes else ():
            self._path(digest).unlink(missing_ok=True)


def _disk_error(error: OSError) -> DiskFullError | InternalError:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return DiskFullError("The node's disk is full.", limit="data", retry_after_s=30.0)
    return InternalError(f"The node cannot write to its cache ({error.strerror}).")
