"""Previews over HTTP, behind a real web server."""

import asyncio
import socket
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from starlette.applications import Starlette

from edge_gateway.jobs.preview import PreviewAnswer, PreviewPiece
from edge_gateway.jobs.reel import PreviewInit
from edge_gateway.web.preview import PreviewPages
from edge_gateway.web.server import serve_web
from shared.errors import JobFailedError, NotFoundError
from shared.rpc.address import Address

MIME = 'video/mp4; codecs="avc1.640028, mp4a.40.2"'
INIT = PreviewInit(mime_type=MIME, data=b"init")
PIECE = 1 << 18


@dataclass(slots=True)
class FakePreviews:
    """Three fragments of two pieces, more where asked for; ends as it is told."""

    fragments: int = 3
    piece: bytes = b"x" * 9
    failing: bool = False
    waiting: bool = False
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    out: dict[str, int] = field(default_factory=dict)

    async def watch(self, job_id: str, first: int) -> AsyncGenerator[PreviewAnswer, None]:
        if job_id == "none":
            raise NotFoundError("this edge has no such job", field="job_id")
        try:
            if self.waiting:
                await asyncio.Event().wait()
            yield INIT
            size = 2 * len(self.piece)
            for index in range(first, self.fragments):
                for offset in (0, len(self.piece)):
                    self.out[job_id] = self.out.get(job_id, 0) + len(self.piece)
                    yield PreviewPiece(
                        fragment=index, start_us=0, end_us=1, size_bytes=size, offset=offset, data=self.piece
                    )
            if self.failing:
                raise JobFailedError("no face", cause_reason="no_face")
        finally:
            self.gone.set()


@dataclass(slots=True, kw_only=True)
class Player:
    """A client."""

    address: Address
    http: aiohttp.ClientSession
    previews: FakePreviews

    async def get(self, path: str, method: str = "GET") -> tuple[int, Any, bytes]:
        async with self.http.request(method, f"http://{self.address}/jobs/{path}") as answer:
            return answer.status, answer.headers, await answer.read()


@pytest.fixture
async def player() -> AsyncIterator[Player]:
    previews = FakePreviews()
    fake: Any = previews
    app = Starlette(routes=PreviewPages(fake).routes())
    async with (
        serve_web(app, Address(host="127.0.0.1", port=0), grace_s=0.5) as address,
        aiohttp.ClientSession() as http,
    ):
        yield Player(address=address, http=http, previews=previews)


async def test_one_stream_has_all_of_it(player: Player) -> None:
    status, told, body = await player.get("job/preview.mp4")
    assert (status, body) == (200, b"init" + b"x" * 54)
    assert (told["content-type"], told["cache-control"], told["accept-ranges"]) == ("video/mp4", "no-store", "none")
    assert player.previews.gone.is_set()


async def test_media_source_gets_it_in_files(player: Player) -> None:
    status, told, body = await player.get("job/preview/init.mp4")
    assert (status, told["content-type"], body) == (200, MIME, b"init")
    status, told, body = await player.get("job/preview/2.m4s")
    assert (status, told["content-length"], body) == (200, "18", b"x" * 18)
    for number in ("3", "-1", "x", "1" * 30):
        assert (await player.get(f"job/preview/{number}.m4s"))[0] == 404


async def test_what_is_not_there_is_refused(player: Player) -> None:
    for path in ("preview.mp4", "preview/init.mp4", "preview/0.m4s"):
        status, _, body = await player.get(f"none/{path}")
        assert (status, b"not_found" in body) == (404, True)


async def test_a_job_that_fails_cuts_the_stream(player: Player) -> None:
    player.previews.failing = True
    with pytest.raises(aiohttp.ClientPayloadError):
        await player.get("job/preview.mp4")
    player.previews.fragments = 0
    status, _, body = await player.get("job/preview/0.m4s")
    assert (status, b"no face" in body) == (409, True)


async def test_a_client_that_goes_before_anything_came_is_no_longer_waited_for(player: Player) -> None:
    player.previews.waiting = True
    reader, writer = await asyncio.open_connection(player.address.host, player.address.port)
    writer.write(b"GET /jobs/job/preview.mp4 HTTP/1.1\r\nHost: edge\r\n\r\n")
    await writer.drain()
    writer.close()
    await player.previews.gone.wait()
    assert await reader.read() == b""


async def test_a_client_that_stops_reading_is_sent_no_more(player: Player) -> None:
    player.previews.piece = b"x" * PIECE
    player.previews.fragments = 200
    loop = asyncio.get_running_loop()
    with socket.socket() as stalled:
        stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        stalled.setblocking(False)
        await loop.sock_connect(stalled, (player.address.host, player.address.port))
        await loop.sock_sendall(stalled, b"GET /jobs/stalled/preview.mp4 HTTP/1.1\r\nHost: edge\r\n\r\n")
        # Whoever reads gets all of it, by which time the other would have, too.
        for _ in range(2):
            async with player.http.get(f"http://{player.address}/jobs/reading/preview.mp4") as answer:
                got = sum([len(data) async for data in answer.content.iter_chunked(PIECE)])
            assert got == 200 * 2 * PIECE + 4
        assert 0 < player.previews.out["stalled"] < 100 * PIECE
