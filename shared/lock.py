"""A folder that one process has for itself."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shared.errors import ConflictError, InvalidInputError


@contextmanager
def locked(data: Path, *, name: str = ".lock", wait: bool = False) -> Iterator[None]:
    """Hold a data folder alone inside the block.

    Args:
        data: The folder.
        name: Of the file that stands for it, or for a part of it.
        wait: Wait until no other process has it.

    Raises:
        ConflictError: Another process holds it.
        InvalidInputError: It cannot be made or written.
    """
    try:
        data.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(data / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise InvalidInputError(f"{data} cannot be used: {error.strerror}", field="data") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise ConflictError(f"another viseme on this machine uses {data}", field="data") from None
        yield
    finally:
        os.close(descriptor)
