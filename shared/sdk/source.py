"""A local file that is to be uploaded: checked, hashed, and read again chunk by chunk."""

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path

from shared.digest import CHUNK_BYTES, asset_id, chunk_digest
from shared.errors import InvalidInputError, InvalidMediaError


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A file and the digests of its chunks."""

    path: Path
    field: str
    size_bytes: int
    digests: tuple[bytes, ...]
    asset_id: str

    async def chunk(self, index: int) -> bytes:
        """Read one chunk.

        Raises:
            InvalidInputError: The file is not any more what was hashed.
        """
        return await asyncio.to_thread(self._read, index)

    def _read(self, index: int) -> bytes:
        try:
            with self.path.open("rb") as file:
                file.seek(index * CHUNK_BYTES)
                data = file.read(CHUNK_BYTES)
        except OSError as error:
            raise InvalidInputError(f"{self.path} cannot be read: {error.strerror}", field=self.field) from error
        if chunk_digest(data) != self.digests[index]:
            raise InvalidInputError(f"{self.path} changed while it was uploaded; try again", field=self.field)
        return data


def check_file(path: Path, *, field: str) -> int:
    """Make sure that a file can be sent at all; gives its size in bytes.

    Raises:
        InvalidInputError: It is not there, not a file, or not readable.
        InvalidMediaError: It is empty.
    """
    try:
        if path.is_dir():
            raise InvalidInputError(f"{path} is a folder, not a file", field=field)
        size = path.stat().st_size
        if not path.is_file():
            raise InvalidInputError(f"{path} is not a regular file", field=field)
    except OSError as error:
        raise InvalidInputError(f"{path}: {error.strerror}", field=field) from error
    if not os.access(path, os.R_OK):
        raise InvalidInputError(f"{path} may not be read by this user", field=field)
    if size == 0:
        raise InvalidMediaError(f"{path} is empty", field=field)
    return size


async def read_source(path: Path, *, field: str) -> Source:
    """Check and hash a file, in a thread.

    Raises:
        InvalidInputError: It cannot be read or is empty.
    """
    return await asyncio.to_thread(_hash, path, field)


def _hash(path: Path, field: str) -> Source:
    check_file(path, field=field)
    digests: list[bytes] = []
    size = 0
    try:
        with path.open("rb") as file:
            while block := file.read(CHUNK_BYTES):
                digests.append(chunk_digest(block))
                size += len(block)
    except OSError as error:
        raise InvalidInputError(f"{path} cannot be read: {error.strerror}", field=field) from error
    return Source(path=path, field=field, size_bytes=size, digests=tuple(digests), asset_id=asset_id(size, digests))
