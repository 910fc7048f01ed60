"""Who waits for which bytes of an upload, how long in vain, and what the client is told of it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from edge_gateway.assets.asset import (
    Asset,
    AssetKind,
    AssetLimits,
    ChunkRange,
    Manifest,
    Piece,
    Started,
    UploadMessage,
    Wanted,
)
from edge_gateway.assets.catalog import Catalog
from edge_gateway.assets.growth import Growth, Source, Want
from edge_gateway.assets.leases import Leases
from edge_gateway.assets.service import AssetService
from edge_gateway.assets.store import AssetStore
from edge_gateway.database import Database
from shared.digest import CHUNK_BYTES, chunk_digest
from shared.errors import DeadlineError, InvalidMediaError, NotFoundError, VisemeError
from shared.media.probe import MediaInfo, MediaKind

LIMITS = AssetLimits(asset_bytes=1 << 30, manifest_chunks=64, piece_bytes=1 << 20, buffer_bytes=8 << 20, idle_s=5.0)
CHUNKS = [bytes([65 + index]) * CHUNK_BYTES for index in range(4)] + [b"end"]
SIZE = sum(map(len, CHUNKS))
ASSET = Asset(number=1, asset_id="a" * 64, size_bytes=SIZE, display_name="x", created_us=0, ready=False)
MANIFEST = Manifest(size_bytes=SIZE, digests=tuple(map(chunk_digest, CHUNKS)), display_name="x")
QUESTION = {"offset": 0, "length": 10, "wait": True}


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def growth(clock: Clock) -> Growth:
    return Growth("a" * 64, SIZE, clock=clock)


@pytest.fixture
def source(growth: Growth) -> Source:
    return Source(ASSET, Path("media"), growth)


async def waiting(source: Source, question: dict[str, object]) -> "asyncio.Task[dict[str, object]]":
    task = asyncio.create_task(source.answer(question))
    await asyncio.sleep(0)  # it runs until it waits
    assert source.want is not None
    return task


async def test_a_reader_is_answered_once_its_first_byte_is_there(growth: Growth, source: Source) -> None:
    growth.add([0])
    assert await source.answer(QUESTION) == {"kind": "have", "offset": 0, "end": CHUNK_BYTES}
    asked = await waiting(source, {"offset": CHUNK_BYTES + 5, "length": 10, "wait": True})
    assert growth.wanted() == (ChunkRange(first=1, count=4),)
    growth.add([4])
    growth.add([1, 2])
    assert await asked == {"kind": "have", "offset": CHUNK_BYTES, "end": 3 * CHUNK_BYTES}
    assert growth.wanted() == ()
    assert len(source.waits) == 1
    assert growth.held_bytes == 3 * CHUNK_BYTES + 3
    told = await source.answer({"offset": 4 * CHUNK_BYTES, "length": 1, "wait": True})
    assert told == {"kind": "have", "offset": 4 * CHUNK_BYTES, "end": SIZE}
    told = await source.answer({"offset": 3 * CHUNK_BYTES, "length": 1, "wait": False})
    assert told == {"kind": "have", "offset": 3 * CHUNK_BYTES, "end": 3 * CHUNK_BYTES}


async def test_what_a_file_does_not_have_is_not_waited_for(source: Source) -> None:
    for offset, length in ((SIZE, 1), (-1, 1), (0, -1), ("0", 1), (0, None)):
        with pytest.raises(InvalidMediaError):
            await source.answer({"offset": offset, "length": length, "wait": True})


async def test_silence_is_that_of_the_chunk_which_is_waited_for(growth: Growth, source: Source, clock: Clock) -> None:
    asked = await waiting(source, QUESTION)
    clock.now = 10.0
    growth.heard(3, 1 << 20)
    growth.add([2])
    growth.heard(0, 65535)
    assert source.silent_s == 10.0
    growth.heard(0, 1)
    clock.now = 12.0
    assert source.silent_s == 2.0
    growth.finish()
    assert await asked == {"kind": "have", "offset": 0, "end": SIZE}
    assert source.silent_s == 0.0
    assert source.arguments["growing_bytes"] == 0


async def test_whoever_needs_all_of_it_hears_everything(growth: Growth, source: Source, clock: Clock) -> None:
    growth.add([0])
    ready = asyncio.create_task(source.ready())
    await asyncio.sleep(0)  # it runs until it waits
    assert growth.wanted() == (ChunkRange(first=1, count=4),)
    clock.now = 10.0
    growth.add([4])
    clock.now = 11.0
    assert source.silent_s == 1.0
    growth.add([1, 2, 3])
    assert not growth.is_met(Want(first=0, count=1, whole=True))
    growth.fail(NotFoundError("gone"))
    with pytest.raises(NotFoundError):
        await ready


# The rest is about the service that feeds it.


class Losses:
    """What jobs are told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, VisemeError]] = []

    async def __call__(self, asset_id: str, error: VisemeError) -> None:
        self.told.append((asset_id, error))


