"""Uploads whose bytes come in order: opened, appended to, put together, and made assets when they are whole."""

import asyncio
import os
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Protocol
from weakref import WeakValueDictionary

from edge_gateway.assets.asset import Asset, AssetKind, CheckSize, Manifest, any_size
from edge_gateway.assets.catalog import Catalog
from edge_gateway.assets.outcome import OnUpload, Outcome, tell_nobody, watched
from edge_gateway.assets.service import Prober
from edge_gateway.assets.store import AssetStore
from edge_gateway.assets.stream import Checksum, Clock, NewStream, Stream, StreamLimits, check_parts, check_size
from edge_gateway.assets.stream_catalog import StreamCatalog
from edge_gateway.assets.stream_writer import StreamWriter
from shared.errors import ConflictError, DeadlineError, DiskFullError, InvalidInputError, NotFoundError, VisemeError
from shared.telemetry.logging import get_logger

_LOG = get_logger(__name__)

_READ_BYTES = 256 << 10
_SWEEP_S = 60.0
_SETTLE_S = 2.0
"""Seconds that a question for the offset may wait for bytes on their way to the disk."""


def time_of_day() -> int:
    """Microseconds since 1970, as the machine's clock says now."""
    return time.time_ns() // 1000


class Fates(Protocol):
    """Whoever wants to know what becomes of uploads."""

    async def became(self, upload_id: str, asset_id: str) -> None:
        """An upload has become an asset, and that is written down."""
        ...

    async def lost(self, upload_id: str, error: VisemeError) -> None:
        """An upload will never become an asset, and that is written down; of one that has, this means nothing."""
        ...


