"""Libraries over HTTP, behind a real web server."""

import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from starlette.applications import Starlette

from edge_gateway.web.library import LINES, LibraryPages
from edge_gateway.web.limits import WebLimits
from edge_gateway.web.server import serve_web
from shared.rpc.address import Address

Bench = Any
"""See conftest.py."""


LIMITS = WebLimits(body_bytes=16 << 10, body_s=5, stall_s=5, probe_bytes=1, job_list=1)


@pytest.fixture
async def http(bench: Bench) -> AsyncIterator[aiohttp.ClientSession]:
    bench.place.put("anna.mp4", b"anna")
    bench.place.put("c/carla.mp4", b"carla")
    app = Starlette(routes=LibraryPages(bench.libraries, LIMITS).routes())
    async with (
        serve_web(app, Address(host="127.0.0.1", port=0), grace_s=0.5) as address,
        aiohttp.ClientSession(f"http://{address}") as session,
    ):
        yield session


async def test_libraries_and_pages_of_their_files_are_told(http: aiohttp.ClientSession) -> None:
    async with http.get("/library") as answer:
        assert await answer.json() == {"libraries": ["stock", "teachers"]}
    async with http.get("/library", params={"library": "teachers", "page_size": "1"}) as answer:
        first = await answer.json()
    assert [file["name"] for file in first["files"]] == ["lib:teachers/anna.mp4"]
    more = {"library": "teachers", "page_size": "1", "page_token": first["next_page_token"]}
    async with http.get("/library", params=more) as answer:
        second = await answer.json()
    assert [(file["name"], file["size_bytes"]) for file in second["files"]] == [("lib:teachers/c/carla.mp4", 5)]
    assert second["next_page_token"] == ""
    async with http.get("/library", params={"library": "teachers", "page_size": "x"}) as answer:
        assert answer.status == 400
    async with http.get("/library", params={"library": "pupils"}) as answer:
        assert answer.status == 404


async def test_a_file_is_added(http: aiohttp.ClientSession) -> None:
    async with http.post("/assets", json={"name": "lib:teachers/anna.mp4"}) as answer:
        assert answer.status == 200
        asset = (await answer.json())["asset"]
    assert asset["display_name"] == "anna.mp4"
    async with http.post("/assets", json={"name": "lib:teachers/c/carla.mp4"}, headers={"Accept": LINES}) as answer:
        lines = [json.loads(line) async for line in answer.content]
    assert "progress" in lines[0]
    assert lines[-1]["asset"]["size_bytes"] == 5
    async with http.get("/library", params={"library": "teachers"}) as answer:
        assert (await answer.json())["files"][0]["asset_id"] == asset["asset_id"]


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        ('{"name": "lib:teachers/anna.mp4"}', {"Origin": "https://elsewhere.example"}, 403),
        ('{"name": "lib:teachers/anna.mp4"}', {"Sec-Fetch-Site": "cross-site"}, 403),
        ('{"name": "lib:teachers/anna.mp4"}', {"Content-Type": "text/plain"}, 400),
        ('{"name": "lib:teachers/../anna.mp4"}', {}, 400),
        ('{"name": "lib:teachers/nobody.mp4"}', {}, 404),
        ('{"name": 7}', {}, 400),
        ("[" * 9000, {}, 400),
        ("[]", {}, 400),
        ("x" * 20_000, {}, 413),
    ],
)
async def test_what_is_not_to_be_added_is_refused(
    http: aiohttp.ClientSession, body: str, headers: dict[str, str], status: int
) -> None:
    sent = {"Content-Type": "application/json", **headers}
    async with http.post("/assets", data=body, headers=sent) as answer:
        assert answer.status == status
        assert (await answer.json())["error"]["message"]
