"""The bytes of assets on disk. A chunk counts once its bytes are verified, synced and written down, in this order."""

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path

from edge_gateway.assets.asset import Asset, AssetKind, Manifest
from edge_gateway.assets.catalog import Catalog
from edge_gateway.disk import disk_errors, make_directory, remove_tree, sync_directory
from shared import digest
from shared.errors import DiskFullError, InvalidInputError
from shared.media.probe import MediaInfo

_READ_BYTES = digest.CHUNK_BYTES


class AssetStore:
    """Files below one directory, a directory each, with their rows in the catalog.

    Args:
        root: The directory.
        catalog: The rows.
        reserve_bytes: Room on the disk that uploads leave free.
    """

    def __init__(self, root: Path, catalog: Catalog, *, reserve_bytes: int = 0) -> None:
        self._root = root
        self._catalog = catalog
        self._reserve_bytes = reserve_bytes

    def path(self, asset_id: str) -> Path:
        """Where an asset's bytes lie."""
        return self._root / asset_id / "media"

    async def begin(self, manifest: Manifest, now_us: int) -> tuple[Asset, set[int]]:
        """Make room for an asset, or find what is there of it: the asset and the chunks that are safe.

        Raises:
            DiskFullError: the disk has no room for the chunks that are missing.
        """
        asset = await self._catalog.announce(manifest, now_us)
        if asset.ready:
            return asset, set(range(len(manifest.digests)))
        held = await self._catalog.held(asset.asset_id)
        missing = sum(manifest.length(chunk) for chunk in range(len(manifest.digests)) if chunk not in held)
        path = self.path(asset.asset_id)
        if not await asyncio.to_thread(_make_room, path, manifest.size_bytes, missing + self._reserve_bytes) and held:
            await self._catalog.forget_chunks(asset.asset_id)
            held = set()
        return asset, held

    async def put(self, manifest: Manifest, chunks: Mapping[int, bytes | bytearray]) -> None:
        """Verify chunks, write them, sync them and write them down.

        Raises:
            InvalidInputError: a chunk has another digest than the manifest says; none of them counts.
            DiskFullError: the disk has no room; none of them counts.
        """
        asset_id = manifest.asset_id
        await asyncio.to_thread(_write, self.path(asset_id), manifest, chunks)
        await self._catalog.hold(asset_id, chunks)

    async def complete(self, asset_id: str, kind: AssetKind, media: MediaInfo) -> Asset:
        """Make an asset ready whose chunks are all there."""
        sha256 = await asyncio.to_thread(digest.file_digest, self.path(asset_id))
        return await self._catalog.complete(asset_id, kind, media, sha256)

    async def adopt(self, path: Path, display_name: str, kind: AssetKind, media: MediaInfo, now_us: int) -> Asset:
        """Take a finished file of this edge as an asset; the file is moved."""
        manifest = await asyncio.to_thread(_manifest, path, display_name)
        asset = await self._catalog.announce(manifest, now_us)
        await asyncio.to_thread(_move, path, self.path(asset.asset_id))
        if asset.ready:
            return asset
        return await self.complete(asset.asset_id, kind, media)

    async def remove(self, asset_id: str) -> bool:
        """Delete an asset; False when there was none.

        Raises:
            ConflictError: an unfinished job needs it.
        """
        removed = await self._catalog.remove(asset_id)
        if removed:
            await asyncio.to_thread(remove_tree, self._root / asset_id)
        return removed

    async def read(self, asset_id: str, offset: int, length: int) -> bytes:
        """Bytes of an asset's file, fewer at its end."""
        return await asyncio.to_thread(_read, self.path(asset_id), offset, length)


def _make_room(path: Path, size: int, wanted: int) -> bool:
    """Make the sparse file; True when it was there already with the right size."""
    make_directory(path.parent)
    with disk_errors(path):
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            there = os.fstat(handle).st_size == size
            room = os.fstatvfs(handle)
            free = room.f_bavail * room.f_frsize
            if wanted > free:
                message = f"the edge's disk has {free} bytes left and {wanted} are needed; free some and try again"
                raise DiskFullError(message, limit="disk")
            if not there:
                os.ftruncate(handle, size)
                os.fsync(handle)
                sync_directory(path.parent)
        finally:
            os.close(handle)
    return there


def _write(path: Path, manifest: Manifest, chunks: Mapping[int, bytes | bytearray]) -> None:
    for index, data in chunks.items():
        if digest.chunk_digest(data) != manifest.digests[index]:
            message = f"chunk {index} is not what the manifest says; it was damaged on the way or the file has changed"
            raise InvalidInputError(message, field="piece.data")
    with disk_errors(path):
        handle = os.open(path, os.O_RDWR)
        try:
            for index, data in chunks.items():
                _write_at(handle, data, index * manifest.chunk_bytes)
            os.fdatasync(handle)
        finally:
            os.close(handle)


def _write_at(handle: int, data: bytes | bytearray, offset: int) -> None:
    rest = memoryview(data)
    while rest:
        written = os.pwrite(handle, rest, offset)
        offset += written
        rest = rest[written:]


def _manifest(path: Path, display_name: str) -> Manifest:
    with path.open("rb") as file:
        digests = []
        while block := file.read(digest.CHUNK_BYTES):
            digests.append(digest.chunk_digest(block))
    return Manifest(size_bytes=path.stat().st_size, digests=tuple(digests), display_name=display_name)


def _move(path: Path, target: Path) -> None:
    make_directory(target.parent)
    with disk_errors(target):
        path.rename(target)
        sync_directory(target.parent)


def _read(path: Path, offset: int, length: int) -> bytes:
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(min(length, _READ_BYTES))
