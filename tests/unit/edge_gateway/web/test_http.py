"""Connections of clients that do not say what they want."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from edge_gateway.web.http import HeadLimits
from edge_gateway.web.server import serve_web
from shared.rpc.address import Address

HEAD = b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n"


@pytest.fixture
async def address() -> AsyncIterator[Address]:
    async def echo(request: Request) -> PlainTextResponse:
        return PlainTextResponse(await request.body())

    app = Starlette(routes=[Route("/echo", echo, methods=["POST"])])
    head = HeadLimits(bytes=8 << 10, seconds=0.4)
    async with serve_web(app, Address(host="127.0.0.1", port=0), grace_s=0.1, head=head) as here:
        yield here


@pytest.mark.parametrize("said", [b"", HEAD, HEAD + b"\r\nhello" + HEAD], ids=["nothing", "half a head", "and again"])
async def test_a_head_that_does_not_come_ends_the_connection(address: Address, said: bytes) -> None:
    reader, writer = await asyncio.open_connection(address.host, address.port)
    writer.write(said)
    async with asyncio.timeout(4):
        answered = await reader.read()
    assert answered.endswith(b"hello") == (b"hello" in said)
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize("line", [b"X-A: b\r\n", b"x"], ids=["many", "one"])
async def test_a_head_without_end_is_refused(address: Address, line: bytes) -> None:
    reader, writer = await asyncio.open_connection(address.host, address.port)
    writer.write(HEAD + line * (20_000 // len(line)))
    async with asyncio.timeout(4):
        assert (await reader.readline()).startswith(b"HTTP/1.1 4")
    writer.close()
    await writer.wait_closed()


async def test_a_body_may_take_its_time(address: Address) -> None:
    reader, writer = await asyncio.open_connection(address.host, address.port)
    writer.write(HEAD + b"\r\nhel")
    silent, its_writer = await asyncio.open_connection(address.host, address.port)
    assert await silent.read() == b""  # longer than a head may take
    its_writer.close()
    writer.write(b"lo")
    async with asyncio.timeout(4):
        assert (await reader.readuntil(b"hello")).startswith(b"HTTP/1.1 200")
    writer.close()
    await writer.wait_closed()
