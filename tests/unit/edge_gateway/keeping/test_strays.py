"""Files that no row knows are found, and nothing else."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from edge_gateway.assets.asset import AssetKind, Manifest
from edge_gateway.assets.catalog import Catalog
from edge_gateway.assets.finished import FinishedFiles
from edge_gateway.assets.store import AssetStore
from edge_gateway.database import Database
from edge_gateway.keeping.strays import find_strays, lost_files, read_known, remove_stray
from shared.digest import chunk_digest
from shared.media.probe import MediaInfo, MediaKind

MEDIA = MediaInfo(kind=MediaKind.VIDEO, container="mp4", duration_seconds=1.0)


async def probe(path: Path, field: str) -> MediaInfo:
    del path, field
    return MEDIA


@pytest.fixture
async def asset_id(store: AssetStore, tmp_path: Path) -> str:
    (tmp_path / "made").write_bytes(b"film")
    manifest = Manifest(size_bytes=4, digests=(chunk_digest(b"film"),), display_name="x")
    return (await store.take(tmp_path / "made", manifest, AssetKind.VIDEO, MEDIA, 0)).asset_id


async def test_what_belongs_to_nothing_can_go_and_all_else_stays(
    asset_id: str, database: Database, tmp_path: Path
) -> None:
    stranger = "f" * 64
    face = "0123456789abcdef"
    own = [f"assets/{asset_id}/media", f"faces/{asset_id}-{face}/track.jsonl", f"pictures/{asset_id}.jpg"]
    strange = [
        f"assets/{stranger}/media",
        f"faces/{stranger}-{face}/track.jsonl",
        f"pictures/{stranger}.jpg",
        "jobs/job-0/result.mp4",
        "uploads/0123",
    ]
    for name in (*own, *strange):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"film")
    known = await database.run(read_known)
    strays = list(find_strays(tmp_path, known))
    assert [stray.folder for stray in strays] == ["assets", "uploads", "faces", "jobs", "pictures"]
    assert all(stray.size_bytes > 0 for stray in strays)
    for stray in strays:
        remove_stray(stray)
    assert all((tmp_path / name).exists() for name in own)
    assert not any((tmp_path / name).exists() for name in strange)


async def test_an_upload_that_was_cut_off_while_it_got_its_name_is_no_stray(
    catalog: Catalog, store: AssetStore, database: Database, tmp_path: Path
) -> None:
    digests = (chunk_digest(b"a"), chunk_digest(b"b"))
    whole = Manifest(size_bytes=(1 << 20) + 1, digests=digests, display_name="x")
    still = Manifest(size_bytes=whole.size_bytes, digests=(), display_name="x", ends=digests)
    begun = await store.begin_open(still, 0)
    await catalog.note_digests(begun.asset.asset_id, whole)
    store.path(begun.asset.asset_id).parent.rename(store.path(whole.asset_id).parent)
    assert list(find_strays(tmp_path, await database.run(read_known))) == []


async def test_a_deletion_that_was_cut_off_after_the_row_is_finished_at_the_start_unless_the_file_came_again(
    asset_id: str, catalog: Catalog, store: AssetStore, tmp_path: Path
) -> None:
    other = "e" * 64
    assert await catalog.remove(asset_id)  # and here the power went
    assert store.path(asset_id).exists()
    (tmp_path / "assets" / other).mkdir()  # of which nothing is known: perhaps the database is an older one
    forgotten: list[str] = []
    finished = FinishedFiles(store, probe, on_remove=forgotten.append)
    await finished.finish_removals()
    assert not store.path(asset_id).exists()
    assert forgotten == [asset_id]
    assert (tmp_path / "assets" / other).exists()
    await finished.finish_removals()
    assert forgotten == [asset_id]

    (tmp_path / "made").write_bytes(b"film")
    manifest = Manifest(size_bytes=4, digests=(chunk_digest(b"film"),), display_name="x")
    await store.take(tmp_path / "made", manifest, AssetKind.VIDEO, MEDIA, 0)
    assert await catalog.remove(asset_id)
    await catalog.announce(manifest, 0)
    await finished.finish_removals()
    assert store.path(asset_id).exists()


async def test_a_row_whose_file_is_gone_is_found(asset_id: str, store: AssetStore, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "edge.db")) as connection:
        assert lost_files(connection, tmp_path) == []
        store.path(asset_id).unlink()
        assert lost_files(connection, tmp_path) == [asset_id]
