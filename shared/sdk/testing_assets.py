"""The assets of the edge for tests: uploads in chunks, verified, kept in memory."""

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import grpc

from shared import errors
from shared.digest import asset_id, chunk_count, chunk_digest, upload_id
from shared.pb.viseme.gateway.v1 import asset_pb2, asset_pb2_grpc


@dataclass(slots=True, kw_only=True)
class Faults:
    """Where streams break. Each list is used up from its front, one number a stream; a stream beyond it is whole.

    Args:
        upload_after_bytes: Bytes after which an upload breaks.
        download_after_bytes: Bytes after which a download breaks.
        session_after_events: Events after which a session breaks.
        preview_after_pieces: Pieces after which a preview breaks; every fragment has two.
        session_hangs: Whether sessions hear nothing more once they follow a job, as at an edge that hangs.
        download_flip: Downloads whose bytes are damaged on the way.
    """

    upload_after_bytes: list[int] = field(default_factory=list)
    download_after_bytes: list[int] = field(default_factory=list)
    session_after_events: list[int] = field(default_factory=list)
    preview_after_pieces: list[int] = field(default_factory=list)
    session_hangs: bool = False
    download_flip: int = 0


def cut_of(numbers: list[int]) -> int | None:
    """The next number; None where they are used up."""
    return numbers.pop(0) if numbers else None


