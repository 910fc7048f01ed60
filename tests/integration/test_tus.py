"""The real edge, over a link that is reset again and again, and killed: tus uploads go on where they were."""

import asyncio
import hashlib
import io
import os
import random
import struct
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import grpc
import pytest
from tusclient import client as tuspy
from tusclient.uploader import Uploader

from edge_gateway.app import edge
from shared.digest import CHUNK_BYTES, asset_id, chunk_digest
from shared.pb.viseme.gateway.v1 import asset_pb2, job_pb2
from shared.pb.viseme.gateway.v1.asset_pb2_grpc import AssetServiceStub
from shared.rpc.address import Address
from tests.integration.test_edge_gateway import EchoNode, client_of, running_node, settings_for
from tests.relay import relay
from tests.stack import Stack

MEDIA = Path(__file__).resolve().parents[1] / "media"
CLIP = MEDIA / "clip.mp4"
LOST_BYTES = 256 << 10
"""What a reset may cost: one message."""


def padded(size: int) -> bytes:
    """A real clip followed by bytes that players skip."""
    return CLIP.read_bytes() + struct.pack(">I4s", size, b"free") + os.urandom(size - 8)


def id_of(data: bytes) -> str:
    return asset_id(len(data), [chunk_digest(data[at : at + CHUNK_BYTES]) for at in range(0, len(data), CHUNK_BYTES)])


async def slices(data: bytes, stop: int | None = None) -> AsyncIterator[bytes]:
    """The data; it stops and hangs where it is told to."""
    for at in range(0, len(data) if stop is None else stop, 50_000):
        yield data[at : at + 50_000]
    if stop is not None:
        await asyncio.Event().wait()


class BehindError(Exception):
    """The upload is further than where the bytes were to go."""


class Tus:
    """The least that speaks tus."""

    def __init__(self, http: aiohttp.ClientSession, address: str) -> None:
        self.http = http
        self.base = f"http://{address}"

    async def create(self, size: int) -> str:
        headers = {"Tus-Resumable": "1.0.0", "Upload-Length": str(size)}
        async with self.http.post(f"{self.base}/files/", headers=headers) as answer:
            assert answer.status == 201
            return answer.headers["Location"]

    async def head(self, where: str) -> tuple[int, str]:
        async with self.http.head(self.base + where, headers={"Tus-Resumable": "1.0.0"}) as answer:
            assert answer.status == 200
            return int(answer.headers["Upload-Offset"]), answer.headers.get("Viseme-Asset-Id", "")

    async def patch(self, where: str, offset: int, data: bytes, stop: int | None = None) -> str:
        headers = {
            "Tus-Resumable": "1.0.0",
            "Upload-Offset": str(offset),
            "Content-Type": "application/offset+octet-stream",
            "Content-Length": str(len(data)),
        }
        async with self.http.patch(self.base + where, headers=headers, data=slices(data, stop)) as answer:
            if answer.status == 409:
                raise BehindError
            assert answer.status == 204, await answer.text()
            return answer.headers.get("Viseme-Asset-Id", "")


@pytest.fixture(scope="module")
def lone_edge() -> Iterator[Stack]:
    with Stack(with_node=False) as stack:
        yield stack


def web(stack: Stack) -> str:
    return stack.parts["edge"].ready.addresses["web"]


async def test_resets_at_random_bytes_cost_at_most_a_message_of_what_the_edge_took(lone_edge: Stack) -> None:
    data = padded(6 << 20)
    cuts = random.Random(7).sample(range(1, 700_000), 12)
    async with relay(web(lone_edge)) as (link, address), aiohttp.ClientSession() as http:
        tus = Tus(http, address)
        direct = Tus(http, web(lone_edge))
        where = await tus.create(len(data))
        offset = before = expected = 0

        async def taken() -> None:
            nonlocal expected
            while (await direct.head(where))[0] < offset + link.up_bytes - before - LOST_BYTES:
                pass
            expected = offset + link.up_bytes - before - LOST_BYTES

        async def send(*cuts: int) -> str:
            nonlocal offset, before, expected
            while True:
                link.cuts, link.since_cut, before, expected = list(cuts), 0, link.up_bytes, offset
                try:
                    return await tus.patch(where, offset, data[offset:])
                except BehindError:  # what came before the last reset was still being written; any client asks again
                    offset, _ = await direct.head(where)

        for number, cut in enumerate(cuts):
            link.before_reset = taken if number % 2 else None
            async with asyncio.timeout(30):
                with pytest.raises(aiohttp.ClientError):
                    await send(cut)
            now, _ = await direct.head(where)
            assert max(offset, expected) <= now <= offset + link.up_bytes - before
            offset = now
        asset = await send()
    assert asset == id_of(data)
    assert lone_edge.log("edge").count("Traceback") == 0


