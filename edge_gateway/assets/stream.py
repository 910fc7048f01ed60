"""Words of uploads whose bytes come in order: their content, and with it the asset's id, is known only at the end."""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from edge_gateway.assets.pace import Pace
from shared import digest
from shared.errors import InvalidInputError, InvalidMediaError, LimitExceededError, VisemeError

SCHEME: Final = "upload:"
"""What names of uploads begin with where an asset may also be named; no asset's id does."""
CHECKSUMS = ("sha1", "sha256")
"""Algorithms that a client may send the checksum of a request in."""

_UPLOAD_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamLimits:
    """What is refused of such uploads."""

    asset_bytes: int
    manifest_chunks: int
    open_uploads: int
    """Uploads that may be unfinished at once."""
    metadata_bytes: int
    parts: int
    """Uploads that may be put together to one."""
    idle_s: float
    """Seconds for which a client may say nothing in a request."""
    expire_s: float
    """Seconds after which an upload that nothing came for is forgotten."""
    progress_bytes: int = 64 << 10
    """Bytes that a client sends at least within ``progress_s`` of a request, and within ``expire_s``."""
    progress_s: float = 300.0

    def pace(self, clock: Callable[[], float]) -> Pace:
        """How long a client is waited for in a request."""
        return Pace(idle_s=self.idle_s, progress_s=self.progress_s, progress_bytes=self.progress_bytes, clock=clock)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewStream:
    """An upload that is asked for."""

    size_bytes: int
    display_name: str = ""
    metadata: str = ""
    is_part: bool = False
    parts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """One upload as it stands."""

    upload_id: str
    size_bytes: int
    offset_bytes: int
    """Bytes that are safe."""
    display_name: str
    metadata: str
    """As the client wrote it."""
    is_part: bool
    """Whether it only becomes an asset together with others."""
    parts: tuple[str, ...]
    """The uploads that this one is put together from."""
    asset_id: str
    """What it became, empty before."""
    error: VisemeError | None
    """Why it will never become an asset."""
    touched_us: int
    """When it last came further by what counts, on the clock of the uploads."""

    @property
    def is_whole(self) -> bool:
        """Whether every byte is safe."""
        return self.offset_bytes == self.size_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Checksum:
    """What the bytes of one request must give."""

    algorithm: str
    value: bytes


class ChunkHasher:
    """Digests of a file's chunks while its bytes come in order.

    Args:
        offset: Where the next bytes belong.
        head: The bytes of the chunk that lies open there.
    """

    def __init__(self, offset: int, head: bytes) -> None:
        self._index = offset // digest.CHUNK_BYTES
        self._filled = len(head)
        self._open = hashlib.sha256(head)

    def add(self, data: bytes) -> dict[int, bytes]:
        """Take bytes; gives the digests of the chunks that became whole."""
        whole: dict[int, bytes] = {}
        rest = memoryview(data)
        while rest:
            taken = rest[: digest.CHUNK_BYTES - self._filled]
            self._open.update(taken)
            self._filled += len(taken)
            rest = rest[len(taken) :]
            if self._filled == digest.CHUNK_BYTES:
                whole[self._index] = self._open.digest()
                self._index += 1
                self._filled = 0
                self._open = hashlib.sha256()
        return whole

    def last(self) -> dict[int, bytes]:
        """The digest of a last chunk that is not full."""
        return {self._index: self._open.digest()} if self._filled else {}


def is_upload_name(text: str) -> bool:
    """Whether this is meant to be the name of an upload."""
    return text.startswith(SCHEME)


def upload_of(name: str, field: str) -> str:
    """The id in an upload's name.

    Raises:
        InvalidInputError: it is none.
    """
    upload_id = name.removeprefix(SCHEME)
    if not is_upload_name(name) or not is_upload_id(upload_id):
        raise InvalidInputError("an upload is named upload: and its id, which ends its address", field=field)
    return upload_id


def is_upload_id(text: str) -> bool:
    """Whether an upload may have this id."""
    return _UPLOAD_ID.fullmatch(text) is not None


Clock = Callable[[], int]
"""Microseconds since some moment."""


def check_size(size_bytes: int, limits: StreamLimits, name: str = "") -> None:
    """Refuse a size.

    Raises:
        InvalidMediaError: there is nothing in it.
        LimitExceededError: it is beyond a limit.
    """
    if size_bytes < 1:
        raise InvalidMediaError(f"{name or 'the file'} is empty", field="Upload-Length")
    if size_bytes > limits.asset_bytes:
        message = f"a file may have at most {limits.asset_bytes} bytes, this one has {size_bytes}"
        raise LimitExceededError(message, field="Upload-Length", limit="asset_bytes")
    if digest.chunk_count(size_bytes) > limits.manifest_chunks:
        message = f"a file may have at most {limits.manifest_chunks} chunks of {digest.CHUNK_BYTES} bytes"
        raise LimitExceededError(message, field="Upload-Length", limit="manifest_chunks")


def check_parts(parts: list[Stream | None], limits: StreamLimits) -> int:
    """The size of uploads put together.

    Raises:
        InvalidInputError: one is missing, is not a part or is not whole, or there are none.
        LimitExceededError: there are too many.
    """
    if not 0 < len(parts) <= limits.parts:
        message = f"1 to {limits.parts} uploads can be put together, not {len(parts)}"
        raise LimitExceededError(message, field="Upload-Concat", limit="tus_parts")
    total = 0
    for number, part in enumerate(parts, 1):
        if part is None or part.error is not None:
            raise InvalidInputError(f"upload {number} of the list is not known here", field="Upload-Concat")
        if not part.is_part:
            raise InvalidInputError(f"upload {number} of the list was not made as a part", field="Upload-Concat")
        if not part.is_whole:
            raise InvalidInputError(f"upload {number} of the list is not finished", field="Upload-Concat")
        total += part.size_bytes
    return total
