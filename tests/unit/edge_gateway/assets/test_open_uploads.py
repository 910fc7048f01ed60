"""Uploads of files that are still being hashed: digests come while data flows, and the id at the end."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path

import pytest

from edge_gateway.assets.asset import (
    AssetLimits,
    Completed,
    Digests,
    Held,
    Manifest,
    Persisted,
    Piece,
    Started,
    UploadAnswer,
    UploadMessage,
    ranges,
)
from edge_gateway.assets.catalog import Catalog
from edge_gateway.assets.service import AssetService
from edge_gateway.assets.store import AssetStore
from shared.digest import CHUNK_BYTES, chunk_digest
from shared.errors import ConflictError, DeadlineError, InvalidInputError, LimitExceededError, NotFoundError
from shared.media.probe import MediaInfo, MediaKind

LIMITS = AssetLimits(
    asset_bytes=64 << 20, manifest_chunks=64, piece_bytes=CHUNK_BYTES, buffer_bytes=8 << 20, idle_s=5.0
)
COUNT = 6
DATA = b"".join(bytes([number]) * CHUNK_BYTES for number in range(COUNT - 1)) + b"tail"
DIGESTS = tuple(chunk_digest(DATA[at : at + CHUNK_BYTES]) for at in range(0, len(DATA), CHUNK_BYTES))
WHOLE = Manifest(size_bytes=len(DATA), digests=DIGESTS, display_name="clip.mp4")
OPEN = Manifest(size_bytes=len(DATA), digests=(), display_name="clip.mp4", ends=(DIGESTS[0], DIGESTS[-1]))


async def probe(path: Path, field: str) -> MediaInfo:
    del path, field
    return MediaInfo(kind=MediaKind.VIDEO, container="mp4", duration_seconds=1.0)


@pytest.fixture
def assets(store: AssetStore, catalog: Catalog) -> AssetService:
    return AssetService(store, catalog, probe, LIMITS)


def pieces(*chunks: int, data: bytes = DATA) -> Iterator[Piece]:
    for chunk in chunks:
        yield Piece(chunk=chunk, offset=0, data=data[chunk * CHUNK_BYTES : (chunk + 1) * CHUNK_BYTES])


def known(first: int, count: int) -> Digests:
    return Digests(first=first, digests=DIGESTS[first : first + count])


async def stream(messages: Iterable[UploadMessage]) -> AsyncIterator[UploadMessage]:
    for message in messages:
        yield message


async def upload(assets: AssetService, manifest: Manifest, *messages: UploadMessage) -> list[UploadAnswer]:
    return [answer async for answer in assets.upload(manifest, stream(messages))]


def held_of(answers: list[UploadAnswer]) -> set[int]:
    runs = [run for answer in answers if isinstance(answer, Started | Held) for run in answer.held]
    return {index for run in runs for index in range(run.first, run.first + run.count)}


def names_of(answers: list[UploadAnswer]) -> list[str]:
    return [answer.asset_id for answer in answers if isinstance(answer, Held) and answer.asset_id]


async def test_data_flows_before_all_digests_are_known(assets: AssetService, store: AssetStore) -> None:
    answers = await upload(assets, OPEN, *pieces(0, 5), known(1, 2), *pieces(2, 1), known(3, 3), *pieces(4, 3))
    assert answers[0] == Started(asset_id=OPEN.upload_id, held=())
    assert names_of(answers) == [WHOLE.asset_id]
    last = answers[-1]
    assert isinstance(last, Completed)
    assert last.asset.asset_id == WHOLE.asset_id
    assert store.path(WHOLE.asset_id).read_bytes() == DATA
    with pytest.raises(NotFoundError):
        await assets.get(OPEN.upload_id)
    assert not store.path(OPEN.upload_id).parent.exists()


@pytest.mark.parametrize("count", [1, 2])
async def test_a_file_whose_ends_are_all_is_named_by_its_content(
    assets: AssetService, store: AssetStore, count: int
) -> None:
    digests, data = DIGESTS[:count], DATA[: count * CHUNK_BYTES]
    manifest = Manifest(size_bytes=len(data), digests=(), display_name="clip.mp4", ends=(digests[0], digests[-1]))
    answers = await upload(assets, manifest, *pieces(*range(count)))
    named = Manifest(size_bytes=len(data), digests=digests, display_name="clip.mp4").asset_id
    assert names_of(answers) == [named]
    assert store.path(named).read_bytes() == data


async def test_the_last_digest_may_come_after_the_last_byte(assets: AssetService) -> None:
    answers = await upload(assets, OPEN, known(1, 4), *pieces(*range(COUNT)), known(0, COUNT))
    assert isinstance(answers[-1], Completed)


@pytest.mark.parametrize("rest", ["open", "whole"])
async def test_another_client_goes_on_with_what_came_before_the_id_was_known(assets: AssetService, rest: str) -> None:
    cut = await upload(assets, OPEN, known(1, 2), *pieces(0, 5, 2))
    assert not isinstance(cut[-1], Completed)
    if rest == "open":
        answers = await upload(assets, OPEN, known(1, 4), *pieces(1, 3, 4))
    else:
        answers = await upload(assets, WHOLE, *pieces(1, 3, 4))
    assert held_of(answers) == {0, 2, 5}
    assert isinstance(answers[-1], Completed)
    assert answers[-1].asset.asset_id == WHOLE.asset_id


async def test_an_open_upload_goes_on_with_one_that_has_its_id(assets: AssetService) -> None:
    await upload(assets, WHOLE, *pieces(0, 3))
    answers = await upload(assets, OPEN, known(1, 4), *pieces(1, 2, 4, 5))
    assert held_of(answers) == {0, 3}
    assert isinstance(answers[-1], Completed)


async def test_of_an_asset_that_is_there_nothing_is_sent(assets: AssetService) -> None:
    done = await upload(assets, WHOLE, *pieces(*range(COUNT)))
    answers = await upload(assets, OPEN, known(1, 2), known(3, 2))
    assert held_of(answers) == set(range(COUNT))
    assert answers[-1] == done[-1]
    assert not any(isinstance(answer, Persisted) for answer in answers)


async def test_a_file_with_the_same_ends_is_told_apart(assets: AssetService, store: AssetStore) -> None:
    """Neither an asset nor an unfinished upload is mixed up with it."""
    other = DATA[:CHUNK_BYTES] + bytes(CHUNK_BYTES) + DATA[2 * CHUNK_BYTES :]
    digests = (DIGESTS[0], chunk_digest(bytes(CHUNK_BYTES)), *DIGESTS[2:])
    whole = Manifest(size_bytes=len(other), digests=digests, display_name="other.mp4")
    await upload(assets, OPEN, known(1, 1), *pieces(0, 1))
    for _ in ("unfinished", "ready"):
        with pytest.raises(ConflictError) as caught:
            await upload(assets, OPEN, Digests(first=1, digests=digests[1:2]), *pieces(1, data=other))
        assert caught.value.field == "digests"
        await upload(assets, WHOLE, *pieces(1, 2, 3, 4, 5))
    answers = await upload(assets, whole, *pieces(*range(COUNT), data=other))
    assert isinstance(answers[-1], Completed)
    assert store.path(WHOLE.asset_id).read_bytes() == DATA
    assert store.path(whole.asset_id).read_bytes() == other


async def test_an_unfinished_upload_of_another_file_is_not_taken_over(assets: AssetService) -> None:
    await upload(assets, OPEN, known(1, 1), *pieces(0, 1))
    digests = (DIGESTS[0], b"x" * 32, *DIGESTS[2:])
    answers = await upload(assets, Manifest(size_bytes=len(DATA), digests=digests, display_name="x"))
    assert held_of(answers) == set()
    assert (await assets.get(OPEN.upload_id)).ready is False


@pytest.mark.parametrize(
    ("message", "field"),
    [
        (Digests(first=5, digests=DIGESTS[:2]), "digests.first_chunk"),
        (Digests(first=1 << 31, digests=(b"x" * 32,)), "digests.first_chunk"),
        (Digests(first=0, digests=(b"x" * 32,)), "digests.digests"),
        (Digests(first=1, digests=(b"x",)), "digests.digests"),
        (Piece(chunk=1, offset=0, data=b"x"), "piece.chunk_index"),
    ],
    ids=["beyond", "far beyond", "another one", "no digest", "unannounced"],
)
async def test_what_does_not_fit_is_refused(assets: AssetService, message: UploadMessage, field: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        await upload(assets, OPEN, message)
    assert caught.value.field == field


async def test_a_size_of_a_million_chunks_is_refused_before_anything_is_made(assets: AssetService) -> None:
    limits = AssetLimits(
        asset_bytes=1 << 50, manifest_chunks=64, piece_bytes=CHUNK_BYTES, buffer_bytes=8 << 20, idle_s=5.0
    )
    assets.limits = limits
    huge = Manifest(size_bytes=CHUNK_BYTES << 20, digests=(), display_name="x", ends=(DIGESTS[0], DIGESTS[-1]))
    with pytest.raises(LimitExceededError) as caught:
        await upload(assets, huge)
    assert caught.value.limit == "manifest_chunks"
    listed = Manifest(size_bytes=1, digests=(b"d" * 32,) * 1_000_000, display_name="x")
    with pytest.raises(LimitExceededError):
        await upload(assets, listed)
    assert await assets.page(0, "", None) == ([], "")


async def test_a_naming_that_was_cut_off_is_done_again(
    assets: AssetService, store: AssetStore, catalog: Catalog
) -> None:
    """As after a kill between the folder's new name and the row's."""
    await upload(assets, OPEN, known(1, 2), *pieces(0, 2))
    await catalog.note_digests(OPEN.upload_id, WHOLE)
    store.path(OPEN.upload_id).parent.rename(store.path(WHOLE.asset_id).parent)
    answers = await upload(assets, OPEN, known(1, 4), *pieces(1, 3, 4, 5))
    assert held_of(answers) == {0, 2}
    assert isinstance(answers[-1], Completed)
    assert store.path(WHOLE.asset_id).read_bytes() == DATA


@pytest.mark.parametrize("newer", [OPEN, WHOLE], ids=["open", "whole"])
async def test_a_newer_writer_evicts_an_open_one(assets: AssetService, newer: Manifest) -> None:
    async def stuck() -> AsyncIterator[UploadMessage]:
        yield known(1, 1)
        for piece in pieces(0, 1):
            yield piece
        await asyncio.Event().wait()

    older = assets.upload(OPEN, stuck())
    seen = [await anext(older)]
    while not any(isinstance(answer, Persisted) and answer.persisted_bytes == 2 * CHUNK_BYTES for answer in seen):
        seen.append(await anext(older))
    answers = await upload(assets, newer, known(1, 4), *pieces(2, 3, 4, 5))
    assert held_of(answers) == {0, 1}
    assert isinstance(answers[-1], Completed)
    with pytest.raises(ConflictError, match="took this upload over"):
        await anext(older)


async def test_a_client_that_sends_a_byte_now_and_then_is_sent_away(store: AssetStore, catalog: Catalog) -> None:
    limits = AssetLimits(
        asset_bytes=64 << 20,
        manifest_chunks=64,
        piece_bytes=CHUNK_BYTES,
        buffer_bytes=8 << 20,
        idle_s=5.0,
        progress_bytes=100,
        progress_s=0.1,
    )

    async def dripping() -> AsyncIterator[UploadMessage]:
        for offset in range(CHUNK_BYTES):
            yield Piece(chunk=0, offset=offset, data=b"\0")
            await asyncio.sleep(0.02)

    with pytest.raises(DeadlineError, match="bytes were sent") as caught:
        async for _ in AssetService(store, catalog, probe, limits).upload(OPEN, dripping()):
            pass
    assert caught.value.limit == "upload_progress_s"


async def test_what_was_held_is_told_as_ranges(assets: AssetService) -> None:
    await upload(assets, WHOLE, *pieces(*range(COUNT)))
    answers = await upload(assets, OPEN, known(1, 4))
    assert ranges(held_of(answers)) == ranges(range(COUNT))