@dataclass(slots=True)
class Stored:
    """One asset, complete or not."""

    manifest: asset_pb2.Manifest
    chunks: dict[int, bytes] = field(default_factory=dict)
    digests: dict[int, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.digests |= dict(enumerate(self.manifest.chunk_digests))
        if self.manifest.head_digest:
            self.digests |= {0: self.manifest.head_digest, self.count - 1: self.manifest.tail_digest}

    @property
    def count(self) -> int:
        """How many chunks there are."""
        return chunk_count(self.manifest.size_bytes, self.manifest.chunk_bytes)

    @property
    def id(self) -> str:
        """Its id, or the name that it has while digests are missing."""
        if len(self.digests) < self.count:
            head, tail = self.digests[0], self.digests[self.count - 1]
            return upload_id(self.manifest.size_bytes, head, tail, self.manifest.chunk_bytes)
        digests = [self.digests[index] for index in range(self.count)]
        return asset_id(self.manifest.size_bytes, digests, self.manifest.chunk_bytes)

    @property
    def data(self) -> bytes:
        """The bytes that are there."""
        return b"".join(self.chunks[index] for index in sorted(self.chunks))

    @property
    def complete(self) -> bool:
        """Whether every byte is there."""
        return len(self.chunks) == self.count == len(self.digests)

    def describe(self) -> asset_pb2.Asset:
        """Say what it is."""
        ready = asset_pb2.ASSET_STATE_READY if self.complete else asset_pb2.ASSET_STATE_UPLOADING
        asset = asset_pb2.Asset(
            asset_id=self.id,
            size_bytes=self.manifest.size_bytes,
            display_name=self.manifest.display_name,
            kind=asset_pb2.ASSET_KIND_VIDEO,
            state=ready,
        )
        asset.create_time.GetCurrentTime()
        return asset

    def held(self, *chunks: int) -> list[asset_pb2.ChunkRange]:
        """Those of some chunks that are there; all that are without any."""
        wanted = chunks or tuple(range(self.count))
        return [asset_pb2.ChunkRange(first=index, count=1) for index in sorted(self.chunks) if index in wanted]


class FakeAssets(asset_pb2_grpc.AssetServiceServicer):
    """Takes and gives assets.

    Args:
        faults: Where streams break.
        refuse_upload: What is said at the end of every upload instead of taking it.
    """

    def __init__(self, faults: Faults | None, refuse_upload: errors.VisemeError | None) -> None:
        self.faults = faults or Faults()
        self.refuse_upload = refuse_upload
        self.stored: dict[str, Stored] = {}
        self.received_bytes = 0
        self.uploads = 0
        """Uploads that were begun."""
        self.received_of: dict[str, int] = {}
        self.first_chunks: list[int] = []
        self.first_messages: list[str] = []
        self.wanted: dict[str, list[int]] = {}
        """Chunks by the name of the file, that its client is told to be waited for once it has sent a piece."""
        self.order_of: dict[str, list[int]] = {}
        """Chunks by the name of their file, in the order in which they first came."""

    async def completed(self) -> None:
        """An asset has become complete."""

    async def GetCapabilities(self, request: Any, context: Any) -> asset_pb2.GetCapabilitiesResponse:
        """Name one engine."""
        engine = asset_pb2.Engine(name="warp", summary="Warps.", is_default=True)
        return asset_pb2.GetCapabilitiesResponse(version="0", edge="fake", engines=[engine])

    async def Upload(self, request_iterator: Any, context: Any) -> AsyncIterator[asset_pb2.UploadResponse]:
        """Take chunks in any order, verify each, break where ``faults`` says."""
        self.uploads += 1
        cut = cut_of(self.faults.upload_after_bytes)
        stored: Stored | None = None
        partial = bytearray()
        received = 0
        async for request in request_iterator:
            if request.HasField("manifest"):
                fresh = Stored(request.manifest)
                self.first_messages.append("open" if request.manifest.head_digest else "whole")
                stored = self._begin(fresh)
                held = stored.held(*fresh.digests)
                yield asset_pb2.UploadResponse(start=asset_pb2.UploadStart(asset_id=stored.id, held=held))
            elif stored is not None and request.HasField("digests"):
                yield asset_pb2.UploadResponse(held=self._announce(stored, request.digests))
            elif stored is not None:
                received += len(request.piece.data)
                for wanted in self._count(stored.manifest.display_name, request.piece):
                    yield asset_pb2.UploadResponse(wanted=wanted)
                if cut is not None and received > cut:
                    await context.abort(grpc.StatusCode.UNAVAILABLE, "the link was cut")
                if self._add(stored, request.piece, partial):
                    persisted = asset_pb2.UploadPersisted(
                        chunks=[asset_pb2.ChunkRange(first=request.piece.chunk_index, count=1)],
                        persisted_bytes=len(stored.data),
                    )
                    yield asset_pb2.UploadResponse(persisted=persisted)
            if stored is not None and stored.complete:
                if self.refuse_upload is not None:
                    raise self.refuse_upload
                await self.completed()
                yield asset_pb2.UploadResponse(complete=asset_pb2.UploadComplete(asset=stored.describe()))
                return

    def _count(self, name: str, piece: asset_pb2.ChunkPiece) -> list[asset_pb2.UploadWanted]:
        self.received_bytes += len(piece.data)
        self.received_of[name] = self.received_of.get(name, 0) + len(piece.data)
        if piece.chunk_index not in self.order_of.setdefault(name, []):
            self.order_of[name].append(piece.chunk_index)
        wanted = self.wanted.pop(name, [])
        runs = [asset_pb2.ChunkRange(first=chunk, count=1) for chunk in wanted]
        return [asset_pb2.UploadWanted(chunks=runs)] if runs else []

    def _begin(self, fresh: Stored) -> Stored:
        """What is there of a file; as at a real edge also of one that began before all its digests were known."""
        manifest = fresh.manifest
        ends = fresh.digests[0], fresh.digests[fresh.count - 1]
        unnamed = upload_id(manifest.size_bytes, *ends, manifest.chunk_bytes)
        older = self.stored.get(unnamed)
        if fresh.id not in self.stored and older is not None and older.digests.items() <= fresh.digests.items():
            older.digests |= fresh.digests
            self.stored[fresh.id] = self.stored.pop(unnamed)
        return self.stored.setdefault(fresh.id, fresh)

    def _announce(self, stored: Stored, message: asset_pb2.ChunkDigests) -> asset_pb2.UploadHeld:
        before = stored.id
        told = dict(enumerate(message.digests, message.first_chunk))
        if any(stored.digests.get(index, digest) != digest for index, digest in told.items()):
            raise errors.ConflictError("another file; send the whole manifest", field="digests")
        stored.digests |= told
        if stored.id != before:
            self.stored[stored.id] = self.stored.pop(before)
        name = stored.id if len(stored.digests) == stored.count else ""
        return asset_pb2.UploadHeld(held=stored.held(*told), asset_id=name)

    def _add(self, stored: Stored, piece: asset_pb2.ChunkPiece, partial: bytearray) -> bool:
        index = piece.chunk_index
        if piece.offset_bytes == 0:
            partial.clear()
            if index not in self.first_chunks:
                self.first_chunks.append(index)
        partial += piece.data
        whole = min(stored.manifest.chunk_bytes, stored.manifest.size_bytes - index * stored.manifest.chunk_bytes)
        if len(partial) < whole:
            return False
        if chunk_digest(partial) != stored.digests.get(index):
            raise errors.InvalidInputError(f"chunk {index} does not have its digest", field="piece")
        stored.chunks[index] = bytes(partial)
        return True

    def store(self, data: bytes, name: str) -> str:
        """Put an asset there as if it had been uploaded; gives its id."""
        stored = Stored(
            asset_pb2.Manifest(
                size_bytes=len(data), chunk_bytes=len(data), chunk_digests=[chunk_digest(data)], display_name=name
            ),
            {0: data},
        )
        self.stored[stored.id] = stored
        return stored.id

    def _find(self, wanted: str) -> Stored:
        if wanted not in self.stored:
            raise errors.NotFoundError(f"there is no asset {wanted}", field="asset_id")
        return self.stored[wanted]

    async def GetAsset(self, request: Any, context: Any) -> asset_pb2.GetAssetResponse:
        """Describe an asset."""
        stored = self._find(request.asset_id)
        return asset_pb2.GetAssetResponse(asset=stored.describe(), held=stored.held())

    async def ListAssets(self, request: Any, context: Any) -> asset_pb2.ListAssetsResponse:
        """List assets, two a page."""
        begin = int(request.page_token or 0)
        every = list(self.stored.values())
        more = str(begin + 2) if begin + 2 < len(every) else ""
        assets = [stored.describe() for stored in every[begin : begin + 2]]
        return asset_pb2.ListAssetsResponse(assets=assets, next_page_token=more)

    async def DeleteAsset(self, request: Any, context: Any) -> asset_pb2.DeleteAssetResponse:
        """Delete an asset."""
        del self.stored[self._find(request.asset_id).id]
        return asset_pb2.DeleteAssetResponse()

    async def Download(self, request: Any, context: Any) -> AsyncIterator[asset_pb2.DownloadResponse]:
        """Send an asset from an offset, break where ``faults`` says."""
        data = self._find(request.asset_id).data
        cut = cut_of(self.faults.download_after_bytes)
        flip = self.faults.download_flip > 0
        self.faults.download_flip -= flip
        if request.offset_bytes > len(data):
            raise errors.InvalidInputError("beyond the end", field="offset_bytes")
        yield asset_pb2.DownloadResponse(
            offset_bytes=request.offset_bytes, size_bytes=len(data), sha256=hashlib.sha256(data).digest()
        )
        for offset in range(request.offset_bytes, len(data), 100_000):
            if cut is not None and offset - request.offset_bytes >= cut:
                await context.abort(grpc.StatusCode.UNAVAILABLE, "the link was cut")
            piece = data[offset : offset + 100_000]
            yield asset_pb2.DownloadResponse(offset_bytes=offset, data=piece[::-1] if flip else piece)
