"""Libraries on a database and a store of their own, over a place in memory that tests can meddle with."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from edge_gateway.assets.asset import Asset, AssetLimits
from edge_gateway.assets.catalog import Catalog
from edge_gateway.assets.service import AssetService
from edge_gateway.assets.store import AssetStore
from edge_gateway.database import Database
from edge_gateway.library.bring import BringProgress, Clock
from edge_gateway.library.catalog import LibraryCatalog
from edge_gateway.library.place import ChangedError, Entry
from edge_gateway.library.service import Libraries, LibraryLimits
from shared.errors import InvalidInputError, NotFoundError
from shared.media.probe import MediaInfo, MediaKind

ASSET_LIMITS = AssetLimits(
    asset_bytes=64 << 20, manifest_chunks=64, piece_bytes=1 << 20, buffer_bytes=16 << 20, idle_s=30
)
LIMITS = LibraryLimits(at_once=2, queue=3, settle_s=2.0, patience_s=6.0)


async def nothing(_: str) -> None:
    """Meddle with nothing."""


@dataclass(slots=True)
class MemoryPlace:
    """Files in memory. ``on_read`` is awaited before every read, with the path."""

    files: dict[str, bytes] = field(default_factory=dict)
    changed_us: dict[str, int] = field(default_factory=dict)
    version: int = 0
    versions: dict[str, int] = field(default_factory=dict)
    read_bytes: int = 0
    on_read: Callable[[str], Awaitable[None]] = nothing
    looks: int = 0
    on_look: Callable[[int], None] = lambda _: None
    """Called with the number of every look, from 1."""

    def put(self, path: str, data: bytes, changed_us: int | None = None) -> None:
        self.files[path] = data
        self.version += 1
        self.versions[path] = self.version
        if changed_us is not None:
            self.changed_us[path] = changed_us

    async def look(self, path: str) -> Entry:
        self.looks += 1
        self.on_look(self.looks)
        return self._entry(path)

    def _entry(self, path: str) -> Entry:
        if path not in self.files:
            raise NotFoundError("there is no such file in the library", field="name")
        return Entry(
            path=path,
            size_bytes=len(self.files[path]),
            modified_us=self.versions[path],
            stamp=str(self.versions[path]),
            changed_us=self.changed_us.get(path),
        )

    @asynccontextmanager
    async def open(self, entry: Entry) -> AsyncIterator["MemoryFile"]:
        yield MemoryFile(self, entry)

    async def page(self, folder: str, after: str, count: int) -> list[Entry]:
        below = [path for path in sorted(self.files) if path.startswith(f"{folder}/" if folder else "")]
        return [self._entry(path) for path in below if path > after][:count]


@dataclass(slots=True)
class MemoryFile:
    """One of them."""

    place: MemoryPlace
    entry: Entry

    async def read(self, offset: int, length: int) -> bytes:
        await self.place.on_read(self.entry.path)
        if self.place._entry(self.entry.path).stamp != self.entry.stamp:
            raise ChangedError
        self.place.read_bytes += length
        return self.place.files[self.entry.path][offset : offset + length]


@dataclass(slots=True, kw_only=True)
class Bench:
    """Libraries and what they stand on."""

    libraries: Libraries
    place: MemoryPlace
    assets: AssetService
    store: AssetStore
    catalog: Catalog
    refused: list[InvalidInputError]
    slept: list[float]
    now_us: list[int]
    on_sleep: list[Callable[[], None]]

    async def add(self, name: str) -> Asset:
        """Add a file; gives what it became."""
        return (await self.told(name))[-1]  # type: ignore[return-value]  # the last answer is the asset

    async def told(self, name: str) -> list[BringProgress | Asset]:
        """Add a file; gives every answer."""
        async with aclosing(self.libraries.add(name)) as answers:
            return [answer async for answer in answers]

    async def begin(self, name: str) -> asyncio.Task[Asset]:
        """Begin to add a file beside."""
        return asyncio.create_task(self.add(name))

    def data(self, asset: Asset) -> bytes:
        """The bytes of an asset at the edge."""
        return self.store.path(asset.asset_id).read_bytes()


@pytest.fixture
def place() -> MemoryPlace:
    return MemoryPlace()


@pytest.fixture
def bench(database: Database, catalog: Catalog, store: AssetStore, place: MemoryPlace) -> Bench:
    refused: list[InvalidInputError] = []
    slept: list[float] = []
    now_us = [1_000_000_000_000_000]
    on_sleep: list[Callable[[], None]] = []

    async def probe(path: Path, field: str) -> MediaInfo:
        del path, field
        if refused:
            raise refused[0]
        return MediaInfo(kind=MediaKind.VIDEO, container="mp4", duration_seconds=1.0)

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        now_us[0] += round(seconds * 1e6)
        if on_sleep:
            on_sleep.pop(0)()
        await asyncio.sleep(0)

    assets = AssetService(store, catalog, probe, replace(ASSET_LIMITS))
    libraries = Libraries(
        {"teachers": place, "stock": MemoryPlace()},
        LibraryCatalog(database),
        assets,
        catalog,
        limits=LIMITS,
        clock=Clock(now_us=lambda: now_us[0], sleep=sleep),
    )
    return Bench(
        libraries=libraries,
        place=place,
        assets=assets,
        store=store,
        catalog=catalog,
        refused=refused,
        slept=slept,
        now_us=now_us,
        on_sleep=on_sleep,
    )
