"""A folder of this machine as a library.

It is read by the operating system's own calls: obstore's LocalStore follows links out of its root, shows hidden files
and knows no order. Here every step is opened below the one before it and no link is followed, so that a link put in
the place of a folder in the very moment leads nowhere either.
"""

import asyncio
import errno
import os
import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from itertools import islice
from pathlib import Path

from edge_gateway.library.name import is_visible
from edge_gateway.library.place import ChangedError, Entry
from shared.errors import LimitExceededError, NotFoundError, UnavailableError

_ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EACCES, errno.EPERM, errno.ENXIO})
_STEP = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class Folder:
    """Files below one directory.

    Args:
        root: The directory; it may itself be a link.
        entries: How many entries of one directory are looked through.
    """

    def __init__(self, root: Path, *, entries: int) -> None:
        self._root = root
        self._entries = entries

    async def look(self, path: str) -> Entry:
        """What is known of a file."""
        return await asyncio.to_thread(self._look, path)

    @asynccontextmanager
    async def open(self, entry: Entry) -> AsyncIterator["_Opened"]:
        """Open a file for reading."""
        handle = await asyncio.to_thread(self._open, entry.path)
        try:
            if _entry(entry.path, os.fstat(handle)).stamp != entry.stamp:
                raise ChangedError
            yield _Opened(handle)
        finally:
            os.close(handle)

    async def page(self, folder: str, after: str, count: int) -> list[Entry]:
        """Files in the order of their paths."""
        return await asyncio.to_thread(self._page, folder, after, count)

    def _look(self, path: str) -> Entry:
        with self._below(path) as (at, name):
            try:
                found = os.stat(name, dir_fd=at, follow_symlinks=False)
            except OSError as error:
                raise _absent_or(error) from error
        if not stat.S_ISREG(found.st_mode):
            raise _absent()
        return _entry(path, found)

    def _open(self, path: str) -> int:
        self._look(path)  # opening a device may do things
        with self._below(path) as (at, name):
            try:
                handle = os.open(name, _FILE, dir_fd=at)
            except OSError as error:
                raise _absent_or(error) from error
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            raise _absent()
        return handle

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

    def __init__(self, handle: int) -> None:
        self._handle = handle

    async def read(self, offset: int, length: int) -> bytes:
        """So many bytes."""
        return await asyncio.to_thread(self._read, offset, length)

    def _read(self, offset: int, length: int) -> bytes:
        try:
            data = os.pread(self._handle, length, offset)
            while len(data) < length:
                more = os.pread(self._handle, length - len(data), offset + len(data))
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
