"""Files of libraries become assets: once, whole, and as what they are now."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest

from edge_gateway.assets.asset import Asset, Completed, Digests, Manifest, Piece, UploadMessage
from edge_gateway.library.bring import BringProgress
from shared import digest
from shared.errors import (
    ConflictError,
    InvalidInputError,
    InvalidMediaError,
    LimitExceededError,
    NotFoundError,
    ResourceExhaustedError,
)

CHUNK = digest.CHUNK_BYTES
NAME = "lib:teachers/anna.mp4"

Bench = Any
"""See conftest.py."""


async def nothing(_: str) -> None:
    """Let reads be."""


def noise(size: int, seed: int = 1) -> bytes:
    """Bytes of which no chunk is like another."""
    chunks = [hashlib.sha256(f"{seed} {chunk}".encode()).digest() for chunk in range(size // CHUNK + 1)]
    return b"".join(one * (CHUNK // 32) for one in chunks)[:size]


def asset_id(data: bytes) -> str:
    chunks = [digest.chunk_digest(data[at : at + CHUNK]) for at in range(0, len(data), CHUNK)]
    return digest.asset_id(len(data), chunks)


@pytest.mark.parametrize("size", [1, CHUNK, CHUNK + 1, 19 * CHUNK + 5])
async def test_a_file_becomes_the_asset_that_its_upload_would_be(bench: Bench, size: int) -> None:
    bench.place.put("anna.mp4", noise(size))
    told = await bench.told(NAME)
    asset = told[-1]
    assert isinstance(asset, Asset)
    assert asset.ready
    assert asset.asset_id == asset_id(noise(size))
    assert asset.display_name == "anna.mp4"
    assert bench.data(asset) == noise(size)
    done = [answer.done_bytes for answer in told if isinstance(answer, BringProgress)]
    assert done == sorted(done)


async def test_a_file_that_is_known_is_not_read_again(bench: Bench) -> None:
    bench.place.put("anna.mp4", noise(3 * CHUNK))
    first = await bench.add(NAME)
    read = bench.place.read_bytes
    assert await bench.told(NAME) == [first]
    assert await bench.libraries.known(NAME, "video") == first
    assert bench.place.read_bytes == read


async def test_a_file_of_a_content_that_is_there_is_that_asset(bench: Bench) -> None:
    bench.place.put("anna.mp4", noise(3 * CHUNK))
    bench.place.put("copy/of/anna.mp4", noise(3 * CHUNK))
    assert await bench.add(NAME) == await bench.add("lib:teachers/copy/of/anna.mp4")


async def test_files_that_only_begin_and_end_alike_are_told_apart(bench: Bench) -> None:
    one, other = noise(3 * CHUNK), noise(CHUNK) + noise(CHUNK, 2) + noise(3 * CHUNK)[2 * CHUNK :]
    bench.place.put("anna.mp4", one)
    bench.place.put("berta.mp4", other)
    assert bench.data(await bench.add(NAME)) == one
    assert bench.data(await bench.add("lib:teachers/berta.mp4")) == other


async def test_a_file_that_changed_is_another_asset_and_the_old_one_stays(bench: Bench) -> None:
    bench.place.put("anna.mp4", noise(CHUNK))
    old = await bench.add(NAME)
    bench.place.put("anna.mp4", noise(CHUNK, 2))
    with pytest.raises(ConflictError, match="add it first") as refused:
        await bench.libraries.known(NAME, "video")
    assert refused.value.field == "video"
    new = await bench.add(NAME)
    assert new.asset_id != old.asset_id
    assert bench.data(old) == noise(CHUNK)
    assert (await bench.libraries.known(NAME, "video")).asset_id == new.asset_id


async def test_two_who_ask_at_once_share_the_work(bench: Bench) -> None:
    bench.place.put("anna.mp4", noise(5 * CHUNK))
    reading, go = asyncio.Event(), asyncio.Event()

    async def hold(_: str) -> None:
        reading.set()
        await go.wait()

    bench.place.on_read = hold
    one = await bench.begin(NAME)
    await reading.wait()
    async with aclosing(bench.libraries.add(NAME)) as answers:
        assert isinstance(await anext(answers), BringProgress)  # it follows the same work
        go.set()
        other = [answer async for answer in answers][-1]
    assert await one == other
    assert bench.place.read_bytes < 2 * 5 * CHUNK


async def test_a_file_that_changes_while_it_is_read_is_begun_anew(bench: Bench) -> None:
    bench.place.put("anna.mp4", noise(20 * CHUNK))
    reads = 0

    async def change(path: str) -> None:
        nonlocal reads
        reads += 1
        if reads == 4:
            bench.place.put(path, noise(20 * CHUNK, 2))

    bench.place.on_read = change
    asset = await bench.add(NAME)
    assert bench.data(asset) == noise(20 * CHUNK, 2)
    assets, _ = await bench.assets.page(100, "", None)
    assert assets == [asset]  # nothing is left of the first attempt


async def test_a_file_that_changed_after_its_last_byte_was_read_is_begun_anew(bench: Bench) -> None:
    bench.place.put("anna.mp4", noise(CHUNK))

    def change(look: int) -> None:
        if look == 3:  # the first by who asks, the second before it is read, the third after its last byte
            bench.place.put("anna.mp4", noise(CHUNK, 2))

    bench.place.on_look = change
    assert bench.data(await bench.add(NAME)) == noise(CHUNK, 2)


async def test_a_file_that_always_changes_is_given_up(bench: Bench) -> None:
    bench.place.put("anna.mp4", noise(CHUNK))

    async def change(path: str) -> None:
        bench.place.put(path, noise(CHUNK, bench.place.version))

    bench.place.on_read = change
    with pytest.raises(ConflictError, match="changed whenever it was read") as refused:
        await bench.add(NAME)
    assert refused.value.retry_after_s == 2.0
    assert await bench.assets.page(100, "", None) == ([], "")


async def test_a_file_that_was_just_written_is_waited_for(bench: Bench) -> None:
    bench.place.put("anna.mp4", noise(CHUNK), changed_us=bench.now_us[0])
    bench.on_sleep.append(lambda: bench.place.put("anna.mp4", noise(2 * CHUNK), changed_us=bench.now_us[0]))
    told = await bench.told(NAME)
    assert told[0].waiting_for
    assert bench.data(told[-1]) == noise(2 * CHUNK)
    assert bench.slept == [2.0, 2.0]


async def test_a_time_in_the_future_only_asks_for_a_second_look(bench: Bench) -> None:
    bench.place.put("anna.mp4", noise(CHUNK), changed_us=bench.now_us[0] + 10**12)
    await bench.add(NAME)
    assert bench.slept == [2.0]


async def test_a_file_that_is_written_for_long_is_told_so(bench: Bench) -> None:
    def write() -> None:
        bench.place.put("anna.mp4", noise(bench.place.version), changed_us=bench.now_us[0])

    write()
    bench.on_sleep += [write] * 10
    with pytest.raises(ConflictError, match="still being written"):
        await bench.add(NAME)
    assert sum(bench.slept) == 6.0


async def test_what_was_brought_before_its_asker_left_is_not_read_again(bench: Bench) -> None:
    bench.place.put("anna.mp4", noise(30 * CHUNK))
    reached = asyncio.Event()
    reads = 0

    async def stand_still(_: str) -> None:
        nonlocal reads
        reads += 1
        if reads == 6:  # two ends, then runs of eight
            reached.set()
            await asyncio.Event().wait()

    bench.place.on_read = stand_still
    asking = await bench.begin(NAME)
    await reached.wait()
    (there,) = await bench.catalog.page(count=1, before=None, kind=None)
    while len(await bench.catalog.held(there.asset_id)) < 16:
        pass  # what was read is on its way to the disk
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    bench.place.read_bytes = 0
    assert bench.data(await bench.add(NAME)) == noise(30 * CHUNK)
    assert bench.place.read_bytes <= 14 * CHUNK


async def test_an_asset_that_was_deleted_is_brought_again(bench: Bench) -> None:
    bench.place.put("anna.mp4", noise(CHUNK))
    first = await bench.add(NAME)
    await bench.assets.delete(first.asset_id)
    with pytest.raises(ConflictError):
        await bench.libraries.known(NAME, "video")
    assert bench.data(await bench.add(NAME)) == noise(CHUNK)


async def test_what_is_not_media_is_refused_and_leaves_nothing(bench: Bench) -> None:
    bench.place.put("anna.mp4", noise(CHUNK))
    bench.refused.append(InvalidMediaError("this is not media", field="asset"))
    with pytest.raises(InvalidMediaError, match=r"lib:teachers/anna\.mp4: this is not media") as refused:
        await bench.add(NAME)
    assert refused.value.field == "name"
    assert await bench.assets.page(100, "", None) == ([], "")


async def test_sizes_are_limited(bench: Bench) -> None:
    bench.place.put("empty.mp4", b"")
    with pytest.raises(InvalidMediaError, match="empty"):
        await bench.add("lib:teachers/empty.mp4")
    bench.place.put("large.mp4", bytes((64 << 20) + 1))
    with pytest.raises(LimitExceededError) as refused:
        await bench.add("lib:teachers/large.mp4")
    assert refused.value.limit == "asset_bytes"


async def test_a_client_that_uploads_the_same_file_meanwhile_is_not_put_out(bench: Bench) -> None:
    data = noise(4 * CHUNK)
    digests = tuple(digest.chunk_digest(data[at : at + CHUNK]) for at in range(0, len(data), CHUNK))
    manifest = Manifest(size_bytes=len(data), digests=(), display_name="a", ends=(digests[0], digests[-1]))
    half, go = asyncio.Event(), asyncio.Event()

    async def messages() -> AsyncIterator[UploadMessage]:
        yield Digests(first=0, digests=digests[:2])
        for chunk in (0, 1):
            yield Piece(chunk=chunk, offset=0, data=data[chunk * CHUNK : (chunk + 1) * CHUNK])
        half.set()
        await go.wait()
        yield Digests(first=2, digests=digests[2:])
        for chunk in (2, 3):
            yield Piece(chunk=chunk, offset=0, data=data[chunk * CHUNK : (chunk + 1) * CHUNK])

    async def upload() -> list[object]:
        async with aclosing(bench.assets.upload(manifest, messages())) as answers:
            return [answer async for answer in answers]

    client = asyncio.create_task(upload())
    await half.wait()
    bench.place.put("anna.mp4", data)
    asset = await bench.add(NAME)
    assert bench.data(asset) == data
    go.set()
    with pytest.raises(ConflictError) as asked:  # by this the client sends its whole manifest, and all is there
        await client
    assert asked.value.field == "digests"
    whole = Manifest(size_bytes=len(data), digests=digests, display_name="a")
    async with aclosing(bench.assets.upload(whole, messages())) as answers:
        assert [answer async for answer in answers][-1] == Completed(asset=asset)


async def test_as_many_as_may_wait_do(bench: Bench) -> None:
    reading = asyncio.Event()

    async def stand_still(_: str) -> None:
        reading.set()
        await asyncio.Event().wait()

    bench.place.on_read = stand_still
    asking = []
    for number in range(3):
        bench.place.put(f"{number}.mp4", noise(10))
        asking.append(await bench.begin(f"lib:teachers/{number}.mp4"))
    async with aclosing(bench.libraries.add("lib:teachers/2.mp4")) as answers:
        assert (await anext(answers)).waiting_for == "its turn"
        bench.place.put("3.mp4", noise(10))
        with pytest.raises(ResourceExhaustedError) as refused:
            await bench.add("lib:teachers/3.mp4")
    assert refused.value.limit == "library_queue"
    for one in asking:
        one.cancel()
    await asyncio.gather(*asking, return_exceptions=True)
    bench.place.on_read = nothing
    assert (await bench.add("lib:teachers/3.mp4")).ready


@pytest.mark.parametrize(
    "name",
    [
        "lib:teachers",
        "lib:teachers/",
        "lib:/a.mp4",
        "lib:Teachers/a.mp4",
        "teachers/a.mp4",
        "lib:teachers/../a.mp4",
        "lib:teachers/a/./b.mp4",
        "lib:teachers//etc/passwd",
        "lib:teachers/.a.mp4.Xy12ab",
        "lib:teachers/a/.hidden/b.mp4",
        "lib:teachers/a.mp4.part",
        "lib:teachers/a\n.mp4",
        "lib:teachers/a\x00.mp4",
        "lib:teachers/\ud800.mp4",
    ],
)
async def test_a_name_that_leads_elsewhere_is_refused(bench: Bench, name: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        await bench.add(name)
    assert refused.value.field == "name"


@pytest.mark.parametrize("path", ["a" * 256, "/".join(["a" * 200] * 6)])
async def test_a_long_name_is_refused(bench: Bench, path: str) -> None:
    with pytest.raises(LimitExceededError):
        await bench.add(f"lib:teachers/{path}")


async def test_who_asks_for_another_library_is_told_which_there_are(bench: Bench) -> None:
    with pytest.raises(NotFoundError, match="it has: stock, teachers"):
        await bench.add("lib:pupils/a.mp4")
    with pytest.raises(NotFoundError, match="it has: stock, teachers"):
        await bench.libraries.page("pupils", "", 0, "")
    with pytest.raises(NotFoundError, match="lib:teachers/nobody"):
        await bench.add("lib:teachers/nobody.mp4")


async def test_a_list_says_which_files_are_assets_and_pages(bench: Bench) -> None:
    for path in ("a/1.mp4", "a/2.mp4", "a/3.mp4", "b.mp4"):
        bench.place.put(path, noise(10, len(path)))
    asset = await bench.add("lib:teachers/a/2.mp4")
    first, token = await bench.libraries.page("teachers", "/a/", 2, "")
    assert [(str(file.name), file.asset_id) for file in first] == [
        ("lib:teachers/a/1.mp4", ""),
        ("lib:teachers/a/2.mp4", asset.asset_id),
    ]
    second, end = await bench.libraries.page("teachers", "a", 2, token)
    assert [str(file.name) for file in second] == ["lib:teachers/a/3.mp4"]
    assert end == ""
    for wrong in ("x", "bGlicmFyeTE6Li4vYQ", "é", "A" * 5000):
        with pytest.raises(InvalidInputError):
            await bench.libraries.page("teachers", "a", 2, wrong)
    with pytest.raises(InvalidInputError):
        await bench.libraries.page("teachers", "../a", 2, "")