class StreamUploads:
    """Uploads as a client sees them that sends bytes from the first to the last.

    Args:
        root: The directory of files that are not assets yet; on the disk of the store.
        uploads: The rows of uploads.
        store: Where assets lie.
        catalog: The rows of assets.
        probe: Finds out what a file is.
        limits: What is refused.
        on_asset: Told the id of every asset that an upload became.
        fates: Told what becomes of each upload.
        count_up: Told the bytes of every piece that came in.
        reserve_bytes: Room on the disk that uploads leave free.
        check_new: Refuses what has not begun yet where the disk is nearly full.
        check_size: Refuses a file that has not begun yet for its size.
        clock: The time that counts: one that nobody sets, that goes on over restarts.
        wall: The time of day, for people.
        on_upload: Told how uploads ended; not of a request after which more of one is to come.
    """

    def __init__(
        self,
        root: Path,
        uploads: StreamCatalog,
        store: AssetStore,
        catalog: Catalog,
        *,
        probe: Prober,
        limits: StreamLimits,
        on_asset: Callable[[str], Awaitable[None]] | None = None,
        fates: Fates | None = None,
        count_up: Callable[[int], None] = lambda _: None,
        reserve_bytes: int = 0,
        check_new: Callable[[], None] = lambda: None,
        check_size: CheckSize = any_size,
        clock: Clock,
        wall: Clock = time_of_day,
        on_upload: OnUpload = tell_nobody,
    ) -> None:
        self.limits = limits
        self._root = root
        self._uploads = uploads
        self._store = store
        self._catalog = catalog
        self._probe = probe
        self._on_asset = on_asset
        self._fates = fates
        self._count_up = count_up
        self._reserve_bytes = reserve_bytes
        self._check_new = check_new
        self._check_size = check_size
        self._clock = clock
        self._wall = wall
        self._on_upload = on_upload
        self._writers: dict[str, StreamWriter] = {}
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def create(self, new: NewStream) -> Stream:
        """Open an upload.

        Raises:
            InvalidInputError: it is empty or beyond a limit.
            ResourceExhaustedError: too many are unfinished.
            DiskFullError: the disk has no room for it.
        """
        check_size(new.size_bytes, self.limits, new.display_name)
        if not new.parts:  # what is put together was taken before
            self._check_new()
            await self._check_size(new.size_bytes)
        await asyncio.to_thread(_check_room, self._root, new.size_bytes + self._reserve_bytes)
        return await self._uploads.open(new, self._clock(), self.limits.open_uploads)

    async def put_together(self, parts: Sequence[str], new: NewStream) -> Stream:
        """Make one upload of whole parts, in this order; asking again gives the same one.

        Raises:
            InvalidInputError: a part is none or is not whole, or what they make is not media.
        """
        made = await self._uploads.made_of(parts)
        if made is None:
            found = [await self._uploads.find(part) for part in parts[: self.limits.parts + 1]]
            size = check_parts(found, self.limits)
            made = await self.create(
                NewStream(size_bytes=size, display_name=new.display_name, metadata=new.metadata, parts=tuple(parts))
            )
        return await self.status(made.upload_id)

    async def status(self, upload_id: str) -> Stream:
        """How far an upload is; one whose bytes are all there has become an asset by then.

        Raises:
            NotFoundError: there is none of this id.
            InvalidInputError: it is whole and not media.
        """
        await self._settle(upload_id)
        stream = await self._find(upload_id)
        if stream.asset_id:
            return await self._known(stream)
        if not (stream.parts or (stream.is_whole and not stream.is_part)):
            return stream
        async with self._locks.setdefault(upload_id, asyncio.Lock()):
            stream = await self._find(upload_id)
            if not stream.is_whole:
                stream = await self._join(stream)
            if not stream.asset_id:
                asset = await self._finish(stream)
                if self._on_asset is not None:
                    await self._on_asset(asset.asset_id)
                await self._uploads.became(upload_id, asset.asset_id)
                if self._fates is not None:
                    await self._fates.became(upload_id, asset.asset_id)
            await self._forget(stream.parts)
        return await self._find(upload_id)

    async def find(self, upload_id: str) -> Stream:
        """An upload as it is written down.

        Raises:
            NotFoundError: there is none of this id.
            VisemeError: why it will never become an asset.
        """
        return await self._find(upload_id)

    async def append(
        self,
        upload_id: str,
        offset: int,
        body: AsyncIterator[bytes],
        *,
        length: int | None = None,
        checksum: Checksum | None = None,
    ) -> Stream:
        """Append to an upload; a writer that is at it already is ended.

        Args:
            upload_id: The upload.
            offset: Where the client thinks that it is.
            body: The bytes; ConnectionError in it means that the client went away.
            length: How many they are, where the client says it.
            checksum: What they must give; all of them count or none.

        Raises:
            NotFoundError: there is none of this id.
            ConflictError: the upload is elsewhere, is put together from others, or another writer came.
            InvalidInputError: more comes than belongs to it, it is damaged, or it is whole and not media.
            DeadlineError: the client said nothing for too long.
            DiskFullError: the disk has no room.
        """
        with watched(self._on_upload) as ending:
            stream = await self._append(upload_id, offset, body, length, checksum)
            ending.outcome = Outcome.COMPLETE if stream.asset_id else None
        return stream

    async def _append(
        self, upload_id: str, offset: int, body: AsyncIterator[bytes], length: int | None, checksum: Checksum | None
    ) -> Stream:
        self._check(await self._find(upload_id), offset, length)
        await self._evict(upload_id)
        writer = self._writer(upload_id, self._count_up)
        try:
            stream = await self._find(upload_id)
            self._check(stream, offset, length)
            if not stream.is_whole:
                wanted = stream.size_bytes - offset + self._reserve_bytes
                await asyncio.to_thread(_check_room, self._root, wanted)
                await writer.run(stream, body, checksum)
        finally:
            self._release(upload_id, writer)
        return await self.status(upload_id)

    async def delete(self, upload_id: str) -> None:
        """Forget an upload and what came of it; an asset that it became stays.

        Raises:
            NotFoundError: there is none of this id.
        """
        if await self._uploads.find(upload_id) is None:
            raise _unknown()
        await self._evict(upload_id)
        async with self._locks.setdefault(upload_id, asyncio.Lock()):
            await self._forget([upload_id])
        await self._lose(upload_id, NotFoundError("the upload was deleted before it had ended", field="asset"))

    def expires_us(self, stream: Stream) -> int:
        """When an upload is forgotten if nothing comes for it, in microseconds since 1970."""
        return self._wall() + stream.touched_us + round(self.limits.expire_s * 1e6) - self._clock()

    def close(self) -> None:
        """End every writer and keep what came; for when the edge ends."""
        for writer in self._writers.values():
            writer.stop()

    async def sweep(self) -> None:
        """Forget uploads that nothing came for, and files that no upload is known of."""
        old = await self._uploads.untouched(self._clock() - round(self.limits.expire_s * 1e6))
        expired = [upload_id for upload_id in old if not self._is_busy(upload_id)]
        await self._forget(expired)
        for upload_id in expired:
            await self._lose(upload_id, _expired())
        files = await asyncio.to_thread(lambda: [path.name for path in self._root.iterdir()])
        known = await self._uploads.ids()
        await self._forget([name for name in files if name not in known])

    async def keep_swept(self) -> None:
        """Sweep from time to time, for ever; a full disk does not end it."""
        while True:
            try:
                await self.sweep()
            except DiskFullError as error:
                _LOG.error("tus uploads not swept", error=error.message)
            await asyncio.sleep(min(_SWEEP_S, self.limits.expire_s))

    async def _find(self, upload_id: str) -> Stream:
        stream = await self._uploads.find(upload_id)
        if stream is None:
            raise _unknown()
        if stream.error is not None:
            raise stream.error
        return stream

    async def _known(self, stream: Stream) -> Stream:
        """An upload whose asset was not deleted meanwhile; otherwise the client is to send it again."""
        if await self._catalog.find(stream.asset_id) is None:
            await self._forget([stream.upload_id])
            raise _unknown()
        return stream

    def _check(self, stream: Stream, offset: int, length: int | None) -> None:
        if stream.parts:
            raise ConflictError("an upload that is put together from others takes no bytes", field="Upload-Concat")
        if offset != stream.offset_bytes:
            message = f"the upload is at {stream.offset_bytes}, not at {offset}; go on there"
            raise ConflictError(message, field="Upload-Offset")
        if length is not None and offset + length > stream.size_bytes:
            message = f"the upload has {stream.size_bytes} bytes, {length} more than {offset} are too many"
            raise InvalidInputError(message, field="Content-Length", limit="Upload-Length")

    def _is_busy(self, upload_id: str) -> bool:
        return upload_id in self._writers or upload_id in self._locks

    def _writer(self, upload_id: str, count_up: Callable[[int], None]) -> StreamWriter:
        writer = StreamWriter(
            self._uploads,
            self._root / upload_id,
            limits=self.limits,
            count_up=count_up,
            clock=self._clock,
        )
        self._writers[upload_id] = writer
        return writer

    def _release(self, upload_id: str, writer: StreamWriter) -> None:
        if self._writers.get(upload_id) is writer:
            del self._writers[upload_id]
        writer.end()

    async def _settle(self, upload_id: str) -> None:
        """Let what came for an upload become safe, since its client is about to ask for it again."""
        writer = self._writers.get(upload_id)
        if writer is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(_SETTLE_S):
                    await writer.settle()

    async def _evict(self, upload_id: str) -> None:
        while (writer := self._writers.get(upload_id)) is not None:
            writer.evict()
            await writer.ended.wait()

    async def _join(self, stream: Stream) -> Stream:
        """Append what is missing of the parts."""
        writer = self._writer(stream.upload_id, lambda _: None)
        try:
            async with aclosing(self._bytes_of(stream)) as body:
                await writer.run(stream, body, None)
        except FileNotFoundError:
            error = InvalidInputError("a part was deleted meanwhile; upload it again", field="Upload-Concat")
            await self._refuse(stream, error)
            raise error from None
        finally:
            self._release(stream.upload_id, writer)
        return await self._find(stream.upload_id)

    async def _bytes_of(self, stream: Stream) -> AsyncGenerator[bytes, None]:
        skip = stream.offset_bytes
        for part in stream.parts:
            path = self._root / part
            size = (await asyncio.to_thread(path.stat)).st_size
            while skip < size:
                data = await asyncio.to_thread(_read, path, skip)
                yield data
                skip += len(data)
            skip -= size

    async def _finish(self, stream: Stream) -> Asset:
        digests = await self._uploads.digests(stream.upload_id)
        manifest = Manifest(size_bytes=stream.size_bytes, digests=digests, display_name=stream.display_name)
        path = self._root / stream.upload_id
        there = await self._catalog.find(manifest.asset_id)
        if there is not None and there.ready:
            await asyncio.to_thread(path.unlink, missing_ok=True)
            return there
        if not await asyncio.to_thread(path.exists):
            path = self._store.path(manifest.asset_id)  # moved before a crash, and not written down
        try:
            media = await self._probe(path, "asset")
        except InvalidInputError as error:
            await self._refuse(stream, error)
            raise
        asset = await self._store.take(path, manifest, AssetKind(media.kind.value), media, self._wall())
        _LOG.info("asset ready", asset_id=asset.asset_id, kind=media.kind.value, size_bytes=asset.size_bytes)
        return asset

    async def _refuse(self, stream: Stream, error: InvalidInputError) -> None:
        _LOG.info("upload refused", reason=error.reason, message=error.message)
        await self._uploads.refuse(stream.upload_id, error)
        await self._lose(stream.upload_id, error)
        await asyncio.to_thread((self._root / stream.upload_id).unlink, missing_ok=True)

    async def _lose(self, upload_id: str, error: VisemeError) -> None:
        if self._fates is not None:
            await self._fates.lost(upload_id, error)

    async def _forget(self, upload_ids: Sequence[str]) -> None:
        if not upload_ids:
            return
        await self._uploads.remove(upload_ids)
        for upload_id in upload_ids:
            await asyncio.to_thread((self._root / upload_id).unlink, missing_ok=True)


def _unknown() -> NotFoundError:
    return NotFoundError("this edge has no such upload; it may have expired", field="upload_id")


def _expired() -> DeadlineError:
    message = "nothing came of this upload for so long that it was given up; upload the file and submit the job again"
    return DeadlineError(message, field="asset", limit="tus_expire_s")


def _check_room(root: Path, wanted: int) -> None:
    room = os.statvfs(root)
    free = room.f_bavail * room.f_frsize
    if wanted > free:
        message = f"the edge's disk has {free} bytes left and {wanted} are needed; free some and try again"
        raise DiskFullError(message, limit="disk")


def _read(path: Path, offset: int) -> bytes:
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(_READ_BYTES)
