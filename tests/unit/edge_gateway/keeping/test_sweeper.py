"""What goes after which time, and what stays whatever the time."""

import sqlite3
from pathlib import Path

import pytest

from edge_gateway.assets.asset import AssetKind, AssetLimits, Manifest
from edge_gateway.assets.catalog import Catalog
from edge_gateway.assets.service import AssetService
from edge_gateway.assets.store import AssetStore
from edge_gateway.database import Database
from edge_gateway.keeping.holdings import Holdings
from edge_gateway.keeping.plan import Holding, KeepTimes, Kind, due
from edge_gateway.keeping.sweeper import Sweeper
from shared.digest import chunk_digest
from shared.errors import InternalError
from shared.media.probe import MediaInfo, MediaKind

LIMITS = AssetLimits(asset_bytes=1 << 30, manifest_chunks=64, piece_bytes=1 << 20, buffer_bytes=8 << 20, idle_s=5.0)
MEDIA = MediaInfo(kind=MediaKind.VIDEO, container="mp4", duration_seconds=1.0)


class NoJobs:
    async def delete(self, job_id: str) -> None:
        raise AssertionError(job_id)


async def probe(path: Path, field: str) -> MediaInfo:
    del path, field
    return MEDIA


def holding(kind: Kind, used_s: float) -> Holding:
    return Holding(kind=kind, name=f"{kind.value}-{used_s}", size_bytes=1, used_us=round(used_s * 1e6))


def test_zero_keeps_for_ever() -> None:
    assert due([holding(kind, 0) for kind in Kind], KeepTimes(), 10**18) == []


def test_each_kind_has_a_time_of_its_own_and_the_oldest_goes_first() -> None:
    held = [holding(Kind.ASSET, 5), holding(Kind.ASSET, 1), holding(Kind.JOB, 9), holding(Kind.RESULT, 0)]
    gone = due(held, KeepTimes(job_s=1, asset_s=5), 10_000_000)
    assert [one.name for one in gone] == ["job-9", "asset-1", "asset-5"]


async def make(store: AssetStore, data: bytes, folder: Path) -> str:
    file = folder / "made"
    file.write_bytes(data)
    manifest = Manifest(size_bytes=len(data), digests=(chunk_digest(data),), display_name="x")
    return (await store.take(file, manifest, AssetKind.VIDEO, MEDIA, 0)).asset_id


@pytest.fixture
def assets(store: AssetStore, catalog: Catalog) -> AssetService:
    return AssetService(store, catalog, probe, LIMITS, piece_bytes=2)


async def test_a_download_keeps_its_file_until_it_ends(
    assets: AssetService, store: AssetStore, database: Database, tmp_path: Path
) -> None:
    read, idle = await make(store, b"is read", tmp_path), await make(store, b"is idle", tmp_path)
    gone: list[Holding] = []
    sweeper = Sweeper(
        Holdings(database).all, KeepTimes(asset_s=1), lambda: 2_000_000, assets, NoJobs(), on_gone=gone.append
    )
    _, pieces = await assets.download(read, 0, 0)
    parts = [(await anext(pieces))[1]]
    await sweeper.sweep()
    assert [one.name for one in gone] == [idle]
    assert not store.path(idle).exists()
    parts += [data async for _, data in pieces]
    assert b"".join(parts) == b"is read"
    await sweeper.sweep()
    assert [one.name for one in gone] == [idle, read]


async def test_a_database_from_the_future_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "edge.db") as connection:
        connection.execute("PRAGMA user_version = 999")
    connection.close()
    with pytest.raises(InternalError, match="restore the backup"):
        async with Database.open(tmp_path / "edge.db"):
            pass
