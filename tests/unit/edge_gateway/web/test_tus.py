"""What tus 1.0 asks for, and what is refused."""

import asyncio
import base64
import hashlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import pytest

from edge_gateway.assets.asset import AssetKind
from edge_gateway.assets.stream_writer import _Intake
from shared.digest import CHUNK_BYTES, asset_id, chunk_digest
from shared.errors import InvalidMediaError

DATA = random.Random(3).randbytes(2 * CHUNK_BYTES + CHUNK_BYTES // 2 + 7)
ID = asset_id(len(DATA), [chunk_digest(DATA[at : at + CHUNK_BYTES]) for at in range(0, len(DATA), CHUNK_BYTES)])
OTHER = "0" * 32

Site = Any
"""See conftest.py."""
MakeSite = Callable[..., Awaitable[Site]]


def b64(value: bytes | str) -> str:
    return base64.b64encode(value.encode() if isinstance(value, str) else value).decode()


def checksum(algorithm: str, data: bytes) -> str:
    return f"{algorithm} {b64(hashlib.new(algorithm, data).digest())}"


async def test_options_tells_what_is_spoken_and_gives_no_cors(site: Site) -> None:
    status, told, _ = await site.call("OPTIONS", Tus_Resumable="", Origin="https://elsewhere.example")
    assert status == 204
    assert told["tus-version"] == "1.0.0"
    assert told["tus-max-size"] == str(16 << 20)
    assert told["tus-checksum-algorithm"] == "sha1,sha256"
    assert set(told["tus-extension"].split(",")) == {
        "creation",
        "creation-with-upload",
        "checksum",
        "expiration",
        "termination",
        "concatenation",
    }
    assert not [name for name in told if name.startswith("access-control")]


async def test_an_upload_in_pieces_becomes_an_asset(site: Site) -> None:
    name = b64("../../évil\n.mp4")
    metadata = f"filename {name},filetype {b64('video/mp4')},empty"
    where = await site.create(len(DATA), Upload_Metadata=metadata)
    at = 0
    for size in (1, 70_000, CHUNK_BYTES, len(DATA)):
        piece = DATA[at : at + size]
        status, told, error = await site.call("PATCH", where, piece, Upload_Offset=at)
        assert status == 204, error
        at += len(piece)
        assert told["upload-offset"] == str(at)
        assert ("viseme-asset-id" in told) == (at == len(DATA))
    assert told["viseme-asset-id"] == ID
    status, told, _ = await site.call("HEAD", where)
    assert (status, told["upload-offset"], told["upload-length"]) == (200, str(at), str(at))
    assert told["viseme-asset-id"] == ID
    assert told["upload-metadata"] == metadata
    assert told["cache-control"] == "no-store"
    assert "upload-expires" not in told
    asset = await site.catalog.find(ID)
    assert asset.ready
    assert asset.kind is AssetKind.VIDEO
    assert asset.display_name == "évil .mp4"
    assert site.store.path(ID).read_bytes() == DATA
    assert list(site.root.iterdir()) == []


async def test_creation_may_bring_bytes_and_the_same_content_is_one_asset(site: Site) -> None:
    status, told, _ = await site.call("POST", "", DATA, Upload_Length=len(DATA))
    assert (status, told["upload-offset"], told["viseme-asset-id"]) == (201, str(len(DATA)), ID)
    inode = site.store.path(ID).stat().st_ino
    status, told, _ = await site.call("POST", "", DATA[:100], Upload_Length=len(DATA))
    assert (status, told["upload-offset"]) == (201, "100")
    status, told, _ = await site.call("PATCH", told["location"], DATA[100:], Upload_Offset=100)
    assert told["viseme-asset-id"] == ID
    assert site.store.path(ID).stat().st_ino == inode
    assert len(site.prober.probed) == 1
    assert list(site.root.iterdir()) == []


@pytest.mark.parametrize("algorithm", ["sha1", "sha256"])
async def test_a_wrong_checksum_keeps_nothing_of_the_request(site: Site, algorithm: str) -> None:
    where = await site.create(len(DATA))
    first, rest = DATA[:1_500_000], DATA[1_500_000:]
    status, told, _ = await site.call(
        "PATCH", where, first, Upload_Offset=0, Upload_Checksum=checksum(algorithm, first)
    )
    assert (status, told["upload-offset"]) == (204, "1500000")
    damaged = rest[:-1] + b"?"
    status, _, error = await site.call(
        "PATCH", where, damaged, Upload_Offset=1_500_000, Upload_Checksum=checksum(algorithm, rest)
    )
    assert (status, error["field"]) == (460, "Upload-Checksum")
    assert await site.offset(where) == 1_500_000
    status, told, _ = await site.call(
        "PATCH", where, rest, Upload_Offset=1_500_000, Upload_Checksum=checksum(algorithm, rest)
    )
    assert (status, told["viseme-asset-id"]) == (204, ID)


async def test_a_damaged_creation_with_bytes_leaves_no_upload(site: Site) -> None:
    status, _, _ = await site.call("POST", "", DATA, Upload_Length=len(DATA), Upload_Checksum=checksum("sha1", b"?"))
    assert status == 460
    assert list(site.root.iterdir()) == []
    for _ in range(4):
        await site.create(10)


@pytest.mark.parametrize(
    ("headers", "status", "field"),
    [
        ({"Tus_Resumable": ""}, 412, "Tus-Resumable"),
        ({"Tus_Resumable": "0.2.2"}, 412, "Tus-Resumable"),
        ({"Content_Type": "application/octet-stream"}, 415, "Content-Type"),
        ({"Upload_Offset": ""}, 400, "Upload-Offset"),
        ({"Upload_Offset": -1}, 400, "Upload-Offset"),
        ({"Upload_Offset": "1e3"}, 400, "Upload-Offset"),
        ({"Upload_Offset": 1}, 409, "Upload-Offset"),
        ({"Upload_Offset": 10**14}, 409, "Upload-Offset"),
        ({"Upload_Checksum": "md5 abcd"}, 400, "Upload-Checksum"),
        ({"Upload_Checksum": "sha1 !"}, 400, "Upload-Checksum"),
        ({"Upload_Checksum": "sha1 AAAA"}, 400, "Upload-Checksum"),
        ({"Origin": "https://elsewhere.example"}, 403, "Origin"),
        ({"Origin": "null"}, 403, "Origin"),
        ({"Sec_Fetch_Site": "cross-site"}, 403, "Sec-Fetch-Site"),
    ],
)
async def test_a_request_that_is_not_right_changes_nothing(
    site: Site, headers: dict[str, str | int], status: int, field: str
) -> None:
    where = await site.create(100)
    got, _, error = await site.call("PATCH", where, b"x" * 50, **{"Upload_Offset": 0, **headers})
    assert (got, error["field"]) == (status, field)
    assert await site.offset(where) == 0


async def test_bytes_for_a_place_that_the_upload_has_left_are_not_waited_for(site: Site) -> None:
    where = await site.create(100)
    status, told, _ = await site.call("PATCH", where, b"x" * 50, Upload_Offset=10)
    assert (status, told["connection"]) == (409, "close")
    status, told, _ = await site.call("PATCH", where, b"x" * 50, Upload_Offset=0)
    assert (status, told.get("connection")) == (204, None)


@pytest.mark.parametrize(
    ("headers", "status", "field", "limit"),
    [
        ({}, 400, "Upload-Length", ""),
        ({"Upload_Length": "x"}, 400, "Upload-Length", ""),
        ({"Upload_Length": 0}, 422, "Upload-Length", ""),
        ({"Upload_Length": (16 << 20) + 1}, 413, "Upload-Length", "asset_bytes"),
        ({"Upload_Length": 5, "Upload_Metadata": "k " + "A" * 600}, 413, "Upload-Metadata", "tus_metadata_bytes"),
        ({"Upload_Length": 5, "Upload_Metadata": "k AAA"}, 400, "Upload-Metadata", ""),
        ({"Upload_Length": 5, "Upload_Metadata": "k AAAA,k AAAA"}, 400, "Upload-Metadata", ""),
        ({"Upload_Defer_Length": 1}, 400, "Upload-Defer-Length", ""),
        ({"Upload_Length": 5, "Upload_Concat": "half"}, 400, "Upload-Concat", ""),
        ({"Upload_Length": 5, "Upload_Concat": f"final;/files/{OTHER}"}, 400, "Upload-Length", ""),
        ({"Upload_Concat": "final;"}, 400, "Upload-Concat", ""),
        ({"Upload_Concat": "final;/files/../x"}, 400, "Upload-Concat", ""),
        ({"Upload_Concat": f"final;/files/{OTHER}"}, 400, "Upload-Concat", ""),
        ({"Upload_Concat": "final;" + f"/files/{OTHER} " * 5}, 413, "Upload-Concat", "tus_parts"),
        ({"Upload_Length": 5, "Origin": "http://127.0.0.1:1"}, 403, "Origin", ""),
    ],
)
async def test_creations_are_refused_with_field_and_limit(
    site: Site, headers: dict[str, str | int], status: int, field: str, limit: str
) -> None:
    got, _, error = await site.call("POST", **headers)
    assert (got, error["field"], error["limit"]) == (status, field, limit)
    assert error["message"]


async def test_a_page_of_the_same_host_may_upload(site: Site) -> None:
    status, _, _ = await site.call(
        "POST", Upload_Length=5, Origin=f"http://{site.address}", Sec_Fetch_Site="same-origin"
    )
    assert status == 201


async def test_methods_can_be_overridden_and_others_are_none(site: Site) -> None:
    where = await site.create(3)
    status, _, _ = await site.call("POST", where, b"ab", Upload_Offset=0, X_HTTP_Method_Override="PATCH")
    assert status == 204
    assert (await site.call("POST", where))[0] == 405
    assert (await site.call("PATCH", "", b"", Upload_Offset=0))[0] == 405


async def test_uploads_open_at_once_are_limited(site: Site) -> None:
    places = [await site.create(10) for _ in range(4)]
    status, _, error = await site.call("POST", Upload_Length=10)
    assert (status, error["limit"], error["retryable"]) == (429, "tus_uploads", True)
    assert (await site.call("DELETE", places[0]))[0] == 204
    await site.create(10)


async def test_a_deleted_upload_is_gone_and_its_asset_stays(site: Site) -> None:
    where = await site.create(len(DATA))
    await site.call("PATCH", where, DATA[:500_000], Upload_Offset=0)
    assert len(list(site.root.iterdir())) == 1
    assert (await site.call("DELETE", where))[0] == 204
    assert list(site.root.iterdir()) == []
    for method, data in (("HEAD", None), ("PATCH", b"x"), ("DELETE", None)):
        assert (await site.call(method, where, data, Upload_Offset=0))[0] == 404
    assert (await site.call("HEAD", "../etc"))[0] == 404
    done = (await site.call("POST", "", DATA, Upload_Length=len(DATA)))[1]["location"]
    assert (await site.call("DELETE", done))[0] == 204
    assert (await site.catalog.find(ID)).ready


async def test_an_upload_whose_asset_was_deleted_is_to_be_sent_again(site: Site) -> None:
    where = (await site.call("POST", "", DATA, Upload_Length=len(DATA)))[1]["location"]
    assert await site.store.remove(ID)
    assert (await site.call("HEAD", where))[0] == 404
    assert (await site.call("POST", "", DATA, Upload_Length=len(DATA)))[1]["viseme-asset-id"] == ID


async def test_what_nothing_came_for_expires(site: Site) -> None:
    where = await site.create(100)
    _, told, _ = await site.call("PATCH", where, b"x" * 40, Upload_Offset=0)
    assert parsedate_to_datetime(told["upload-expires"]).timestamp() == site.wall_us[0] // 1_000_000 + 3600
    site.now_us[0] += 3_599_000_000
    await site.call("PATCH", where, b"x" * 40, Upload_Offset=40)
    site.now_us[0] += 3_599_000_000
    await site.uploads.sweep()
    assert await site.offset(where) == 80
    site.now_us[0] += 2_000_000
    (site.root / "stray").write_bytes(b"left by a crash")
    await site.uploads.sweep()
    assert (await site.call("HEAD", where))[0] == 404
    assert list(site.root.iterdir()) == []


async def test_more_than_belongs_to_it_is_refused(site: Site) -> None:
    where = await site.create(1000)
    status, _, error = await site.call("PATCH", where, b"x" * 1001, Upload_Offset=0)
    assert (status, error["field"]) == (400, "Content-Length")

    async def unsized() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b"x" * 400

    status, _, error = await site.call("PATCH", where, unsized(), Upload_Offset=0)
    assert (status, error["field"]) == (400, "Upload-Length")
    assert await site.offset(where) in {0, 400, 800}


async def test_what_is_no_media_is_refused_for_ever(site: Site) -> None:
    site.prober.error = InvalidMediaError("this is no media", field="asset")
    where = await site.create(10)
    status, _, error = await site.call("PATCH", where, b"x" * 10, Upload_Offset=0)
    assert (status, error["reason"], error["field"]) == (422, "invalid_media", "asset")
    assert (await site.call("HEAD", where))[0] == 422
    assert (await site.call("PATCH", where, b"", Upload_Offset=10))[0] == 422
    assert list(site.root.iterdir()) == []
    assert len(site.prober.probed) == 1
    assert (await site.call("DELETE", where))[0] == 204


async def test_parts_are_put_together(site: Site) -> None:
    cut = 1_234_567
    places = []
    for part in (DATA[:cut], DATA[cut:]):
        status, told, _ = await site.call("POST", "", part, Upload_Length=len(part), Upload_Concat="partial")
        assert status == 201
        assert "viseme-asset-id" not in told
        places.append(told["location"])
    assert (await site.call("HEAD", places[0]))[1]["upload-concat"] == "partial"
    listed = f"final;{places[0]} http://{site.address}{places[1]}"
    name = f"filename {b64('whole.mp4')}"
    status, told, error = await site.call("POST", Upload_Concat=listed, Upload_Metadata=name)
    assert (status, told.get("viseme-asset-id")) == (201, ID), error
    where = told["location"]
    assert site.store.path(ID).read_bytes() == DATA
    _, told, _ = await site.call("HEAD", where)
    assert (told["upload-length"], told["upload-offset"]) == (str(len(DATA)), str(len(DATA)))
    assert told["upload-concat"] == f"final;{places[0]} {places[1]}"
    assert (await site.call("PATCH", where, b"x", Upload_Offset=len(DATA)))[0] == 403
    assert (await site.call("POST", Upload_Concat=listed))[1]["location"] == where
    assert list(site.root.iterdir()) == []


@pytest.mark.parametrize("is_expired", [True, False])
async def test_parts_of_which_one_is_missing_make_nothing(site: Site, *, is_expired: bool) -> None:
    places = [
        (await site.call("POST", "", DATA[:100], Upload_Length=100, Upload_Concat="partial"))[1]["location"]
        for _ in range(2)
    ]
    if is_expired:
        assert (await site.call("DELETE", places[1]))[0] == 204
    else:
        (site.root / places[1].removeprefix("/files/")).unlink()
    status, _, error = await site.call("POST", Upload_Concat=f"final;{places[0]} {places[1]}")
    assert (status, error["reason"], error["field"]) == (400, "invalid_input", "Upload-Concat")
    assert await site.offset(places[0]) == 100
    assert [path.name for path in site.root.iterdir()] == [places[0].removeprefix("/files/")]


async def test_only_whole_parts_are_put_together(site: Site) -> None:
    part = await site.create(10, Upload_Concat="partial")
    whole = await site.create(10)
    for place, words in ((part, "not finished"), (whole, "not made as a part")):
        status, _, error = await site.call("POST", Upload_Concat=f"final;{place}")
        assert (status, error["field"]) == (400, "Upload-Concat")
        assert words in error["message"]


async def test_a_newer_writer_ends_one_that_hangs(site: Site) -> None:
    where = await site.create(len(DATA))
    sent = asyncio.Event()

    async def hangs() -> AsyncIterator[bytes]:
        yield DATA[:300_000]
        sent.set()
        await asyncio.Event().wait()

    async with asyncio.timeout(4):
        older = asyncio.create_task(site.call("PATCH", where, hangs(), Upload_Offset=0))
        await sent.wait()
        while (offset := await site.offset(where)) < 300_000:
            pass
        status, told, _ = await site.call("PATCH", where, DATA[offset:], Upload_Offset=offset)
        assert (status, told["viseme-asset-id"]) == (204, ID)
        status, _, error = await older
        assert (status, error["reason"]) == (409, "conflict")
    assert site.store.path(ID).read_bytes() == DATA


async def test_silence_ends_a_request_and_keeps_what_came(make_site: MakeSite) -> None:
    site = await make_site(idle_s=0.3)
    where = await site.create(1000)

    async def hangs() -> AsyncIterator[bytes]:
        yield b"x" * 600
        await asyncio.Event().wait()

    async with asyncio.timeout(4):
        status, _, error = await site.call("PATCH", where, hangs(), Upload_Offset=0)
    assert (status, error["limit"], error["retryable"]) == (504, "upload_idle_s", True)
    assert await site.offset(where) == 600


async def test_a_request_of_a_byte_now_and_then_is_ended_and_keeps_what_came(make_site: MakeSite) -> None:
    site = await make_site(progress_s=0.2, progress_bytes=100)
    where = await site.create(1000)
    sent = 0

    async def drips() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            yield b"x"
            sent += 1
            await asyncio.sleep(0.02)

    async with asyncio.timeout(4):
        status, _, error = await site.call("PATCH", where, drips(), Upload_Offset=0)
    assert (status, error["limit"], error["retryable"]) == (504, "upload_progress_s", True)
    assert 0 < await site.offset(where) <= sent


async def test_requests_of_a_byte_do_not_keep_an_upload_for_ever(make_site: MakeSite) -> None:
    site = await make_site(progress_bytes=100)
    where = await site.create(1000)
    sent = 0
    for size, stays in ((99, True), (1, True), (99, True), (0, False)):
        if size:
            assert (await site.call("PATCH", where, b"x" * size, Upload_Offset=sent))[0] == 204
            sent += size
        site.now_us[0] += 1_201_000_000
        await site.uploads.sweep()
        assert (await site.call("HEAD", where))[0] == (200 if stays else 404)


@pytest.mark.parametrize("jump_s", [-10_000_000, 10_000_000])
async def test_a_clock_that_jumps_makes_nothing_expire_nor_stay(site: Site, jump_s: int) -> None:
    where = await site.create(100)
    site.wall_us[0] += jump_s * 1_000_000
    await site.uploads.sweep()
    _, told, _ = await site.call("HEAD", where)
    assert parsedate_to_datetime(told["upload-expires"]).timestamp() == site.wall_us[0] // 1_000_000 + 3600
    site.now_us[0] += 3_601_000_000
    await site.uploads.sweep()
    assert (await site.call("HEAD", where))[0] == 404


async def test_an_upload_that_is_deleted_while_it_runs_is_gone(site: Site) -> None:
    where = await site.create(len(DATA))

    async def hangs() -> AsyncIterator[bytes]:
        yield DATA[:300_000]
        await asyncio.Event().wait()

    async with asyncio.timeout(4):
        request = asyncio.create_task(site.call("PATCH", where, hangs(), Upload_Offset=0))
        while await site.offset(where) < 300_000:
            pass
        assert (await site.call("DELETE", where))[0] == 204
        status, _, error = await request
    assert (status, error["reason"]) == (409, "conflict")
    assert (await site.call("HEAD", where))[0] == 404
    assert list(site.root.iterdir()) == []


async def test_bytes_wait_for_a_slow_disk_within_a_bound() -> None:
    intake = _Intake()
    assert [await intake.put(b"x" * (1 << 20)) for _ in range(2)] == [False, False]
    waiting = asyncio.create_task(intake.put(b"y"))
    await asyncio.wait([waiting], timeout=0)
    assert not waiting.done()
    assert len(await intake.take()) == 2 << 20
    assert await waiting


async def test_an_edge_that_ends_keeps_what_came(site: Site) -> None:
    where = await site.create(len(DATA))

    async def hangs() -> AsyncIterator[bytes]:
        yield DATA[:300_000]
        await asyncio.Event().wait()

    async with asyncio.timeout(4):
        request = asyncio.create_task(site.call("PATCH", where, hangs(), Upload_Offset=0))
        while await site.offset(where) < 300_000:
            pass
        site.uploads.close()
        status, _, error = await request
    assert (status, error["retryable"]) == (503, True)
    assert await site.offset(where) == 300_000


async def test_a_disk_that_fills_says_so_and_keeps_what_fitted(
    make_site: MakeSite, small_disk: Callable[[Path, int], Path], tmp_path: Path
) -> None:
    site = await make_site(root=small_disk(tmp_path / "small", 2 << 20))
    status, _, error = await site.call("POST", Upload_Length=3 << 20)
    assert (status, error["limit"]) == (507, "disk")
    where = await site.create((2 << 20) - 65536, Upload_Concat="partial")
    other = await site.create((1 << 20) + 1)
    await site.call("PATCH", other, b"x" * (1 << 20), Upload_Offset=0)
    status, _, error = await site.call("PATCH", where, b"x" * ((2 << 20) - 65536), Upload_Offset=0)
    assert (status, error["reason"], error["retryable"]) == (507, "disk_full", True)
    assert await site.offset(where) == 0
    assert (await site.call("DELETE", other))[0] == 204
    status, told, _ = await site.call("PATCH", where, b"x" * ((2 << 20) - 65536), Upload_Offset=0)
    assert (status, told["upload-offset"]) == (204, str((2 << 20) - 65536))


async def test_a_crash_between_move_and_note_is_mended(site: Site) -> None:
    where = await site.create(len(DATA), Upload_Concat="partial")
    await site.call("PATCH", where, DATA, Upload_Offset=0)
    upload_id = where.removeprefix("/files/")
    await site.uploads._uploads._database.run(lambda c: c.execute("UPDATE streams SET is_part = 0"))
    target = site.store.path(ID)
    target.parent.mkdir(parents=True)
    (site.root / upload_id).rename(target)
    assert (await site.call("HEAD", where))[1]["viseme-asset-id"] == ID
    assert (await site.catalog.find(ID)).ready
