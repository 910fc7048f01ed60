"""A folder of this machine as a library.

It is read by the operating system's own calls: obstore's LocalStore follows links out of its root, shows hidden files
and knows no order. Here every step is opened below the one before it and no link is followed, so that a link put in
the place of a folder in the very moment leads nowhere either.
"""

import asyncio
import errno
import os
import stat
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from io import FileIO
from itertools import islice
from pathlib import Path
from typing import ParamSpec, TypeVar

from edge_gateway.library.name import is_visible
from edge_gateway.library.place import ChangedError, Entry
from shared.errors import LimitExceededError, NotFoundError, UnavailableError

P = ParamSpec("P")
T = TypeVar("T")

_THREADS = 4
_ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EACCES, errno.EPERM, errno.ENXIO})
_STEP = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class Folder:
    """Files below one directory.

    Args:
        root: The directory; it may itself be a link.
        entries: How many entries of one directory are looked through.
        answer_s: Seconds within which the disk below it must answer.
    """

    def __init__(self, root: Path, *, entries: int, answer_s: float = 30.0) -> None:
        self._root = root
        self._entries = entries
        self._answer_s = answer_s
        # Of its own: a network disk that hangs must not take the threads of the edge's own disk.
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="library")

    async def look(self, path: str) -> Entry:
        """What is known of a file."""
        return await self._run(self._look, path)

    @asynccontextmanager
    async def open(self, entry: Entry) -> AsyncIterator["_Opened"]:
        """Open a file for reading."""
        with await self._run(self._open, entry.path) as file:
            if _entry(entry.path, os.fstat(file.fileno())).stamp != entry.stamp:
                raise ChangedError
            yield _Opened(file, self._run)

    async def page(self, folder: str, after: str, count: int) -> list[Entry]:
        """Files in the order of their paths."""
        return await self._run(self._page, folder, after, count)

    async def _run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do work in a thread.

        Raises:
            UnavailableError: it takes too long.
        """
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._answer_s):
                return await loop.run_in_executor(self._threads, partial(work, *args, **kwargs))
        except TimeoutError:
            raise UnavailableError("the library's folder does not answer", limit="library_answer_s") from None

    def _look(self, path: str) -> Entry:
        with self._below(path) as (at, name):
            try:
                found = os.stat(name, dir_fd=at, follow_symlinks=False)
            except OSError as error:
                raise _absent_or(error) from error
        if not stat.S_ISREG(found.st_mode):
            raise _absent()
        return _entry(path, found)

    def _open(self, path: str) -> FileIO:
        self._look(path)  # opening a device may do things
        with self._below(path) as (at, name):
            try:
                handle = os.open(name, _FILE, dir_fd=at)
            except OSError as error:
                raise _absent_or(error) from error
        file = FileIO(handle)
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            file.close()
            raise _absent()
        return file

    @contextmanager
    def _below(self, path: str) -> Iterator[tuple[int, str]]:
        """The open directory that a file lies in, and the file's name there."""
        *folders, name = path.split("/")
        handle = self._open_root()
        try:
            for folder in folders:
                try:
                    below = os.open(folder, _STEP, dir_fd=handle)
                except OSError as error:
                    raise _absent_or(error) from error
                os.close(handle)
                handle = below
            yield handle, name
        finally:
            os.close(handle)

    def _open_root(self) -> int:
        try:
            return os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise UnavailableError(f"the library's folder cannot be read ({os.strerror(error.errno or 0)})") from error

    def _page(self, folder: str, after: str, count: int) -> list[Entry]:
        try:
            with self._below(folder + "/." if folder else ".") as (handle, _):
                return list(islice(self._walk(handle, folder + "/" if folder else "", after), count))
        except NotFoundError:
            return []

    def _walk(self, handle: int, prefix: str, after: str) -> Iterator[Entry]:
        """Files below an open directory, ordered by their whole paths; whole branches before ``after`` are left out."""
        for name, is_folder in self._children(handle):
            path = prefix + name
            if is_folder:
                if f"{path}/" < after and not after.startswith(f"{path}/"):
                    continue
                try:
                    below = os.open(name, _STEP, dir_fd=handle)
                except OSError:
                    continue  # gone meanwhile, or not ours to read
                try:
                    yield from self._walk(below, f"{path}/", after)
                finally:
                    os.close(below)
            elif path > after:
                try:
                    yield _entry(path, os.stat(name, dir_fd=handle, follow_symlinks=False))
                except OSError:
                    continue

    def _children(self, handle: int) -> list[tuple[str, bool]]:
        """What a directory shows, in the order in which the paths below come."""
        found: list[tuple[str, bool]] = []
        with os.scandir(handle) as entries:
            for seen, entry in enumerate(entries):
                if seen >= self._entries:
                    message = f"a folder of a library is looked through up to {self._entries} entries; make subfolders"
                    raise LimitExceededError(message, field="library", limit="library_folder_entries")
                is_folder = entry.is_dir(follow_symlinks=False)
                if is_visible(entry.name) and (is_folder or entry.is_file(follow_symlinks=False)):
                    found.append((entry.name, is_folder))
        return sorted(found, key=lambda one: one[0] + "/" * one[1])


class _Opened:
    """An open file."""

    def __init__(self, file: FileIO, run: Callable[..., Awaitable[bytes]]) -> None:
        self._file = file
        self._run = run

    async def read(self, offset: int, length: int) -> bytes:
        """So many bytes."""
        return await self._run(self._read, offset, length)

    def _read(self, offset: int, length: int) -> bytes:
        try:
            handle = self._file.fileno()
            data = os.pread(handle, length, offset)
            while len(data) < length:
                more = os.pread(handle, length - len(data), offset + len(data))
                if not more:
                    raise ChangedError
                data += more
        except OSError as error:
            message = f"the library's folder cannot be read ({os.strerror(error.errno or 0)})"
            raise UnavailableError(message) from error
        return data


def _entry(path: str, found: os.stat_result) -> Entry:
    # Whoever sets the modification time back (rsync does) cannot set back the time of the change.
    stamp = f"{found.st_ino:x}-{found.st_size:x}-{found.st_mtime_ns:x}-{found.st_ctime_ns:x}"
    return Entry(
        path=path,
        size_bytes=found.st_size,
        modified_us=found.st_mtime_ns // 1000,
        stamp=stamp,
        changed_us=found.st_ctime_ns // 1000,
    )


def _absent() -> NotFoundError:
    return NotFoundError("there is no such file in the library (links are not followed)", field="name")


def _absent_or(error: OSError) -> NotFoundError | UnavailableError:
    if error.errno in _ABSENT:
        return _absent()
    return UnavailableError(f"the library's folder cannot be read ({os.strerror(error.errno or 0)})")
