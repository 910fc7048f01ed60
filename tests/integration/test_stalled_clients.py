"""Clients that stop reading: the edge's memory stays what it is, and others do not notice."""

import asyncio
import os
import socket
import struct
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import grpc
import psutil
import pytest

import viseme
from shared.pb.viseme.gateway.v1 import asset_pb2, asset_pb2_grpc
from tests.stack import Stack

pytestmark = pytest.mark.stack

CLIP = Path(__file__).resolve().parent.parent / "media" / "clip.mp4"
SIZE = 96 << 20
EACH = 6
"""Clients of each kind; if the edge kept what they do not read, that were 1152 MiB."""
GROWTH = 160 << 20


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A clip with so much behind it."""
    path = tmp_path / "clip.mp4"
    path.write_bytes(CLIP.read_bytes() + struct.pack(">I4s", SIZE, b"free"))
    with path.open("r+b") as file:
        file.seek(0, os.SEEK_END)
        file.truncate(file.tell() + SIZE - 8)
    return path


async def unread(address: str, path: str) -> socket.socket:
    """Ask for a file and read nothing of it."""
    host, _, port = address.rpartition(":")
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
    client.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(client, (host, int(port)))
    await loop.sock_sendall(client, f"GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n".encode())
    return client


async def test_clients_that_stop_reading_cost_no_memory(large: Path) -> None:
    with Stack(with_node=False) as stack:
        web, edge_process = stack.parts["edge"].ready.addresses["web"], psutil.Process(stack.parts["edge"].process.pid)
        async with AsyncExitStack() as opened:
            edge = await opened.enter_async_context(viseme.connect(stack.edge))
            http = await opened.enter_async_context(aiohttp.ClientSession())
            asset = await edge.upload(large)
            path = f"/assets/{asset.id}/content"

            async def read_all() -> int:
                """A client that reads: by its end the others have had their time."""
                async with http.get(f"http://{web}{path}") as answer:
                    return sum([len(piece) async for piece in answer.content.iter_chunked(1 << 20)])

            assert await read_all() == asset.size_bytes
            before = edge_process.memory_info().rss
            for number in range(EACH):
                client = await unread(web, path)
                opened.callback(client.close)
                options = [("grpc.use_local_subchannel_pool", 1), ("viseme.number", number)]
                channel = grpc.aio.insecure_channel(stack.edge, options=options)
                opened.push_async_callback(channel.close, None)
                call = asset_pb2_grpc.AssetServiceStub(channel).Download(asset_pb2.DownloadRequest(asset_id=asset.id))
                assert (await call.read()).size_bytes == asset.size_bytes
                opened.callback(call.cancel)
            for _ in range(3):
                assert await read_all() == asset.size_bytes
            growth = edge_process.memory_info().rss - before
            assert growth < GROWTH, f"{growth >> 20} MiB more"
