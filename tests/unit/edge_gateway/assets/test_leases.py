"""What stays, what goes, and by which clock."""

from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import pytest

from edge_gateway.assets.asset import AssetKind, AssetLimits, Manifest, Piece
from edge_gateway.assets.catalog import Catalog
from edge_gateway.assets.finished import FinishedFiles
from edge_gateway.assets.leases import Leases
from edge_gateway.assets.service import AssetService
from edge_gateway.assets.store import AssetStore
from edge_gateway.database import Database
from shared.digest import chunk_digest
from shared.errors import DiskFullError, NotFoundError
from shared.media.probe import MediaInfo, MediaKind

LIMITS = AssetLimits(asset_bytes=1 << 30, manifest_chunks=64, piece_bytes=1 << 20, buffer_bytes=8 << 20, idle_s=5.0)
LEASE_S, EXPIRE_S = 1000.0, 100.0


class Clock:
    def __init__(self) -> None:
        self.now = 5.0

    def __call__(self) -> float:
        return self.now


class SmallStore(AssetStore):
    """A store on a disk with room for two assets."""

    async def begin(self, manifest: Manifest, now_us: int) -> tuple[object, set[int]]:  # type: ignore[override]  # wider
        there = {path.parent.name for path in self.path("x").parent.parent.glob("*/media")}
        if len(there - {manifest.asset_id}) >= 2:
            raise DiskFullError("full", limit="disk")
        return await super().begin(manifest, now_us)


async def probe(path: Path, field: str) -> MediaInfo:
    del path, field
    return MediaInfo(kind=MediaKind.VIDEO, container="mp4", duration_seconds=1.0)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def leases(database: Database, clock: Clock) -> Leases:
    return await Leases.open(database, lease_s=LEASE_S, expire_s=EXPIRE_S, clock=clock)


@pytest.fixture
def assets(store: AssetStore, catalog: Catalog, leases: Leases) -> AssetService:
    return AssetService(store, catalog, probe, LIMITS, leases=leases)


def manifest(data: bytes) -> Manifest:
    return Manifest(size_bytes=len(data), digests=(chunk_digest(data),), display_name="x")


async def stream(pieces: Iterable[Piece]) -> AsyncIterator[Piece]:
    for piece in pieces:
        yield piece


async def bring(assets: AssetService, data: bytes, *, sent: int | None = None) -> str:
    pieces = [Piece(chunk=0, offset=0, data=data[:sent])] if sent != 0 else []
    async for _ in assets.upload(manifest(data), stream(pieces)):
        pass
    return manifest(data).asset_id


async def test_unfinished_uploads_expire_and_finished_ones_stay(
    assets: AssetService, clock: Clock, store: AssetStore
) -> None:
    done = await bring(assets, b"done")
    old = await bring(assets, b"old", sent=0)
    clock.now += EXPIRE_S - 1
    young = await bring(assets, b"young", sent=0)
    await assets.sweep()
    assert not (await assets.get(old)).ready
    clock.now += EXPIRE_S * 0.9
    await assets.sweep()
    # Asking for it renewed the one, but not the other that was asked for before.
    assert {asset.asset_id for asset in (await assets.page(0, "", None))[0]} == {done, old, young}
    clock.now += EXPIRE_S * 0.9
    await assets.sweep()
    assert {asset.asset_id for asset in (await assets.page(0, "", None))[0]} == {done}
    assert not store.path(old).parent.exists()


async def test_an_upload_that_runs_does_not_expire(assets: AssetService, clock: Clock) -> None:
    async def slow() -> AsyncIterator[Piece]:
        yield Piece(chunk=0, offset=0, data=b"a")
        clock.now += 10 * EXPIRE_S
        await assets.sweep()
        yield Piece(chunk=0, offset=1, data=b"b")

    async for _ in assets.upload(manifest(b"ab"), slow()):
        pass
    assert (await assets.get(manifest(b"ab").asset_id)).ready


async def test_time_goes_on_where_it_was(database: Database, leases: Leases, clock: Clock) -> None:
    """The clock of another start of the machine begins anywhere; what was counted counts on."""
    clock.now += 50
    await leases.note_time()
    later = Clock()
    later.now = -1e6
    again = await Leases.open(database, lease_s=LEASE_S, expire_s=EXPIRE_S, clock=later)
    assert again.now_us == 50_000_000
    later.now += 1
    assert again.now_us == 51_000_000


async def test_a_full_disk_takes_assets_whose_lease_is_over_the_longest_unused_first(
    tmp_path: Path, catalog: Catalog, leases: Leases, clock: Clock
) -> None:
    gone: list[str] = []
    store = SmallStore(tmp_path / "assets", catalog)
    assets = AssetService(store, catalog, probe, LIMITS, leases=leases, on_remove=gone.append)
    first, second = await bring(assets, b"1"), await bring(assets, b"2")
    clock.now += LEASE_S - 1
    with pytest.raises(DiskFullError):
        await bring(assets, b"3")
    await assets.get(first)
    clock.now += 2
    third = await bring(assets, b"3")
    assert gone == [second]
    assert (await assets.get(first)).ready
    assert (await assets.get(third)).ready
    with pytest.raises(NotFoundError):
        await assets.get(second)
    with pytest.raises(DiskFullError):
        await bring(assets, b"4")


async def test_results_are_never_taken_for_room(
    assets: AssetService, leases: Leases, clock: Clock, tmp_path: Path
) -> None:
    made = tmp_path / "made"
    made.write_bytes(b"result")
    files = FinishedFiles(assets._store, assets._probe)
    result = await files.keep(await files.look(made, "out.mp4"))
    brought = await bring(assets, b"brought")
    clock.now += 2 * LEASE_S
    assert result.kind is AssetKind.RESULT
    assert await leases.over() == [brought]


async def test_what_came_in_another_way_has_a_lease_from_its_beginning(
    catalog: Catalog, leases: Leases, clock: Clock
) -> None:
    clock.now += 2 * LEASE_S
    await leases.note_time()
    await catalog.announce(manifest(b"by tus"), 1)
    assert await leases.expired() == []
    clock.now += 2 * EXPIRE_S
    assert await leases.expired() == [manifest(b"by tus").asset_id]
