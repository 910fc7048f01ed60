"""Nodes are told what to forget, whatever comes in between."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from edge_gateway.assets.asset import AssetKind, Manifest
from edge_gateway.assets.catalog import Catalog
from edge_gateway.assets.store import AssetStore
from edge_gateway.database import Database
from edge_gateway.keeping.forgets import Forgets
from edge_gateway.keeping.quotas import unname
from edge_gateway.keeping.teller import Teller
from shared.digest import chunk_digest
from shared.errors import NodeUnavailableError
from shared.media.probe import MediaInfo, MediaKind

MEDIA = MediaInfo(kind=MediaKind.VIDEO, container="mp4", duration_seconds=1.0)
CROP, SPEECH = chunk_digest(b"crop"), chunk_digest(b"speech")


class Node:
    """Keeps what it was told; ``answers`` are given one after the other, then nothing is needed."""

    def __init__(self, address: str, *answers: list[bytes] | Exception | None) -> None:
        self.address = address
        self.answers = list(answers)
        self.told: list[bytes] = []

    async def forget(self, digests: Iterable[bytes]) -> list[bytes] | None:
        answer = self.answers.pop(0) if self.answers else []
        if isinstance(answer, Exception):
            raise answer
        self.told += digests
        return answer


@pytest.fixture
def forgets(database: Database) -> Forgets:
    return Forgets(database, ["a:1", "b:1"], lambda _: [CROP])


async def deleted(forgets: Forgets, database: Database, folder: Path) -> None:
    catalog = Catalog(database, forgets)
    store = AssetStore(folder / "assets", catalog)
    file = folder / "made"
    file.write_bytes(b"film")
    manifest = Manifest(size_bytes=4, digests=(chunk_digest(b"film"),), display_name="x")
    asset = await store.take(file, manifest, AssetKind.VIDEO, MEDIA, 0)
    await forgets.note(asset.asset_id, [SPEECH])
    await forgets.note("0" * 64, [chunk_digest(b"of a file that is not here")])
    assert await store.remove(asset.asset_id)
    assert not await store.remove(asset.asset_id)


async def test_each_node_forgets_crops_and_speech_of_a_file_that_is_deleted(
    forgets: Forgets, database: Database, tmp_path: Path
) -> None:
    news = forgets.news()
    await deleted(forgets, database, tmp_path)
    assert news.is_set()
    nodes = [Node("a:1"), Node("b:1")]
    for node in nodes:
        await Teller(forgets, nodes).tell(node)
        assert sorted(node.told) == sorted([CROP, SPEECH])
        assert await forgets.pending(node.address, 9) == []


async def test_what_a_job_spent_stays_counted_and_names_a_deleted_file_no_more(
    database: Database, tmp_path: Path
) -> None:
    forgets = Forgets(database, ["a:1"], lambda _: [], also=unname)
    film = Manifest(size_bytes=4, digests=(chunk_digest(b"film"),), display_name="x").asset_id
    add = "INSERT INTO spent (time_us, video_asset_id, speech_asset_id, pixels) VALUES (1, ?, 's', NULL)"
    await database.run(lambda c: c.execute(add, (film,)))
    await deleted(forgets, database, tmp_path)
    rows = await database.run(lambda c: [tuple(row) for row in c.execute("SELECT * FROM spent")])
    assert [(video, speech) for _, video, speech, _ in rows] == [("", "")]
    assert rows[0][3] is not None


async def test_one_that_is_silent_is_told_later_also_after_a_restart(
    forgets: Forgets, database: Database, tmp_path: Path
) -> None:
    await deleted(forgets, database, tmp_path)
    node = Node("a:1", NodeUnavailableError("it is away"))
    with pytest.raises(NodeUnavailableError):
        await Teller(forgets, [node]).tell(node)
    again = Forgets(database, ["a:1"], lambda _: [])
    await again.prune()  # the other is a node of this edge no more
    assert await again.pending("b:1", 9) == []
    await Teller(again, [node]).tell(node)
    assert len(node.told) == 2


async def test_what_a_node_needs_is_asked_for_again_and_an_older_node_is_not_asked_twice(
    forgets: Forgets, database: Database, tmp_path: Path
) -> None:
    await deleted(forgets, database, tmp_path)
    renders, older = Node("a:1", [CROP]), Node("b:1", None)
    teller = Teller(forgets, [renders, older])
    for node in (renders, older):
        await teller.tell(node)
    assert await forgets.pending("a:1", 9) == [CROP]
    assert await forgets.pending("b:1", 9) == []
    await teller.tell(renders)
    assert await forgets.pending("a:1", 9) == []
