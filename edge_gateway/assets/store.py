"""The bytes of assets on disk. A chunk counts once its bytes are verified, synced and written down, in this order."""

import asyncio
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edge_gateway.assets.asset import Asset, AssetKind, CheckSize, Manifest, any_size
from edge_gateway.assets.catalog import Catalog
from edge_gateway.assets.growth import Growths
from edge_gateway.disk import disk_errors, make_directory, remove_tree, sync_directory
from shared import digest
from shared.errors import ConflictError, DiskFullError, InvalidInputError, NotFoundError
from shared.media.probe import MediaInfo

_READ_BYTES = digest.CHUNK_BYTES
_VECTORS = 64
"""Pieces handed to the system at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """What an upload of a file may be, whose digests are not all known."""

    asset: Asset
    known: tuple[bytes, ...]
    """Digests of its chunks; empty where unknown."""
    held: set[int]
    """Chunks that are safe."""


class AssetStore:
    """Files below one directory, a directory each, with their rows in the catalog.

    Args:
        root: The directory.
        catalog: The rows.
        reserve_bytes: Room on the disk that uploads leave free.
        check_new: Refuses what has not begun yet where the disk is nearly full.
        check_size: Refuses a file that has not begun yet for its size.
    """

    def __init__(
        self,
        root: Path,
        catalog: Catalog,
        *,
        reserve_bytes: int = 0,
        check_new: Callable[[], None] = lambda: None,
        check_size: CheckSize = any_size,
    ) -> None:
        self._root = root
        self._catalog = catalog
        self._reserve_bytes = reserve_bytes
        self._check_new = check_new
        self._check_size = check_size
        self._naming = asyncio.Lock()
        self.growths = Growths()
        """Assets that are read while they come."""

    def path(self, asset_id: str) -> Path:
        """Where an asset's bytes lie."""
        return self._root / asset_id / "media"

    async def begin(self, manifest: Manifest, now_us: int) -> tuple[Asset, set[int]]:
        """Make room for an asset, or find what is there of it: the asset and the chunks that are safe.

        An unfinished upload of the same file that has no id yet is taken over.

        Raises:
            DiskFullError: the disk has no room for the chunks that are missing.
        """
        async with self._naming:
            asset = await self._catalog.find(manifest.asset_id)
            if asset is None and await self._fits(manifest):
                await self._name(manifest.upload_id, manifest)
                asset = await self._catalog.find(manifest.asset_id)
            if asset is None:
                self._check_new()
                await self._check_size(manifest.size_bytes)
                asset = await self._catalog.announce(manifest, now_us)
        return asset, await self._held(asset, manifest)

    async def begin_open(self, manifest: Manifest, now_us: int) -> Begun:
        """Make room for a file whose digests are not all known, or find what may be there of it.

        Found is an asset, or an unfinished upload, of the same size and the same first and last chunk; whether it is of
        the same file shows as digests are announced. Should it not be, the client sends its whole manifest, by which
        every file has a name of its own. Ends were chosen over a table of all chunks: they find the file that was sent
        before in every case that is not made up, and need no copying from upload to upload.

        Raises:
            DiskFullError: the disk has no room for the chunks that are missing.
        """
        head, tail = manifest.ends or (b"", b"")
        async with self._naming:
            await self._name_again(manifest)
            asset = await self._catalog.find_by_ends(manifest.size_bytes, head, tail)
            if asset is None or not asset.ready:
                asset = await self._catalog.find(manifest.upload_id) or asset
            if asset is None:
                self._check_new()
                await self._check_size(manifest.size_bytes)
                asset = await self._catalog.announce(manifest, now_us)
        known = [b""] * manifest.count
        for index, one in (await self._catalog.digests(asset.asset_id)).items():
            known[index] = one
        return Begun(asset=asset, known=tuple(known), held=await self._held(asset, manifest))

    async def name(self, upload_id: str, manifest: Manifest) -> None:
        """Give an upload the id of its content, as all its digests are known now.

        Raises:
            ConflictError: another client began with the same file by its id; take that up.
        """
        async with self._naming:
            if upload_id == manifest.asset_id:
                return
            there = await self._catalog.find(manifest.asset_id)
            if there is None:
                await self._name(upload_id, manifest)
                return
            await self._catalog.remove(upload_id)
            await asyncio.to_thread(remove_tree, self._root / upload_id)
        raise ConflictError("another client uploads the same file; send the whole manifest", field="digests")

    async def _name(self, upload_id: str, manifest: Manifest) -> None:
        # Digests first: with them the rest can be done again from any point where this may be cut off.
        await self._catalog.note_digests(upload_id, manifest)
        await asyncio.to_thread(_rename, self._root / upload_id, self._root / manifest.asset_id)
        await self._catalog.rename(upload_id, manifest.asset_id)

    async def _name_again(self, manifest: Manifest) -> None:
        """Go on with a naming that was cut off."""
        digests = await self._catalog.noted_digests(manifest.upload_id)
        if digests:
            whole = replace(manifest, digests=digests)
            await self._name(manifest.upload_id, whole)

    async def _fits(self, manifest: Manifest) -> bool:
        """Whether there is an unfinished upload without an id that may be of this file."""
        if manifest.is_open or await self._catalog.find(manifest.upload_id) is None:
            return False
        known = await self._catalog.digests(manifest.upload_id)
        return all(manifest.digests[index] == one for index, one in known.items())

    async def _held(self, asset: Asset, manifest: Manifest) -> set[int]:
        if asset.ready:
            return set(range(manifest.count))
        held = await self._catalog.held(asset.asset_id)
        missing = sum(manifest.length(chunk) for chunk in range(manifest.count) if chunk not in held)
        path = self.path(asset.asset_id)
        if not await asyncio.to_thread(_make_room, path, manifest.size_bytes, missing + self._reserve_bytes) and held:
            await self._catalog.forget_chunks(asset.asset_id)
            if growth := self.growths.get(asset.asset_id):
                growth.forget()
            held = set()
        return held

    async def put(self, manifest: Manifest, chunks: Mapping[int, bytes | bytearray]) -> None:
        """Verify chunks, write them, sync them and write them down.

        Raises:
            InvalidInputError: a chunk has another digest than the manifest says; none of them counts.
            DiskFullError: the disk has no room; none of them counts.
        """
        pieces = {index: [data] for index, data in chunks.items()}
        await self.write(manifest.asset_id, manifest.digests, pieces)
        await self.hold(manifest.asset_id, manifest.digests, pieces)

    async def write(
        self, asset_id: str, digests: Sequence[bytes], chunks: Mapping[int, Sequence[bytes | bytearray]]
    ) -> None:
        """Verify and write chunks in pieces, of an asset or an upload without an id; they count once they are held.

        Raises:
            InvalidInputError: a chunk has another digest than was announced.
            DiskFullError: the disk has no room.
        """
        await asyncio.to_thread(_write, self.path(asset_id), digests, chunks)

    async def hold(self, asset_id: str, digests: Sequence[bytes], chunks: Iterable[int]) -> None:
        """Sync chunks that were written, and write them down.

        Raises:
            DiskFullError: the disk has no room; none of them counts.
            NotFoundError: the asset was deleted meanwhile.
        """
        await asyncio.to_thread(_sync, self.path(asset_id))
        await self._catalog.hold(asset_id, {index: digests[index] for index in chunks})
        if growth := self.growths.get(asset_id):
            growth.add(chunks)

    async def complete(self, asset_id: str, kind: AssetKind, media: MediaInfo) -> Asset:
        """Make an asset ready whose chunks are all there."""
        asset = await self._catalog.complete(asset_id, kind, media)
        if growth := self.growths.get(asset_id):
            growth.finish()
        return asset

    async def sha256(self, asset: Asset) -> bytes:
        """The digest of an asset's whole file.

        It is made when it is first asked for: few of the files that are brought are ever fetched.
        """
        if asset.sha256:
            return asset.sha256
        sha256 = await asyncio.to_thread(digest.file_digest, self.path(asset.asset_id))
        await self._catalog.note_sha256(asset.asset_id, sha256)
        return sha256

    async def manifest(self, path: Path, display_name: str) -> Manifest:
        """The chunks of a finished file of this edge."""
        return await asyncio.to_thread(_manifest, path, display_name)

    async def take(self, path: Path, manifest: Manifest, kind: AssetKind, media: MediaInfo, now_us: int) -> Asset:
        """Take a finished file whose chunks are known as an asset; the file is moved. May be done again."""
        asset = await self._catalog.announce(manifest, now_us, kind)
        await asyncio.to_thread(_move, path, self.path(asset.asset_id))
        if asset.ready:
            return asset
        return await self.complete(asset.asset_id, kind, media)

    async def drop_unowned_results(self) -> list[str]:
        """Delete results that no job has made or works with; gives their ids."""
        dropped = await self._catalog.remove_unowned_results()
        for asset_id in dropped:
            await asyncio.to_thread(remove_tree, self._root / asset_id)
        return dropped

    async def remove(self, asset_id: str) -> bool:
        """Delete an asset; False when there was none.

        Raises:
            ConflictError: an unfinished job needs it.
        """
        removed = await self._catalog.remove(asset_id)
        if removed:
            if growth := self.growths.get(asset_id):
                growth.fail(NotFoundError("the asset was deleted while it was uploaded", field="asset_id"))
            await asyncio.to_thread(remove_tree, self._root / asset_id)
        return removed

    async def going(self) -> list[str]:
        """Finish deletions that were cut off after the row; gives the ids of all whose files may still be there."""
        going = await self._catalog.going()
        for asset_id in going:
            await asyncio.to_thread(remove_tree, self._root / asset_id)
        return going

    async def gone(self, asset_id: str) -> None:
        """All that was made of a removed asset is gone as well."""
        await self._catalog.gone(asset_id)

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


