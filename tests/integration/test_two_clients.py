"""Two clients and one edge: the same new file at once, and two files that look like the same at first."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

import viseme
from edge_gateway.assets.asset import AssetLimits
from edge_gateway.assets.catalog import Catalog
from edge_gateway.assets.service import AssetService
from edge_gateway.assets.store import AssetStore
from edge_gateway.database import Database
from edge_gateway.identity import Identity
from edge_gateway.jobs.gallery import Gallery
from edge_gateway.library.catalog import LibraryCatalog
from edge_gateway.library.service import Libraries, LibraryLimits
from edge_gateway.rpc.assets import AssetServicer
from shared.digest import CHUNK_BYTES
from shared.media.limits import MediaLimits
from shared.media.probe import MediaInfo, MediaKind
from shared.pb.viseme.gateway.v1.asset_pb2_grpc import add_AssetServiceServicer_to_server
from shared.rpc.interceptors import ErrorInterceptor
from shared.sdk import upload as upload_module
from shared.sdk.upload import WINDOW_CHUNKS

LIMITS = AssetLimits(
    asset_bytes=64 << 20, manifest_chunks=64, piece_bytes=CHUNK_BYTES, buffer_bytes=8 << 20, idle_s=60.0
)
COUNT = 2 * WINDOW_CHUNKS + 8
"""Chunks of the file: with so many two clients that are both held up early cannot have sent all of them."""
PATIENCE = viseme.Patience(connect_s=60.0, takeover_s=60.0)
HASTY = viseme.Patience(connect_s=60.0, takeover_s=0.2)


class Edge:
    """The assets of a real edge, in this process."""

    def __init__(self) -> None:
        self.address = ""
        self.received_bytes = 0

    def count(self, size: int) -> None:
        self.received_bytes += size


async def probe(path: Path, field: str) -> MediaInfo:
    del path, field
    return MediaInfo(kind=MediaKind.VIDEO, container="mp4", duration_seconds=1.0)


@pytest.fixture
async def edge(tmp_path: Path) -> AsyncIterator[Edge]:
    made = Edge()
    async with Database.open(tmp_path / "edge.db") as database:
        catalog = Catalog(database)
        assets = AssetService(AssetStore(tmp_path / "assets", catalog), catalog, probe, LIMITS, count_up=made.count)
        identity = Identity(version="0", name="edge", region="", address=lambda: "", engines=lambda: ())
        server = grpc.aio.server(interceptors=[ErrorInterceptor()])
        none = LibraryLimits(at_once=1, queue=1, settle_s=1, patience_s=1)
        libraries = Libraries({}, LibraryCatalog(database), assets, catalog, limits=none)
        add_AssetServiceServicer_to_server(
            AssetServicer(assets, libraries, Gallery(database), identity, MediaLimits()), server
        )
        made.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        await server.start()
        yield made
        await server.stop(None)


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"".join(bytes([index]) * CHUNK_BYTES for index in range(COUNT)))
    return path


class Client:
    """An upload that can be held up, and what it told."""

    def __init__(self, edge: Edge, path: Path, patience: viseme.Patience, *, hold_after: int) -> None:
        self.pause = viseme.Pause()
        self.told: list[viseme.Transfer] = []
        self.holds = asyncio.Event()
        self.follows = asyncio.Event()
        self._hold_after = hold_after
        self.task = asyncio.create_task(self._run(edge, path, patience))

    async def following(self) -> None:
        """Wait until it follows the other's upload, or has ended without."""
        follows = asyncio.create_task(self.follows.wait())
        await asyncio.wait((follows, self.task), return_when=asyncio.FIRST_COMPLETED)
        follows.cancel()
        assert self.follows.is_set()

    async def _run(self, edge: Edge, path: Path, patience: viseme.Patience) -> viseme.Asset:
        async with viseme.connect(edge.address, patience=patience) as connected:
            return await connected.upload(path, on_progress=self._tell, pause=self.pause, rate_limit=64 * CHUNK_BYTES)

    def _tell(self, transfer: viseme.Transfer) -> None:
        self.told.append(transfer)
        if transfer.by_other:
            self.follows.set()
        elif transfer.done_bytes >= self._hold_after * CHUNK_BYTES and not self.holds.is_set():
            self.pause.set()
            self.holds.set()


async def read(edge: Edge, asset: viseme.Asset, tmp_path: Path) -> bytes:
    async with viseme.connect(edge.address, patience=PATIENCE) as connected:
        return (await connected.assets.save(asset.id, tmp_path / asset.id)).read_bytes()


async def test_the_one_that_is_put_out_goes_on_by_the_upload_of_the_other(edge: Edge, video: Path) -> None:
    older = Client(edge, video, PATIENCE, hold_after=2)
    await older.holds.wait()
    newer = Client(edge, video, PATIENCE, hold_after=4)
    await newer.holds.wait()
    older.pause.clear()
    await older.following()
    newer.pause.clear()
    assets = await asyncio.gather(older.task, newer.task)
    assert [asset.state for asset in assets] == [viseme.AssetState.READY] * 2
    assert older.told[-1].done_bytes == video.stat().st_size
    assert older.told[-1].skipped_bytes > 0
    assert not any(transfer.by_other for transfer in newer.told)
    # The newer one begins to send before it knows what is there, but the older one sent no more.
    assert edge.received_bytes < 2 * video.stat().st_size


async def test_an_upload_whose_other_client_went_away_is_taken_over(edge: Edge, video: Path, tmp_path: Path) -> None:
    older = Client(edge, video, HASTY, hold_after=2)
    await older.holds.wait()
    newer = Client(edge, video, PATIENCE, hold_after=4)
    await newer.holds.wait()
    older.pause.clear()
    await older.following()
    newer.task.cancel()
    asset = await older.task
    assert await read(edge, asset, tmp_path) == video.read_bytes()


async def test_several_that_begin_at_once_all_end_with_the_asset(edge: Edge, video: Path) -> None:
    clients = [Client(edge, video, HASTY, hold_after=COUNT + 1) for _ in range(3)]
    assets = await asyncio.gather(*(client.task for client in clients))
    assert len({asset.id for asset in assets}) == 1


@pytest.mark.parametrize("ahead_s", [0.0, 5.0], ids=["open", "whole"])
async def test_two_files_of_one_size_and_with_the_same_ends_are_both_sent(
    edge: Edge, video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ahead_s: float
) -> None:
    monkeypatch.setattr(upload_module, "HASH_AHEAD_S", ahead_s)
    other = tmp_path / "other.mp4"
    data = video.read_bytes()
    other.write_bytes(data[:CHUNK_BYTES] + bytes(2 * CHUNK_BYTES) + data[3 * CHUNK_BYTES :])
    clients = [Client(edge, path, PATIENCE, hold_after=COUNT + 1) for path in (video, other, video, other)]
    assets = await asyncio.gather(*(client.task for client in clients))
    assert [asset.id for asset in assets[:2]] == [asset.id for asset in assets[2:]]
    for asset, path in zip(assets, (video, other), strict=False):
        assert await read(edge, asset, tmp_path) == path.read_bytes()
