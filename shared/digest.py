"""Digests: how chunks and assets are named by their content."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

CHUNK_BYTES = 1 << 20
"""Size of every chunk of an asset but the last, in bytes."""

_READ_BYTES = 1 << 20


def chunk_digest(data: bytes | bytearray | memoryview) -> bytes:
    """SHA-256 of one chunk, 32 bytes."""
    return hashlib.sha256(data).digest()


def pieces_digest(pieces: Iterable[bytes | bytearray]) -> bytes:
    """SHA-256 of one chunk that came in pieces, 32 bytes."""
    whole = hashlib.sha256()
    for piece in pieces:
        whole.update(piece)
    return whole.digest()


def asset_id(size_bytes: int, digests: Iterable[bytes], chunk_bytes: int = CHUNK_BYTES) -> str:
    """The name of an asset: SHA-256 over its size, chunk size and chunk digests, 64 hexadecimal characters."""
    whole = hashlib.sha256(f"viseme asset 1\n{size_bytes}\n{chunk_bytes}\n".encode())
    for digest in digests:
        whole.update(digest)
    return whole.hexdigest()


def upload_id(size_bytes: int, head: bytes, tail: bytes, chunk_bytes: int = CHUNK_BYTES) -> str:
    """The name of an upload whose digests are not all known: it knows its size and its first and last chunk."""
    return hashlib.sha256(f"viseme upload 1\n{size_bytes}\n{chunk_bytes}\n".encode() + head + tail).hexdigest()


def file_digest(path: Path) -> bytes:
    """SHA-256 of a whole file, 32 bytes."""
    whole = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_READ_BYTES):
            whole.update(block)
    return whole.digest()


def chunk_count(size_bytes: int, chunk_bytes: int = CHUNK_BYTES) -> int:
    """How many chunks a file of this size has."""
    return -(-size_bytes // chunk_bytes)