class Probe:
    def __init__(self) -> None:
        self.error: InvalidMediaError | None = None

    async def __call__(self, path: Path, field: str) -> MediaInfo:
        del path, field
        if self.error is not None:
            raise self.error
        return MediaInfo(kind=MediaKind.VIDEO, container="mp4", duration_seconds=1.0)


@pytest.fixture
def losses() -> Losses:
    return Losses()


@pytest.fixture
def probe() -> Probe:
    return Probe()


@pytest.fixture
async def assets(
    store: AssetStore, catalog: Catalog, database: Database, probe: Probe, losses: Losses, clock: Clock
) -> AssetService:
    leases = await Leases.open(database, lease_s=1e6, expire_s=100.0, clock=clock)
    return AssetService(store, catalog, probe, LIMITS, leases=leases, on_lost=losses)


async def sent(*chunks: int, then: asyncio.Event | None = None) -> AsyncIterator[UploadMessage]:
    for chunk in chunks:
        yield Piece(chunk=chunk, offset=0, data=CHUNKS[chunk])
    if then is not None:
        await then.wait()


async def bring(assets: AssetService, *chunks: int) -> None:
    async for _ in assets.upload(MANIFEST, sent(*chunks)):
        pass


async def test_the_client_is_told_what_is_waited_for(assets: AssetService) -> None:
    await bring(assets, 0)
    source = await assets.source(MANIFEST.asset_id)
    assert source.growth is not None
    assert source.growth.held_bytes == CHUNK_BYTES
    waited = await waiting(source, {"offset": 4 * CHUNK_BYTES, "length": 1, "wait": True})
    over, answers = asyncio.Event(), []
    async for answer in assets.upload(MANIFEST, sent(then=over)):
        answers.append(answer)
        if answer == Wanted(chunks=(ChunkRange(first=4, count=1),)):
            more = await waiting(source.again(), {"offset": 2 * CHUNK_BYTES, "length": 1, "wait": True})
        if answer == Wanted(chunks=(ChunkRange(first=4, count=1), ChunkRange(first=2, count=3))):
            over.set()
    assert isinstance(answers[0], Started)
    await bring(assets, 4, 2)
    assert (await waited)["end"] == SIZE
    assert (await more)["end"] == 3 * CHUNK_BYTES
    await bring(assets, 1, 3)
    await source.ready()
    assert (await assets.source(MANIFEST.asset_id)).growth is None


async def test_an_upload_that_expires_or_is_refused_ends_the_jobs_that_need_it(
    assets: AssetService, losses: Losses, probe: Probe, clock: Clock
) -> None:
    await bring(assets, 0)
    clock.now += 1000.0
    await assets.sweep()
    ((asset_id, error),) = losses.told
    assert asset_id == MANIFEST.asset_id
    assert isinstance(error, DeadlineError)
    assert error.limit == "upload_expire_s"
    with pytest.raises(NotFoundError):
        await assets.source(MANIFEST.asset_id)

    await bring(assets, 0)
    source = await assets.source(MANIFEST.asset_id)
    waited = asyncio.create_task(source.ready())
    probe.error = InvalidMediaError("no media", field="asset")
    with pytest.raises(InvalidMediaError):
        await bring(assets, 1, 2, 3, 4)
    assert losses.told[1] == (MANIFEST.asset_id, probe.error)
    with pytest.raises(NotFoundError):
        await waited


async def test_an_upload_whose_client_left_before_the_end_was_told_is_completed(
    assets: AssetService, store: AssetStore
) -> None:
    await store.begin(MANIFEST, 1)
    await store.put(MANIFEST, dict(enumerate(CHUNKS)))
    source = await assets.source(MANIFEST.asset_id)
    await assets.sweep()
    await source.ready()
    assert (await assets.get(MANIFEST.asset_id)).kind is AssetKind.VIDEO
