"""A folder that one process has for itself."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shared.errors import ConflictError, InvalidInputError


@contextmanager
def locked(data: Path) -> Iterator[None]:
    """Hold a data folder alone inside the block.

    Raises:
        ConflictError: Another process holds it.
        InvalidInputError: It cannot be made or written.
    """
    try:
        data.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(data / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise InvalidInputError(f"{data} cannot be used: {error.strerror}", field="data") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConflictError(f"another viseme on this machine uses {data}", field="data") from None
        yield
    finally:
        os.close(descriptor)
