"""Bodies and queries of requests, behind a real web server."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from edge_gateway.web.answer import HANDLERS, reading, writing
from edge_gateway.web.asks import JobIdsAsk, read_json, read_page
from edge_gateway.web.limits import WebLimits
from edge_gateway.web.routes import merged
from edge_gateway.web.server import serve_web
from shared.rpc.address import Address

LIMITS = WebLimits(body_bytes=100, body_s=0.3, stall_s=1, probe_bytes=1, job_list=3)


@reading
async def page(request: Request) -> Response:
    return JSONResponse(read_page(request))


@writing
async def jobs(request: Request) -> Response:
    return JSONResponse((await read_json(request, JobIdsAsk, LIMITS)).job_ids)


async def broken(request: Request) -> Response:
    raise RuntimeError(str(request.url))


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    routes = [Route("/", page, methods=["GET"]), Route("/", jobs, methods=["POST"]), Route("/broken", broken)]
    app = Starlette(routes=merged(routes), exception_handlers=HANDLERS)
    async with (
        serve_web(app, Address(host="127.0.0.1", port=0), grace_s=0.5) as address,
        aiohttp.ClientSession(f"http://{address}") as http,
    ):
        yield http


async def error_of(answer: aiohttp.ClientResponse) -> Any:
    assert answer.content_type == "application/json"
    return (await answer.json())["error"]


@pytest.mark.parametrize(
    ("body", "field", "status"),
    [
        (b'{"job_ids": ["a"], "more": 1}', "more", 400),
        (b'{"job_ids": [7]}', "job_ids.0", 400),
        (b'{"job_ids": []}', "job_ids", 400),
        (b"{}", "job_ids", 400),
        (b"[" * 90, "body", 400),
        (b"\xff", "body", 400),
        (b"x" * 101, "body", 413),
    ],
)
async def test_a_body_that_is_not_what_was_asked_for_is_refused_by_its_field(
    http: aiohttp.ClientSession, body: bytes, field: str, status: int
) -> None:
    async with http.post("/", data=body, headers={"Content-Type": "application/json; charset=utf-8"}) as answer:
        assert (answer.status, (await error_of(answer))["field"]) == (status, field)


async def test_a_body_must_say_that_it_is_json(http: aiohttp.ClientSession) -> None:
    async with http.post("/", data=b'{"job_ids": ["a"]}') as answer:
        assert (answer.status, (await error_of(answer))["field"]) == (400, "Content-Type")
    async with http.post("/", json={"job_ids": ["a"]}) as answer:
        assert await answer.json() == ["a"]


async def test_a_body_that_does_not_come_is_given_up(http: aiohttp.ClientSession) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    async with http.post("/", data=body(), headers={"Content-Type": "application/json"}) as answer:
        assert (answer.status, (await error_of(answer))["limit"]) == (504, "request_body_s")


@pytest.mark.parametrize(
    ("query", "told"), [("", [0, ""]), ("page_size=7&page_token=x", [7, "x"]), ("page_size=0500", [500, ""])]
)
async def test_a_page_has_a_size_and_a_token(http: aiohttp.ClientSession, query: str, told: list[Any]) -> None:
    async with http.get(f"/?{query}") as answer:
        assert await answer.json() == told


@pytest.mark.parametrize(("size", "status"), [("501", 413), ("-1", 400), ("x", 400), ("", 400), ("٣", 400)])
async def test_a_page_of_no_size_is_refused(http: aiohttp.ClientSession, size: str, status: int) -> None:
    async with http.get("/", params={"page_size": size}) as answer:
        assert (answer.status, (await error_of(answer))["field"]) == (status, "page_size")


async def test_what_nobody_answers_is_refused_in_the_same_shape(http: aiohttp.ClientSession) -> None:
    async with http.put("/") as answer:
        assert (answer.status, (await error_of(answer))["field"]) == (405, "path")
        assert {method.strip() for method in answer.headers["allow"].split(",")} == {"GET", "HEAD", "POST"}
    async with http.get("/nothing") as answer:
        assert (answer.status, (await error_of(answer))["reason"]) == (404, "not_found")
    async with http.get("/broken") as answer:
        assert (answer.status, (await error_of(answer))["reason"]) == (500, "internal")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://evil.example"}, 403),
    ],
)
async def test_pages_of_other_hosts_may_look_and_change_nothing(
    http: aiohttp.ClientSession, headers: dict[str, str], status: int
) -> None:
    async with http.post("/", json={"job_ids": ["a"]}, headers=headers) as answer:
        assert answer.status == status
    async with http.get("/", headers=headers) as answer:
        assert answer.status == 200
        assert "access-control-allow-origin" not in answer.headers
