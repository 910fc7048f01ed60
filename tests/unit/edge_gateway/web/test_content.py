"""Files over HTTP, behind a real web server."""

import asyncio
import base64
import hashlib
import random
import shutil
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from email.parser import BytesParser
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from starlette.applications import Starlette

from edge_gateway.assets.asset import AssetKind, AssetLimits
from edge_gateway.assets.service import AssetService
from edge_gateway.assets.store import AssetStore
from edge_gateway.web.content import Content
from edge_gateway.web.server import serve_web
from shared.media.probe import MediaInfo, MediaKind
from shared.rpc.address import Address

DATA = random.Random(5).randbytes(700_001)
ETAG = f'"{hashlib.sha256(DATA).hexdigest()}"'
MEDIA = MediaInfo(kind=MediaKind.VIDEO, container="mp4", duration_seconds=1.0)
LIMITS = AssetLimits(asset_bytes=1 << 30, manifest_chunks=9, piece_bytes=1 << 20, buffer_bytes=8 << 20, idle_s=5.0)


@dataclass(slots=True, kw_only=True)
class Files:
    """A web server with one file, and a client of it."""

    url: str
    http: aiohttp.ClientSession
    store: AssetStore
    base: str
    down: list[int] = field(default_factory=list)

    async def get(self, where: str = "", method: str = "GET", **headers: str) -> tuple[int, Any, bytes]:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.http.request(method, self.url + where, headers=sent) as answer:
            return answer.status, answer.headers, await answer.read()


async def _probe(path: Path, field: str) -> MediaInfo:
    del path, field
    return MEDIA


@pytest.fixture
async def files(store: AssetStore, tmp_path: Path) -> AsyncIterator[Files]:
    down: list[int] = []
    assets = AssetService(store, store._catalog, _probe, LIMITS, count_down=down.append)
    path = tmp_path / "made.mp4"
    path.write_bytes(DATA)
    manifest = await store.manifest(path, 'Zoë "quoted" 100%\\.mp4')
    asset = await store.take(path, manifest, AssetKind.RESULT, MEDIA, 1)
    jobs: Any = None  # only its results need it
    app = Starlette(routes=Content(assets, jobs).routes()[:1])
    async with (
        serve_web(app, Address(host="127.0.0.1", port=0), grace_s=0.5) as address,
        aiohttp.ClientSession() as http,
    ):
        base = f"http://{address}"
        url = f"{base}/assets/{asset.asset_id}/content"
        yield Files(url=url, http=http, store=store, base=base, down=down)


async def test_a_file_comes_with_what_proves_it(files: Files) -> None:
    status, told, body = await files.get()
    assert (status, body) == (200, DATA)
    assert told["etag"] == ETAG
    assert told["repr-digest"] == f"sha-256=:{base64.b64encode(hashlib.sha256(DATA).digest()).decode()}:"
    assert (told["content-type"], told["accept-ranges"], told["x-content-type-options"]) == (
        "video/mp4",
        "bytes",
        "nosniff",
    )
    assert sum(files.down) == len(DATA)
    status, head, body = await files.get(method="HEAD")
    assert (status, body, head["content-length"]) == (200, b"", str(len(DATA)))
    assert (head["etag"], head["repr-digest"]) == (told["etag"], told["repr-digest"])


async def test_the_name_is_safe_and_true(files: Files) -> None:
    _, told, _ = await files.get()
    name = "filename*=UTF-8''Zo%C3%AB%20%22quoted%22%20100%25%5C.mp4"
    assert told["content-disposition"] == f'inline; filename="Zo_ _quoted_ 100__.mp4"; {name}'
    _, told, _ = await files.get("?download=1")
    assert told["content-disposition"].startswith('attachment; filename="Zo_')


async def test_parts_of_it(files: Files) -> None:
    for header, begin, end in (("0-0", 0, 1), ("300000-699999", 300_000, 700_000), ("-7", len(DATA) - 7, len(DATA))):
        status, told, body = await files.get(Range=f"bytes={header}")
        assert (status, body) == (206, DATA[begin:end])
        assert told["content-range"] == f"bytes {begin}-{end - 1}/{len(DATA)}"
    status, told, body = await files.get(Range="bytes=5-9, 600000-")
    assert status == 206
    parts = BytesParser().parsebytes(b"Content-Type: " + told["content-type"].encode() + b"\r\n\r\n" + body)
    assert [part["content-range"] for part in parts.get_payload()] == [
        f"bytes 5-9/{len(DATA)}",
        f"bytes 600000-700000/{len(DATA)}",
    ]
    assert DATA[5:10] in body
    assert DATA[600_000:] in body
    assert told["content-length"] == str(len(body))


async def test_a_range_behind_the_end_tells_the_size(files: Files) -> None:
    status, told, _ = await files.get(Range=f"bytes={len(DATA)}-")
    assert (status, told["content-range"]) == (416, f"bytes */{len(DATA)}")


async def test_who_has_it_is_not_sent_it_again(files: Files) -> None:
    for tags in (ETAG, f'"other", W/{ETAG}', "*"):
        status, told, body = await files.get(If_None_Match=tags)
        assert (status, told["etag"], body) == (304, ETAG, b"")
    assert (await files.get(If_None_Match='"other"'))[0] == 200


async def test_who_has_a_part_of_another_file_gets_this_one_whole(files: Files) -> None:
    assert (await files.get(Range="bytes=9-", If_Range=ETAG))[0] == 206
    for tag in ('"other"', f"W/{ETAG}", "Wed, 21 Oct 2015 07:28:00 GMT"):
        status, _, body = await files.get(Range="bytes=9-", If_Range=tag)
        assert (status, body) == (200, DATA)


async def test_what_is_not_there_or_no_id_is_refused(files: Files) -> None:
    for asset_id, code in (("0" * 64, 404), ("..%2Fedge.db", 404), ("x", 400)):
        async with files.http.get(f"{files.base}/assets/{asset_id}/content") as answer:
            assert answer.status == code


async def test_a_file_that_is_cut_short_is_not_taken_for_whole(files: Files) -> None:
    (path,) = Path(files.store._root).glob("*/media")
    assert await files.get(method="HEAD")
    with path.open("r+b") as file:
        file.truncate(400_000)
    with pytest.raises(aiohttp.ClientPayloadError):
        await files.get()


async def test_curl_goes_on_where_it_was(files: Files, tmp_path: Path) -> None:
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("curl is not installed")
    target = tmp_path / "out.mp4"
    target.write_bytes(DATA[:123_456])
    command = [curl, "--silent", "--fail", "--continue-at", "-", "--output", str(target), files.url]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert target.read_bytes() == DATA
    assert sum(files.down) == len(DATA) - 123_456
