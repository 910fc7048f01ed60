"""Memory that uploads share."""

import asyncio
from collections.abc import AsyncIterator

from edge_gateway.assets.asset import AssetLimits, Completed, Manifest, Piece
from edge_gateway.assets.catalog import Catalog
from edge_gateway.assets.room import Room
from edge_gateway.assets.service import AssetService
from edge_gateway.assets.store import AssetStore
from shared.digest import CHUNK_BYTES, chunk_digest
from shared.media.probe import MediaInfo, MediaKind

LIMITS = AssetLimits(
    asset_bytes=64 << 20,
    manifest_chunks=64,
    piece_bytes=CHUNK_BYTES,
    buffer_bytes=8 << 20,
    idle_s=5.0,
    total_bytes=2 * CHUNK_BYTES,
)


async def probe(path: object, field: str) -> MediaInfo:
    del path, field
    return MediaInfo(kind=MediaKind.VIDEO, container="mp4", duration_seconds=1.0)


async def test_as_many_go_on_as_there_is_room_for_in_the_order_in_which_they_came() -> None:
    room = Room(2 * CHUNK_BYTES)
    room.change(2 * CHUNK_BYTES)
    went: list[int] = []

    async def begin(number: int) -> None:
        await room.free()
        went.append(number)

    waiting = [asyncio.create_task(begin(number)) for number in range(4)]
    await asyncio.wait(waiting, timeout=0)
    waiting[1].cancel()
    await asyncio.wait([waiting[1]])
    room.change(-CHUNK_BYTES)
    await waiting[0]
    assert went == [0]
    room.change(-CHUNK_BYTES)
    await asyncio.gather(waiting[2], waiting[3])
    assert went == [0, 2, 3]


async def test_who_leaves_when_it_is_their_turn_lets_the_next_one_go_on() -> None:
    room = Room(CHUNK_BYTES)
    room.change(CHUNK_BYTES)
    first, second = (asyncio.create_task(room.free()) for _ in range(2))
    await asyncio.wait({first, second}, timeout=0)
    room.change(-CHUNK_BYTES)
    first.cancel()
    await asyncio.wait_for(second, 10)


async def test_uploads_that_hold_chunks_half_done_neither_stop_each_other_nor_take_more_than_there_is(
    store: AssetStore, catalog: Catalog
) -> None:
    """Twelve at once, each with half a chunk in memory before any goes on; and nothing stays counted."""
    assets = AssetService(store, catalog, probe, LIMITS)
    most = 0

    async def upload(number: int) -> None:
        data = bytes([number]) * (3 * CHUNK_BYTES)
        chunks = [data[at : at + CHUNK_BYTES] for at in range(0, len(data), CHUNK_BYTES)]
        manifest = Manifest(size_bytes=len(data), digests=tuple(map(chunk_digest, chunks)), display_name="x")

        async def pieces() -> AsyncIterator[Piece]:
            nonlocal most
            for index in range(3):
                for at in (0, CHUNK_BYTES // 2):
                    yield Piece(chunk=index, offset=at, data=chunks[index][at : at + CHUNK_BYTES // 2])
                    most = max(most, assets._room.taken_bytes)

        answers = [answer async for answer in assets.upload(manifest, pieces())]
        assert isinstance(answers[-1], Completed)

    await asyncio.gather(*(upload(number) for number in range(12)))
    assert most <= 2 * LIMITS.total_bytes
    assert assets._room.taken_bytes == 0


async def test_an_upload_that_ends_in_the_middle_gives_its_memory_back(store: AssetStore, catalog: Catalog) -> None:
    assets = AssetService(store, catalog, probe, LIMITS)
    manifest = Manifest(size_bytes=CHUNK_BYTES, digests=(b"d" * 32,), display_name="x")

    async def pieces() -> AsyncIterator[Piece]:
        yield Piece(chunk=0, offset=0, data=bytes(1000))

    answers = [answer async for answer in assets.upload(manifest, pieces())]
    assert not isinstance(answers[-1], Completed)
    assert assets._room.taken_bytes == 0