async def test_what_was_told_survives_kill_9(lone_edge: Stack) -> None:
    data = padded(12 << 20)
    async with aiohttp.ClientSession() as http:
        tus = Tus(http, web(lone_edge))
        where = await tus.create(len(data))
        upload = asyncio.create_task(tus.patch(where, 0, data, stop=8 << 20))
        told = 0
        while told < 3 << 20:
            told, _ = await tus.head(where)
        lone_edge.kill("edge")
        with pytest.raises(aiohttp.ClientError):
            await upload
        lone_edge.start("edge")
        offset, asset = await tus.head(where)
        assert told <= offset < len(data)
        assert asset == ""
        assert await tus.patch(where, offset, data[offset:]) == id_of(data)
        assert await tus.head(where) == (len(data), id_of(data))
        async with grpc.aio.insecure_channel(lone_edge.edge) as channel:
            request = asset_pb2.DownloadRequest(asset_id=id_of(data))
            back = b"".join([piece.data async for piece in AssetServiceStub(channel).Download(request)])
    assert back == data


@pytest.mark.parametrize("with_checksums", [False, True])
async def test_tuspy_goes_on_after_resets(lone_edge: Stack, *, with_checksums: bool) -> None:
    data = padded(5 << 20)
    chunk = 512 << 10 if with_checksums else len(data)
    async with relay(web(lone_edge), [700_000, 900_000, 1_100_000, 5_000, 800_000]) as (link, address):

        def send() -> Uploader:
            uploader = tuspy.TusClient(f"http://{address}/files/").uploader(
                file_stream=io.BytesIO(data),
                chunk_size=chunk,
                retries=8,
                retry_delay=0,
                upload_checksum=with_checksums,
                metadata={"filename": "clip.mp4"},
            )
            uploader.upload()
            return uploader

        uploader = await asyncio.to_thread(send)
        assert link.cuts == []
        assert link.up_bytes <= len(data) + 5 * CHUNK_BYTES
    assert uploader.offset == len(data)
    assert uploader.request.response_headers["viseme-asset-id"] == id_of(data)


async def test_what_is_no_media_is_refused_after_the_sandbox_saw_it(lone_edge: Stack) -> None:
    data = hashlib.sha256(b"").digest() * 100
    async with aiohttp.ClientSession() as http:
        tus = Tus(http, web(lone_edge))
        headers = {
            "Tus-Resumable": "1.0.0",
            "Upload-Length": str(len(data)),
            "Content-Type": "application/offset+octet-stream",
        }
        async with http.post(f"{tus.base}/files/", headers=headers, data=data) as answer:
            assert answer.status == 422
            error = (await answer.json())["error"]
    assert (error["reason"], error["field"]) == ("invalid_media", "asset")


async def test_a_job_takes_what_tus_brought(tmp_path: Path) -> None:
    async with (
        running_node(EchoNode()) as node,
        edge(settings_for(tmp_path, node)) as addresses,
        client_of(addresses) as client,
        aiohttp.ClientSession() as http,
    ):
        tus = Tus(http, str(Address(host=addresses.web.host, port=addresses.web.port)))
        ids = []
        for path in (CLIP, MEDIA / "speech-papa.wav"):
            data = path.read_bytes()
            ids.append(await tus.patch(await tus.create(len(data)), 0, data))
        request = job_pb2.SubmitJobRequest(video_asset_id=ids[0], speech_asset_id=ids[1])
        job = (await client.jobs.SubmitJob(request)).job
        await client.events(job.job_id)
        job = await client.job(job.job_id)
        assert job.state == job_pb2.JOB_STATE_SUCCEEDED, job.error
