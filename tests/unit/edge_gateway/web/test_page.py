"""The page as it is sent: small enough for the first window of TCP, nothing of others in it, and a policy that fits."""

import base64
import gzip
import hashlib
import re
from collections.abc import AsyncIterator

import aiohttp
import brotli
import pytest
from starlette.applications import Starlette

from edge_gateway.web.pack import Bundle, pack
from edge_gateway.web.page import Page
from edge_gateway.web.server import serve_web
from shared.rpc.address import Address

PAGE_BYTES = 14_000


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return pack()


@pytest.fixture
async def site(bundle: Bundle) -> AsyncIterator[str]:
    async with serve_web(Starlette(routes=Page(bundle).routes()), Address(host="127.0.0.1", port=0), grace_s=1) as at:
        yield f"http://{at}"


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        yield session


def test_the_page_fits_the_first_window_of_tcp(bundle: Bundle) -> None:
    assert len(bundle.page.brotli) <= PAGE_BYTES
    assert brotli.decompress(bundle.page.brotli) == bundle.page.plain
    assert gzip.decompress(bundle.page.gzip) == bundle.page.plain


def test_nothing_comes_from_other_hosts(bundle: Bundle) -> None:
    for packed in (bundle.page, *bundle.parts.values()):
        addresses = set(re.findall(rb"(?:https?:)?//[a-z0-9.-]+\.[a-z]{2,}", packed.plain))
        assert addresses <= {b"http://www.w3.org"}  # the name of SVG


def test_nothing_of_it_is_ever_made_html(bundle: Bundle) -> None:
    for packed in (bundle.page, *bundle.parts.values()):
        assert not re.search(rb"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", packed.plain)


def test_the_policy_names_the_script_and_the_style_and_no_others(bundle: Bundle) -> None:
    page = bundle.page.plain.decode()
    rules = dict(rule.split(" ", 1) for rule in bundle.policy.split("; "))
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    (script,) = re.findall(r'<script type="module">(.*?)</script>', page, re.DOTALL)
    assert rules["style-src"] == f"'{sha256(style)}'"
    assert rules["script-src"] == f"'self' '{sha256(script)}'"
    assert rules["default-src"] == rules["frame-ancestors"] == rules["base-uri"] == "'none'"
    assert "unsafe" not in bundle.policy


def sha256(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("gzip, deflate, br, zstd", "br"),
        ("gzip;q=1.0, br;q=0", "gzip"),
        ("gzip, br;q=0.0", "gzip"),
        ("gzip", "gzip"),
        ("", None),
        ("zstd", None),
    ],
)
async def test_the_smallest_coding_that_the_browser_takes(
    site: str, http: aiohttp.ClientSession, bundle: Bundle, accepted: str, coding: str | None
) -> None:
    async with http.get(site, headers={"Accept-Encoding": accepted}) as answer:
        body = await answer.read()
        assert answer.headers.get("Content-Encoding") == coding
        assert answer.headers["Vary"] == "Accept-Encoding"
    whole = {"br": brotli.decompress, "gzip": gzip.decompress, None: bytes}[coding](body)
    assert whole == bundle.page.plain


async def test_a_browser_that_has_the_page_is_not_sent_it_again(site: str, http: aiohttp.ClientSession) -> None:
    async with http.get(site, headers={"Accept-Encoding": "br"}) as answer:
        etag = answer.headers["ETag"]
        assert answer.headers["Cache-Control"] == "no-cache"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    async with http.get(site, headers={"Accept-Encoding": "br", "If-None-Match": etag}) as answer:
        assert (answer.status, await answer.read()) == (304, b"")
    async with http.get(site, headers={"Accept-Encoding": "gzip", "If-None-Match": etag}) as answer:
        assert answer.status == 200


async def test_parts_are_kept_for_ever_and_named_by_what_they_are(
    site: str, http: aiohttp.ClientSession, bundle: Bundle
) -> None:
    assert {name.split(".")[0] for name in bundle.parts} == {
        "batch", "edges", "faces", "history", "job", "options", "player", "record", "upload",
    }  # fmt: skip
    for name in bundle.parts:
        assert f"/page/{name}".encode() in bundle.page.plain
        async with http.get(f"{site}/page/{name}", headers={"Accept-Encoding": "br"}) as answer:
            assert answer.status == 200
            assert "immutable" in answer.headers["Cache-Control"]
            assert answer.headers["Content-Type"].startswith("text/javascript")
    async with http.get(f"{site}/page/upload.000000000000.js") as answer:
        assert answer.status == 404
        assert (await answer.json())["error"]["reason"] == "not_found"
