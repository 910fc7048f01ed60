"""Measurements by a page, behind a real web server."""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest
from starlette.applications import Starlette

from edge_gateway.identity import Identity
from edge_gateway.neighbours import Neighbours
from edge_gateway.peers import Peers
from edge_gateway.web.limits import WebLimits
from edge_gateway.web.network import NetworkPages
from edge_gateway.web.server import serve_web
from shared.rpc.address import Address

LIMITS = WebLimits(body_bytes=100, body_s=0.3, stall_s=1, probe_bytes=5000, job_list=3)


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    identity = Identity(version="0", name="here", region="eu", address=lambda: "127.0.0.1:50051", engines=tuple)
    app = Starlette(routes=NetworkPages(LIMITS, Neighbours(identity, Peers(""))).routes())
    async with (
        serve_web(app, Address(host="127.0.0.1", port=0), grace_s=0.5) as address,
        aiohttp.ClientSession(f"http://{address}") as http,
    ):
        yield http


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_ping_is_answered_with_nothing(http: aiohttp.ClientSession, method: str) -> None:
    async with http.request(method, "/ping") as answer:
        assert (answer.status, await answer.read()) == (204, b"")
        assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("size", [0, 1, 5000])
async def test_bytes_come_and_are_counted(http: aiohttp.ClientSession, size: int) -> None:
    async with http.get(f"/probe?size_bytes={size}") as answer:
        data = await answer.read()
    assert (answer.status, len(data)) == (200, size)
    async with http.post("/probe", data=data) as answer:
        assert await answer.json() == {"received_bytes": size}


@pytest.mark.parametrize(("query", "status"), [("5001", 413), ("-1", 400), ("x", 400), ("9" * 40, 400)])
async def test_a_measurement_that_is_none_is_refused(http: aiohttp.ClientSession, query: str, status: int) -> None:
    async with http.get(f"/probe?size_bytes={query}") as answer:
        told = (await answer.json())["error"]
        assert (answer.status, told["field"]) == (status, "size_bytes")
        assert told["limit"] == ("probe_bytes" if status == 413 else "")


async def test_more_bytes_than_belong_to_a_measurement_are_refused(http: aiohttp.ClientSession) -> None:
    async with http.post("/probe", data=b"x" * 5001) as answer:
        assert (answer.status, (await answer.json())["error"]["limit"]) == (413, "probe_bytes")


async def test_a_measurement_that_does_not_come_is_given_up(http: aiohttp.ClientSession) -> None:
    never = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield b"x"
        await never.wait()

    async with http.post("/probe", data=body()) as answer:
        assert (answer.status, (await answer.json())["error"]["limit"]) == (504, "request_body_s")


@pytest.mark.parametrize("headers", [{"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}])
async def test_pages_of_other_hosts_may_not_send(http: aiohttp.ClientSession, headers: dict[str, str]) -> None:
    async with http.post("/probe", data=b"x", headers=headers) as answer:
        assert (answer.status, (await answer.json())["error"]["field"]) == (403, next(iter(headers)))


async def test_an_edge_without_peers_names_itself(http: aiohttp.ClientSession) -> None:
    async with http.get("/edges") as answer:
        (only,) = (await answer.json())["edges"]
    assert only == {"name": "here", "region": "eu", "address": "127.0.0.1:50051", "web": ""}
