"""What an asset is, and the words of an upload."""

import re
import unicodedata
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum

from edge_gateway.assets.pace import Pace
from shared import digest
from shared.errors import InvalidInputError, InvalidMediaError, LimitExceededError
from shared.media.probe import MediaInfo

_ASSET_ID = re.compile(r"[0-9a-f]{64}")
_NAME_LENGTH = 200
_SUFFIX_LENGTH = 10
_FORMAT = "Cf"
"""Characters that are not seen, those among them that write from right to left."""
_NOT_IN_FILES = re.compile(r'[<>:"/\\|?*]')
_DEVICES = frozenset(
    {"CON", "PRN", "AUX", "NUL", *(f"{name}{number}" for name in ("COM", "LPT") for number in range(10))}
)
_FILE_BYTES = 180
"""Some file systems take 255, and a number may have to be added."""
_DIGEST_BYTES = 32


class AssetKind(Enum):
    """What an asset holds, as found by probing it."""

    VIDEO = "video"
    AUDIO = "audio"
    PHOTO = "photo"
    RESULT = "result"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """A file that the edge keeps, named by its content."""

    number: int
    """Grows with every asset; newer assets have greater numbers."""
    asset_id: str
    size_bytes: int
    display_name: str
    created_us: int
    """When the first chunk was announced, in microseconds since 1970."""
    ready: bool
    kind: AssetKind | None = None
    media: MediaInfo | None = None
    sha256: bytes = b""
    used_us: int = field(default=0, compare=False)
    """When it was last used, by the clock of the edge's running time, in microseconds."""
    expire_us: int | None = field(default=None, compare=False)
    """When it goes if nobody uses it, in microseconds since 1970; None where it stays, or nobody has asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The list of a file's chunks, in the order of the file.

    An open one is that of a file that is still being hashed: it has no ``digests``, but those of its ends.
    """

    size_bytes: int
    digests: tuple[bytes, ...]
    display_name: str
    chunk_bytes: int = digest.CHUNK_BYTES
    ends: tuple[bytes, bytes] | None = None
    """The digests of the first and the last chunk, of an open manifest."""
    name: str = ""
    """The name of an upload that the edge makes itself: it puts no client's upload of the same file out, and none puts
    it out."""

    @property
    def is_open(self) -> bool:
        """Whether digests are still to come."""
        return self.ends is not None and not self.digests

    @property
    def asset_id(self) -> str:
        """The id that this content has; of an open manifest the name that its upload has meanwhile."""
        if self.is_open:
            return self.upload_id
        return digest.asset_id(self.size_bytes, self.digests, self.chunk_bytes)

    @property
    def upload_id(self) -> str:
        """The name of an upload of this file by a client that does not know all digests yet."""
        if self.name:
            return self.name
        head, tail = self.ends or (self.digests[0], self.digests[-1])
        return digest.upload_id(self.size_bytes, head, tail, self.chunk_bytes)

    @property
    def count(self) -> int:
        """How many chunks there are."""
        return digest.chunk_count(self.size_bytes, self.chunk_bytes)

    def length(self, index: int) -> int:
        """Bytes in chunk ``index``."""
        return min(self.chunk_bytes, self.size_bytes - index * self.chunk_bytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Digests:
    """Digests of a run of chunks that an open manifest left out."""

    first: int
    digests: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A piece of one chunk."""

    chunk: int
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkRange:
    """A run of chunks."""

    first: int
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """What need not be sent."""

    asset_id: str
    held: tuple[ChunkRange, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Of chunks that were announced: those that need not be sent; and the asset's id once all were."""

    held: tuple[ChunkRange, ...]
    asset_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Persisted:
    """Chunks that have become safe."""

    chunks: tuple[ChunkRange, ...]
    persisted_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Chunks that somebody waits for, in the order in which they are wanted."""

    chunks: tuple[ChunkRange, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """The asset is complete and probed."""

    asset: Asset


UploadMessage = Piece | Digests
UploadAnswer = Started | Held | Persisted | Wanted | Completed


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetLimits:
    """The sizes beyond which an upload is refused."""

    asset_bytes: int
    manifest_chunks: int
    piece_bytes: int
    buffer_bytes: int
    """Bytes of one upload that may wait for the disk."""
    idle_s: float
    """Seconds for which a client may say nothing."""
    progress_bytes: int = 64 << 10
    """Bytes that a client sends at least within ``progress_s``."""
    progress_s: float = 300.0
    total_bytes: int = 256 << 20
    """Bytes of all uploads that may wait for the disk."""

    def pace(self, clock: Callable[[], float]) -> Pace:
        """How long a client is waited for."""
        return Pace(idle_s=self.idle_s, progress_s=self.progress_s, progress_bytes=self.progress_bytes, clock=clock)


def check_asset_id(asset_id: str, field: str = "asset_id") -> str:
    """Return the id if it has the shape of one.

    Raises:
        InvalidInputError: it has not.
    """
    if not _ASSET_ID.fullmatch(asset_id):
        raise InvalidInputError("an asset's id is 64 hexadecimal digits in lower case", field=field)
    return asset_id


def is_named(asset_id: str, size_bytes: int, digests: bytes) -> bool:
    """Whether an asset's id is that of its content: an upload whose digests are not all known has another name."""
    chunks = [digests[at : at + _DIGEST_BYTES] for at in range(0, len(digests), _DIGEST_BYTES)]
    return asset_id == digest.asset_id(size_bytes, chunks)


def check_pictures(kind: AssetKind | None, field: str = "video") -> None:
    """Refuse an asset that is known to hold no pictures.

    Raises:
        InvalidMediaError: it is.
    """
    if kind is AssetKind.AUDIO:
        raise InvalidMediaError("this is sound without pictures; a video or a photo is needed", field=field)


def display_name(text: str) -> str:
    """A name that is safe to show: no path, nothing unprintable, nothing that turns the direction, not too long."""
    last = re.split(r"[/\\]", text)[-1]
    told = (letter for letter in last if unicodedata.category(letter) != _FORMAT)
    shown = "".join(letter if letter.isprintable() else " " for letter in told).strip()
    if len(shown) <= _NAME_LENGTH:
        return shown
    stem, suffix = _parts(shown)
    return stem[: _NAME_LENGTH - len(suffix)] + suffix


def file_name(text: str, otherwise: str) -> str:
    """A display name as a file may have it on every system; ``otherwise`` where nothing of it is left."""
    plain = _NOT_IN_FILES.sub("_", unicodedata.normalize("NFC", display_name(text))).strip(". ")
    stem, suffix = _parts(plain)
    if not stem.strip("_ "):
        return otherwise
    if stem.split(".")[0].rstrip().upper() in _DEVICES:
        stem = f"_{stem}"
    room = _FILE_BYTES - len(suffix.encode())
    return stem.encode()[:room].decode(errors="ignore").rstrip(". ") + suffix


def _parts(name: str) -> tuple[str, str]:
    """What stands before a name's suffix, and that with its dot; a long one is none."""
    stem, dot, suffix = name.rpartition(".")
    return (stem, dot + suffix) if dot and len(suffix) <= _SUFFIX_LENGTH else (name, "")


def check_manifest(manifest: Manifest, limits: AssetLimits) -> None:
    """Refuse a manifest that is too large or contradicts itself.

    Raises:
        InvalidMediaError: the file is empty.
        LimitExceededError: it is beyond a limit.
        InvalidInputError: it contradicts itself.
    """
    if manifest.size_bytes < 1:
        name = manifest.display_name or "the file"
        raise InvalidMediaError(f"{name} is empty", field="asset")
    if manifest.size_bytes > limits.asset_bytes:
        message = f"a file may have at most {limits.asset_bytes} bytes, this one has {manifest.size_bytes}"
        raise LimitExceededError(message, field="asset", limit="asset_bytes")
    if manifest.chunk_bytes != digest.CHUNK_BYTES:
        raise InvalidInputError(f"chunks have {digest.CHUNK_BYTES} bytes", field="manifest.chunk_bytes")
    if len(manifest.digests) > limits.manifest_chunks:
        message = f"a manifest may have at most {limits.manifest_chunks} chunks, this one has {len(manifest.digests)}"
        raise LimitExceededError(message, field="manifest.chunk_digests", limit="manifest_chunks")
    if manifest.count > limits.manifest_chunks:
        message = f"a file may have at most {limits.manifest_chunks} chunks, this one has {manifest.count}"
        raise LimitExceededError(message, field="asset", limit="manifest_chunks")
    if len(manifest.digests) != manifest.count and not manifest.is_open:
        message = (
            f"{manifest.size_bytes} bytes make {manifest.count} chunks, the manifest lists {len(manifest.digests)}"
        )
        raise InvalidInputError(message, field="manifest.chunk_digests")
    check_digests(manifest.digests or manifest.ends or (), field="manifest.chunk_digests")


def check_digests(digests: Iterable[bytes], field: str) -> None:
    """Refuse what is no SHA-256.

    Raises:
        InvalidInputError: one is none.
    """
    if any(len(one) != _DIGEST_BYTES for one in digests):
        raise InvalidInputError("a SHA-256 digest has 32 bytes", field=field)


def ranges(chunks: Iterable[int]) -> tuple[ChunkRange, ...]:
    """Write a set of chunks as runs, in order."""
    runs: list[ChunkRange] = []
    first = count = -1
    for chunk in sorted(chunks):
        if count > 0 and chunk == first + count:
            count += 1
            continue
        if count > 0:
            runs.append(ChunkRange(first=first, count=count))
        first, count = chunk, 1
    if count > 0:
        runs.append(ChunkRange(first=first, count=count))
    return tuple(runs)


CheckSize = Callable[[int], Awaitable[None]]
"""Refuses a file of so many bytes, which has not begun to come yet."""


async def any_size(size_bytes: int) -> None:
    """Refuse none."""
