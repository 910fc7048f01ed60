"""What can be done with assets: upload, look, list, delete, download."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Protocol
from weakref import WeakValueDictionary

from edge_gateway.assets.asset import (
    Asset,
    AssetKind,
    AssetLimits,
    ChunkRange,
    Completed,
    Held,
    Manifest,
    Persisted,
    Piece,
    Started,
    UploadAnswer,
    UploadMessage,
    Wanted,
    check_asset_id,
    check_manifest,
    ranges,
)
from edge_gateway.assets.catalog import Catalog
from edge_gateway.assets.growth import Source
from edge_gateway.assets.leases import Leases
from edge_gateway.assets.ledger import Ledger
from edge_gateway.assets.outcome import OnUpload, Outcome, tell_nobody, watched
from edge_gateway.assets.room import Room
from edge_gateway.assets.store import AssetStore, Begun
from edge_gateway.assets.upload import Upload
from edge_gateway.paging import page_size, read_token, write_token
from shared.errors import (
    ConflictError,
    DeadlineError,
    DiskFullError,
    InvalidInputError,
    InvalidMediaError,
    MissingChunksError,
    NotFoundError,
    VisemeError,
)
from shared.media.probe import MediaInfo
from shared.telemetry.logging import get_logger

_LOG = get_logger(__name__)

_SWEEP_S = 60.0


class Prober(Protocol):
    """Finds out what a file is."""

    async def __call__(self, path: Path, field: str) -> MediaInfo:
        """Probe a file.

        Raises:
            InvalidInputError: it is not media, damaged or beyond a limit; names the field.
        """
        ...


class AssetService:
    """Assets as clients see them.

    Args:
        store: The bytes.
        catalog: The rows.
        probe: Finds out what a file is.
        limits: What is refused.
        on_remove: Told the id of an asset that is gone; may block.
        on_lost: Told the id of an asset that will never be complete, and why; ends the jobs that need it.
        count_up: Told the bytes of every piece that came in.
        count_down: Told the bytes of every piece that went out.
        piece_bytes: Bytes of a piece that goes out.
        leases: When assets were last used; without it everything stays.
        on_upload: Told how each upload ended.
        expires: Tells when an asset goes, in microseconds since 1970.
    """

    def __init__(
        self,
        store: AssetStore,
        catalog: Catalog,
        probe: Prober,
        limits: AssetLimits,
        *,
        on_remove: Callable[[str], None] = lambda _: None,
        on_lost: Callable[[str, VisemeError], Awaitable[None]] | None = None,
        count_up: Callable[[int], None] = lambda _: None,
        count_down: Callable[[int], None] = lambda _: None,
        piece_bytes: int = 256 << 10,
        leases: Leases | None = None,
        on_upload: OnUpload = tell_nobody,
        expires: Callable[[Asset], int | None] = lambda _: None,
    ) -> None:
        self.limits = limits
        self._store = store
        self._catalog = catalog
        self._probe = probe
        self._on_remove = on_remove
        self._on_lost = on_lost
        self._count_up = count_up
        self._count_down = count_down
        self._piece_bytes = piece_bytes
        self._leases = leases
        self._on_upload = on_upload
        self._expires = expires
        self._writers: dict[str, Upload] = {}
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._room = Room(limits.total_bytes)
        self._reads: Counter[str] = Counter()
        store.growths.on_want = self._want
        store.growths.is_coming = self._writers.__contains__

    async def upload(
        self, manifest: Manifest, messages: AsyncIterator[UploadMessage]
    ) -> AsyncGenerator[UploadAnswer, None]:
        """Take one asset: says what is held, what becomes safe, and at the end what it is.

        Ends without :class:`Completed` when the client stops before everything was sent.

        Raises:
            InvalidInputError: the manifest, a digest or a piece does not fit, or the file is not media.
            LimitExceededError: something is beyond a limit.
            TakenOverError: a newer writer of the same asset came.
            ConflictError: with the field ``digests``: send the whole manifest.
            DiskFullError: the disk has no room.
            DeadlineError: the client said nothing for too long, or too little.
        """
        with watched(tell_nobody if manifest.name else self._on_upload) as ending:
            async with aclosing(self._upload(manifest, messages)) as answers:
                async for answer in answers:
                    if isinstance(answer, Completed):
                        ending.outcome = Outcome.COMPLETE
                    yield answer

    async def _upload(
        self, manifest: Manifest, messages: AsyncIterator[UploadMessage]
    ) -> AsyncGenerator[UploadAnswer, None]:
        check_manifest(manifest, self.limits)
        begun, ledger, upload = await self._start(manifest)
        asset = begun.asset
        try:
            yield Started(asset_id=asset.asset_id, held=ranges(ledger.held))
            if not (asset.ready and ledger.is_complete):
                count = (lambda _: None) if manifest.name else self._count_up
                async with aclosing(self._receive(upload, messages, count)) as answers:
                    async for answer in answers:
                        yield answer
                if not upload.is_complete:
                    return
                if not asset.ready:
                    asset = await self._finish(upload.name)
        finally:
            upload.close()
            if self._writers.get(upload.name) is upload:
                del self._writers[upload.name]
        yield Completed(asset=self._told(asset))

    async def _start(self, manifest: Manifest) -> tuple[Begun, Ledger, Upload]:
        """Begin in place of an older upload; files with the same ends one after the other, as they may share a row."""
        async with self._turns.setdefault(manifest.upload_id, asyncio.Lock()):
            if not manifest.name:
                await self._evict(manifest)
            begun = await self._begin_with_room(manifest)
            name = begun.asset.asset_id
            await self._renew(name)
            ledger = Ledger(manifest, begun.known, begun.held)
            upload = Upload(
                self._store,
                name,
                ledger,
                begun.held,
                self.limits,
                room=self._room,
                on_named=lambda named: None if manifest.name else self._write(upload, named),
            )
            is_through = begun.asset.ready and ledger.is_complete
            if not (manifest.name or is_through) and (not manifest.is_open or name == manifest.asset_id):
                self._write(upload, name)
        return begun, ledger, upload

    async def _begin(self, manifest: Manifest) -> Begun:
        now = time.time_ns() // 1000
        if manifest.is_open:
            return await self._store.begin_open(manifest, now)
        asset, held = await self._store.begin(manifest, now)
        return Begun(asset=asset, known=manifest.digests, held=held)

    async def _begin_with_room(self, manifest: Manifest) -> Begun:
        """Begin; where the disk has no room, assets go whose lease is over."""
        while True:
            try:
                return await self._begin(manifest)
            except DiskFullError:
                if not await self._give_up_one(manifest.asset_id):
                    raise

    async def _give_up_one(self, wanted: str) -> bool:
        for asset_id in [] if self._leases is None else await self._leases.over():
            if asset_id != wanted and await self.discard(asset_id):
                _LOG.info("asset given up for room", asset_id=asset_id)
                return True
        return False

    async def _renew(self, asset_id: str) -> None:
        if self._leases is not None:
            await self._leases.renew(asset_id)

    async def sweep(self) -> None:
        """Give up unfinished uploads that nothing has come for in a long time."""
        if self._leases is None:
            return
        await self._leases.note_time()
        for asset_id in await self._leases.expired():
            if asset_id not in self._writers:
                _LOG.info("upload expired", asset_id=asset_id)
                await self._lose(asset_id, _expired())
        await self._finish_whole()

    async def _finish_whole(self) -> None:
        """Complete uploads whose client left, or whose edge ended, between the last chunk and the end."""
        for asset_id in await self._catalog.whole():
            if asset_id not in self._writers:
                with suppress(InvalidInputError):  # logged, and told to the jobs that need it
                    await self._finish(asset_id)

    async def keep_swept(self) -> None:
        """Sweep now and then; a full disk must not end the edge, whose sweeping may be what makes room."""
        while True:
            try:
                await self.sweep()
            except DiskFullError as error:
                _LOG.error("uploads not swept", error=error.message)
            await asyncio.sleep(_SWEEP_S)

    async def _evict(self, manifest: Manifest) -> None:
        """End an older upload of the same file; what came of it by now is safe then.

        So ends one that has no id yet and whose file only has the same ends: the row is about to become this one's.
        """
        for name in {manifest.upload_id, manifest.asset_id}:
            older = self._writers.get(name)
            if older is not None:
                older.evict()
                await older.ended()

    def _write(self, upload: Upload, name: str) -> None:
        """Make an upload the writer of an asset in place of an older one."""
        for known, other in list(self._writers.items()):
            if other is upload:
                del self._writers[known]
        older = self._writers.get(name)
        if older is not None:
            older.evict()
        self._writers[name] = upload
        self._want(name)

    def _want(self, asset_id: str) -> None:
        """Tell whoever uploads an asset what is waited for."""
        upload, growth = self._writers.get(asset_id), self._store.growths.get(asset_id)
        if upload is not None and growth is not None:
            upload.want(growth.wanted())

    async def _receive(
        self, upload: Upload, messages: AsyncIterator[UploadMessage], count_up: Callable[[int], None]
    ) -> AsyncGenerator[Held | Persisted | Wanted, None]:
        async def counted() -> AsyncGenerator[UploadMessage, None]:
            async for message in messages:
                if isinstance(message, Piece):
                    count_up(len(message.data))
                    if growth := self._store.growths.get(upload.name):
                        growth.heard(message.chunk, len(message.data))
                yield message

        async with aclosing(counted()) as source, aclosing(upload.run(source)) as answers:
            async for answer in answers:
                await self._renew(upload.name)
                yield answer

    async def _finish(self, asset_id: str) -> Asset:
        try:
            media = await self._probe(self._store.path(asset_id), "asset")
        except InvalidInputError as error:
            _LOG.info("upload refused", reason=error.reason, message=error.message)
            await self._lose(asset_id, error)
            raise
        asset = await self._store.complete(asset_id, AssetKind(media.kind.value), media)
        _LOG.info("asset ready", asset_id=asset_id, kind=media.kind.value, size_bytes=asset.size_bytes)
        return asset

    async def _lose(self, asset_id: str, error: VisemeError) -> None:
        """Delete an asset that will never be complete; the jobs that need it end with the same error."""
        while True:
            if self._on_lost is not None:
                await self._on_lost(asset_id, error)
            try:
                removed = await self._store.remove(asset_id)
            except ConflictError:
                if self._on_lost is None:
                    raise
                continue  # one more job was accepted meanwhile
            if removed:
                await self._removed(asset_id)
            return

    async def _removed(self, asset_id: str) -> None:
        await asyncio.to_thread(self._on_remove, asset_id)
        await self._store.gone(asset_id)

    async def get(self, asset_id: str, field: str = "asset_id") -> Asset:
        """Describe one asset.

        Raises:
            NotFoundError: there is none of this id.
        """
        asset = await self._find(asset_id, field)
        await self._renew(asset_id)
        return self._told(asset)

    def _told(self, asset: Asset) -> Asset:
        return replace(asset, expire_us=self._expires(asset))

    async def held(self, asset: Asset) -> tuple[ChunkRange, ...]:
        """The chunks of an unfinished asset that are safe; nothing for a ready one."""
        return () if asset.ready else ranges(await self._catalog.held(asset.asset_id))

    async def page(self, size: int, token: str, kind: AssetKind | None) -> tuple[list[Asset], str]:
        """Assets from the newest, and the token of the next page."""
        count = page_size(size)
        found = await self._catalog.page(count=count + 1, before=read_token(token), kind=kind)
        more = len(found) > count
        return [self._told(asset) for asset in found[:count]], write_token(found[count - 1].number) if more else ""

    async def delete(self, asset_id: str) -> None:
        """Delete an asset and everything that was made from it.

        Raises:
            NotFoundError: there is none of this id.
            ConflictError: an unfinished job needs it.
        """
        if not await self._store.remove(check_asset_id(asset_id)):
            raise NotFoundError("this edge has no such asset", field="asset_id")
        await self._removed(asset_id)

    async def discard(self, asset_id: str) -> bool:
        """Delete an asset if it is there and nobody needs it; False when that is not so."""
        try:
            await self.delete(asset_id)
        except (NotFoundError, ConflictError) as error:
            _LOG.info("asset kept", asset_id=asset_id, reason=error.reason)
            return False
        return True

    def path(self, asset_id: str) -> Path:
        """Where a ready asset's bytes lie."""
        return self._store.path(asset_id)

    def beside(self, asset_id: str, name: str) -> Path:
        """Where a file may lie that is made from a ready asset; it goes with the asset."""
        return self._store.path(asset_id).with_name(name)

    async def source(self, asset_id: str, field: str = "asset_id") -> Source:
        """Open an asset for reading, be it complete or not.

        Raises:
            NotFoundError: there is none of this id.
        """
        asset = await self._find(asset_id, field)
        if asset.ready:
            await self._renew(asset_id)
            return Source(asset, self._store.path(asset_id))
        growth = self._store.growths.open(asset)
        # Asked again, as it may have been completed before anybody could be told of it.
        held = await self._catalog.held(asset_id)
        asset = await self._find(asset_id, field)
        if asset.ready:
            growth.finish()
        else:
            growth.add(held)
        return Source(asset, self._store.path(asset_id), growth)

    async def _find(self, asset_id: str, field: str) -> Asset:
        asset = await self._catalog.find(check_asset_id(asset_id, field))
        if asset is None:
            raise NotFoundError("this edge has no such asset", field=field)
        return asset

    async def download(
        self, asset_id: str, offset: int, length: int
    ) -> tuple[Asset, AsyncGenerator[tuple[int, bytes], None]]:
        """An asset and its bytes from an offset, in pieces.

        Raises:
            NotFoundError: there is none of this id.
            MissingChunksError: it is not complete.
            InvalidInputError: the offset lies beyond its end.
        """
        asset = await self.get(asset_id)
        if not asset.ready:
            raise MissingChunksError("the asset is not complete yet", field="asset_id")
        if offset > asset.size_bytes:
            message = f"the asset has {asset.size_bytes} bytes, {offset} lies beyond its end"
            raise InvalidInputError(message, field="offset_bytes")
        asset = replace(asset, sha256=await self._store.sha256(asset))
        end = min(asset.size_bytes, offset + length) if length else asset.size_bytes
        return asset, self._pieces(asset_id, offset, end)

    async def _pieces(self, asset_id: str, offset: int, end: int) -> AsyncGenerator[tuple[int, bytes], None]:
        self._reads[asset_id] += 1
        try:
            while offset < end:
                data = await self._store.read(asset_id, offset, min(self._piece_bytes, end - offset))
                if not data:
                    raise InvalidMediaError("the asset's file is shorter than it was", field="asset_id")
                self._count_down(len(data))
                yield offset, data
                offset += len(data)
        finally:
            self._reads -= Counter({asset_id: 1})

    def is_read(self, asset_id: str) -> bool:
        """Whether a download of an asset runs."""
        return asset_id in self._reads


def _expired() -> DeadlineError:
    message = "nothing came of this upload for so long that it was given up; upload the file and submit the job again"
    return DeadlineError(message, field="asset", limit="upload_expire_s")
