"""One file of a library on its way into the asset store, by the way of every upload: verified, synced, probed.

Chunks that are safe are not read again: an upload is named by the file and its stamp, so that one of the same content
goes on after the edge was killed, and one of another content begins anew.
"""

import asyncio
import hashlib
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Final

from edge_gateway.assets.asset import Asset, Completed, Digests, Manifest, Piece, UploadMessage, display_name, ranges
from edge_gateway.assets.catalog import Catalog
from edge_gateway.assets.ledger import DIGESTS_FIELD
from edge_gateway.assets.service import AssetService
from edge_gateway.library.name import LibraryName
from edge_gateway.library.place import ChangedError, Entry, OpenFile, Place
from shared.digest import CHUNK_BYTES, chunk_count, chunk_digest
from shared.errors import ConflictError, InternalError, InvalidInputError, InvalidMediaError
from shared.telemetry.logging import get_logger

_LOG = get_logger(__name__)

_RUN: Final = 8
"""Chunks that are read at once; as many are read ahead, so that a bucket far away is no slower than its link."""

_ATTEMPTS: Final = 3
"""How often a file may change while it is read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """The time, and how to let it pass."""

    now_us: Callable[[], int] = lambda: time.time_ns() // 1000
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


@dataclass(frozen=True, slots=True, kw_only=True)
class BringProgress:
    """How far the bringing of a file is."""

    done_bytes: int = 0
    size_bytes: int = 0
    waiting_for: str = ""
    """What it waits for, in words; empty while bytes move."""


@dataclass(slots=True, kw_only=True)
class Bringing:
    """Brings one file.

    Args:
        name: Its name.
        place: Where it lies.
        assets: Who takes it.
        catalog: The rows of assets.
        clock: The time.
        settle_s: Seconds for which a file that is written in place must have been left alone.
        patience_s: Seconds for which to wait for that.
        tell: Told how far it is.
    """

    name: LibraryName
    place: Place
    assets: AssetService
    catalog: Catalog
    clock: Clock
    settle_s: float
    patience_s: float
    tell: Callable[[BringProgress], None] = field(default=lambda _: None)

    async def run(self) -> tuple[Entry, Asset]:
        """Bring it; gives what it was and the asset that it became.

        Raises:
            NotFoundError: there is no such file.
            ConflictError: it is being written, or changed whenever it was read.
            InvalidInputError: it is not media, or beyond a limit.
            DiskFullError: the edge's disk has no room.
            UnavailableError: the place does not answer.
        """
        for _ in range(_ATTEMPTS):
            entry = await self._settled()
            try:
                return entry, await self._bring(entry)
            except ChangedError:
                _LOG.info("file of a library changed while it was read", name=str(self.name))
                await self.assets.discard(_upload_name(self.name, entry))
        message = f"{self.name} changed whenever it was read; try again when nobody writes it"
        raise ConflictError(message, field="name", retry_after_s=self.settle_s)

    async def _settled(self) -> Entry:
        """What the file is, once nobody writes it: two looks in a row show the same, or the last change is long ago."""
        entry, waited = await self.place.look(self.name.path), 0.0
        while entry.changed_us is not None:
            if self.clock.now_us() - entry.changed_us >= self.settle_s * 1e6:
                break
            if waited >= self.patience_s:
                message = f"{self.name} is still being written; try again when it is complete"
                raise ConflictError(message, field="name", retry_after_s=self.settle_s)
            self.tell(BringProgress(size_bytes=entry.size_bytes, waiting_for="the file to be left alone"))
            await self.clock.sleep(self.settle_s)
            waited += self.settle_s
            before, entry = entry, await self.place.look(self.name.path)
            if before.stamp == entry.stamp:
                break
        return entry

    async def _bring(self, entry: Entry) -> Asset:
        if entry.size_bytes < 1:
            raise InvalidMediaError(f"{self.name} is empty", field="name")
        async with self.place.open(entry) as file:
            held = await self._held(entry)
            reading = _Reading(name=self.name, entry=entry, file=file, held=held, check=self._check, tell=self.tell)
            try:
                return await self._upload(await reading.manifest(), reading)
            except ConflictError as error:
                if error.field != DIGESTS_FIELD:
                    raise
            # Another file, or an upload of this one, begins and ends as it does: only all digests tell which.
            return await self._upload(await reading.whole_manifest(), reading)

    async def _held(self, entry: Entry) -> dict[int, bytes]:
        """The digests of chunks that are safe since before."""
        name = _upload_name(self.name, entry)
        there = await asyncio.to_thread(self.assets.path(name).exists)
        return await self.catalog.digests(name) if there else {}

    async def _check(self, entry: Entry) -> None:
        if (await self.place.look(entry.path)).stamp != entry.stamp:
            raise ChangedError

    async def _upload(self, manifest: Manifest, reading: "_Reading") -> Asset:
        try:
            async with (
                aclosing(reading.messages()) as messages,
                aclosing(self.assets.upload(manifest, messages)) as answers,
            ):
                async for answer in answers:
                    if isinstance(answer, Completed):
                        return answer.asset
        except InvalidInputError as error:
            raise type(error)(f"{self.name}: {error.message}", field="name", limit=error.limit) from error
        raise InternalError(f"{self.name} was read to its end and did not become an asset")


@dataclass(slots=True, kw_only=True)
class _Reading:
    """The file as an upload's messages."""

    name: LibraryName
    entry: Entry
    file: OpenFile
    held: dict[int, bytes]
    """Digests of chunks that are safe."""
    check: Callable[[Entry], Awaitable[None]]
    tell: Callable[[BringProgress], None]

    @property
    def count(self) -> int:
        return chunk_count(self.entry.size_bytes)

    async def manifest(self) -> Manifest:
        """What an upload begins with: the digests of the ends."""
        head, tail = [await self._digest(index) for index in (0, self.count - 1)]
        return self._manifest(ends=(head, tail))

    async def whole_manifest(self) -> Manifest:
        """The same with all digests, for which everything is read."""
        self.held = {}
        digests = []
        async with aclosing(self._chunks(range(self.count))) as chunks:
            async for _, data in chunks:
                digests.append(await asyncio.to_thread(chunk_digest, data))
        return self._manifest(digests=tuple(digests))

    def _manifest(self, *, digests: tuple[bytes, ...] = (), ends: tuple[bytes, bytes] | None = None) -> Manifest:
        return Manifest(
            size_bytes=self.entry.size_bytes,
            digests=digests,
            display_name=display_name(self.name.path),
            ends=ends,
            name=_upload_name(self.name, self.entry),
        )

    async def _digest(self, index: int) -> bytes:
        if index in self.held:
            return self.held[index]
        _, data = await self._run(index, 1)
        return await asyncio.to_thread(chunk_digest, data)

    async def messages(self) -> AsyncGenerator[UploadMessage, None]:
        """Every digest, and every chunk that is not safe.

        Before the last of them it is made sure that the file is still the one that was begun with.
        """
        missing = [index for index in range(self.count) if index not in self.held]
        if not missing:
            await self.check(self.entry)
        for index, digest in self.held.items():
            yield Digests(first=index, digests=(digest,))
        done = sum(self._length(index, 1) for index in self.held)
        async with aclosing(self._chunks(missing)) as chunks:
            async for index, data in chunks:
                digest = await asyncio.to_thread(chunk_digest, data)
                if index == missing[-1]:
                    await self.check(self.entry)
                yield Digests(first=index, digests=(digest,))
                yield Piece(chunk=index, offset=0, data=data)
                done += len(data)
                self.tell(BringProgress(done_bytes=done, size_bytes=self.entry.size_bytes))

    async def _chunks(self, wanted: Sequence[int]) -> AsyncGenerator[tuple[int, bytes], None]:
        """Chunks in the order of the file, read in runs of neighbours, one run ahead."""
        runs = [
            (run.first + at, min(_RUN, run.count - at)) for run in ranges(wanted) for at in range(0, run.count, _RUN)
        ]
        ahead: asyncio.Task[tuple[int, bytes]] | None = None
        try:
            for number, run in enumerate(runs):
                first, data = await (ahead or asyncio.create_task(self._run(*run)))
                ahead = asyncio.create_task(self._run(*runs[number + 1])) if number + 1 < len(runs) else None
                for offset in range(0, len(data), CHUNK_BYTES):
                    yield first + offset // CHUNK_BYTES, data[offset : offset + CHUNK_BYTES]
        finally:
            if ahead is not None:
                ahead.cancel()
                await asyncio.gather(ahead, return_exceptions=True)

    async def _run(self, first: int, count: int) -> tuple[int, bytes]:
        return first, await self.file.read(first * CHUNK_BYTES, self._length(first, count))

    def _length(self, first: int, count: int) -> int:
        return min(count * CHUNK_BYTES, self.entry.size_bytes - first * CHUNK_BYTES)


def _upload_name(name: LibraryName, entry: Entry) -> str:
    """What the upload of a file is called until its content is known: another one for another content."""
    return hashlib.sha256(f"viseme library 1\n{name}\n{entry.stamp}".encode()).hexdigest()