def _rename(source: Path, target: Path) -> None:
    """Rename a folder; nothing happens when that was done already."""
    if not source.is_dir():
        return
    with disk_errors(target):
        remove_tree(target)  # no row knows it
        source.rename(target)
        sync_directory(target.parent)


def _write(path: Path, digests: Sequence[bytes], chunks: Mapping[int, Sequence[bytes | bytearray]]) -> None:
    with disk_errors(path):
        handle = _open(path)
        try:
            for index, pieces in chunks.items():
                # One after the other: what was just hashed is still in the processor's cache.
                if digest.pieces_digest(pieces) != digests[index]:
                    message = (
                        f"chunk {index} is not what the manifest says; "
                        "it was damaged on the way or the file has changed"
                    )
                    raise InvalidInputError(message, field="piece.data")
                _write_at(handle, pieces, index * digest.CHUNK_BYTES)
        finally:
            os.close(handle)


def _write_at(handle: int, pieces: Sequence[bytes | bytearray], offset: int) -> None:
    rest = [memoryview(piece) for piece in pieces]
    while rest:
        written = os.pwritev(handle, rest[:_VECTORS], offset)
        offset += written
        while rest and written >= len(rest[0]):
            written -= len(rest.pop(0))
        if rest:
            rest[0] = rest[0][written:]


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR)
    except FileNotFoundError:
        raise NotFoundError("the asset was deleted while it was uploaded", field="asset_id") from None


def _sync(path: Path) -> None:
    with disk_errors(path):
        handle = _open(path)
        try:
            os.fdatasync(handle)
        finally:
            os.close(handle)


def _manifest(path: Path, display_name: str) -> Manifest:
    with path.open("rb") as file:
        digests = []
        while block := file.read(digest.CHUNK_BYTES):
            digests.append(digest.chunk_digest(block))
    return Manifest(size_bytes=path.stat().st_size, digests=tuple(digests), display_name=display_name)


def _move(path: Path, target: Path) -> None:
    if target.is_file() and not path.exists():
        return
    make_directory(target.parent)
    with disk_errors(target):
        path.rename(target)
        sync_directory(target.parent)


def _read(path: Path, offset: int, length: int) -> bytes:
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(min(length, _READ_BYTES))
