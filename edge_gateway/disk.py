"""Writing to disk so that what was acknowledged is there after a power cut."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from shared.errors import DiskFullError
from shared.telemetry.logging import get_logger

_LOG = get_logger(__name__)

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn the operating system's "no room" into :class:`DiskFullError`; other errors pass."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        message = (
            f"the edge's disk has no room for {path.name} ({os.strerror(error.errno or 0)}); free some and try again"
        )
        raise DiskFullError(message, limit="disk") from error


def sync_directory(path: Path) -> None:
    """Make the names in a directory survive a power cut."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_directory(path: Path) -> None:
    """Make a directory and those above it, durably."""
    if path.is_dir():
        return
    make_directory(path.parent)
    with disk_errors(path):
        path.mkdir(exist_ok=True)
        sync_directory(path.parent)


def write_atomic(path: Path, data: bytes, *, mode: int = 0o666) -> None:
    """Write a whole file: either it is there with all its bytes or it is not there.

    Args:
        path: The file.
        data: What will be in it.
        mode: Who may read it, even while it is written, less what the process's mask forbids.

    Raises:
        DiskFullError: the disk has no room; nothing is left behind.
    """
    part = path.with_name(path.name + ".part")
    try:
        with disk_errors(path):
            with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            part.rename(path)
            sync_directory(path.parent)
    finally:
        part.unlink(missing_ok=True)


def append_line(path: Path, line: str) -> None:
    """Append one line durably.

    Raises:
        DiskFullError: the disk has no room; the file is as it was.
    """
    data = (line + "\n").encode()
    with disk_errors(path), path.open("ab") as file:
        before = file.tell()
        try:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        except OSError:
            os.ftruncate(file.fileno(), before)
            raise


def remove_tree(path: Path) -> None:
    """Remove a directory with all that is in it, durably; nothing happens when it is not there.

    What cannot be removed is logged: whoever wanted it gone must not be told otherwise by silence.
    """
    if not os.path.lexists(path):
        return
    shutil.rmtree(path, ignore_errors=True)
    if os.path.lexists(path):
        _LOG.error("a folder could not be deleted; look who owns what is in it", path=str(path))
    with suppress(FileNotFoundError):
        sync_directory(path.parent)
