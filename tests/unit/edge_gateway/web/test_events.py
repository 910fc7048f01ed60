"""Events over HTTP, behind a real web server."""

import asyncio
import json
import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from starlette.applications import Starlette

from edge_gateway.jobs.figures import Figures, JobFigures, Where
from edge_gateway.jobs.job import Event, JobState, Notice, Progress, Severity, Stage, StateChanged
from edge_gateway.jobs.news import JobDeleted, News, NewsItem
from edge_gateway.web.events import EventPages
from edge_gateway.web.limits import WebLimits
from edge_gateway.web.server import serve_web
from shared.rpc.address import Address

ONE, TWO = (f"job-{number:020x}" for number in (1, 2))
BODIES = (
    StateChanged(state=JobState.QUEUED),
    Progress(stage=Stage.INFER, done_frames=1, total_frames=2, done_bytes=3),
    Notice(severity=Severity.WARNING, reason="odd", message="Ein Wort: 好\nand a line"),
)
FIGURES = Figures(
    time_us=1_000_000,
    node_up=True,
    round_trip_s=0.08,
    up_bits_s=None,
    running=1,
    queued=2,
    jobs={ONE: JobFigures(where=Where.LINK, stages={Stage.SEND: 1.5}), TWO: JobFigures(where=Where.EDGE, stages={})},
)


@dataclass(slots=True)
class FakeLog:
    """A log in memory."""

    items: list[NewsItem] = field(default_factory=list)

    async def newest(self) -> int:
        return self.items[-1].number if self.items else 0

    async def since(self, after: int, limit: int, jobs: Any) -> list[NewsItem]:
        found = [item for item in self.items if item.number > after and (jobs is None or item.job_id in jobs)]
        return found[:limit]

    async def reaches(self, after: int) -> bool:
        return after <= await self.newest()


@dataclass(slots=True)
class FakeGauge:
    last: Figures | None = None


@dataclass(slots=True, kw_only=True)
class Watcher:
    """A page that watches."""

    log: FakeLog
    news: News
    gauge: FakeGauge
    address: Address
    http: aiohttp.ClientSession

    def happen(self, job_id: str, body: Any) -> None:
        number = len(self.log.items) + 1
        self.log.items.append(
            Event(job_id=job_id, sequence=number, time_us=1_500_000, body=body, number=number)
            if body
            else JobDeleted(number=number, job_id=job_id, time_us=1_500_000)
        )
        self.news.stir()

    @asynccontextmanager
    async def stream(self, query: str = "", **headers: str) -> AsyncIterator["Stream"]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.http.get(f"http://{self.address}/events{query}", headers=named) as answer:
            yield Stream(answer)


@dataclass(slots=True)
class Stream:
    """An open stream."""

    answer: aiohttp.ClientResponse

    async def next(self) -> dict[str, Any]:
        told: dict[str, Any] = {}
        async with asyncio.timeout(5):
            while line := (await self.answer.content.readline()).decode().rstrip("\n"):
                key, _, value = line.partition(": ")
                told[key] = json.loads(value) if key == "data" else value
        return told

    async def upto(self, number: int) -> list[dict[str, Any]]:
        told = [await self.next()]
        while told[-1].get("id") != str(number):
            told.append(await self.next())
        return told


@asynccontextmanager
async def watching(followers: int = 3, stall_s: float = 30) -> AsyncIterator[Watcher]:
    log, gauge = FakeLog(), FakeGauge()
    news = News(log, followers=followers)
    fake: Any = gauge
    limits = WebLimits(body_bytes=1, body_s=1, stall_s=stall_s, probe_bytes=1, job_list=1)
    app = Starlette(routes=EventPages(news, fake, limits).routes())
    telling = asyncio.create_task(news.run())
    async with (
        serve_web(app, Address(host="127.0.0.1", port=0), grace_s=0.5) as address,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http,
    ):
        yield Watcher(log=log, news=news, gauge=gauge, address=address, http=http)
        news.close()
    telling.cancel()


@pytest.fixture
async def watcher() -> AsyncIterator[Watcher]:
    async with watching() as watcher:
        yield watcher


async def test_a_stream_that_is_opened_a_thousand_times_leaves_the_edge_serving() -> None:
    async with watching(followers=100) as watcher, AsyncExitStack() as stack:
        opened = await asyncio.gather(*(stack.enter_async_context(watcher.stream()) for _ in range(1000)))
        statuses = Counter(stream.answer.status for stream in opened)
        assert statuses == {200: 100, 429: 900}
        watcher.happen(ONE, BODIES[0])
        served = [stream for stream in opened if stream.answer.status == 200]
        for told in await asyncio.gather(*(stream.upto(1) for stream in served)):
            assert told[-1]["data"]["state"] == "queued"


async def test_whoever_takes_nothing_is_cut_off_and_makes_room() -> None:
    async with watching(followers=1, stall_s=0.2) as watcher:
        loop = asyncio.get_running_loop()
        with socket.socket() as stalled:
            stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 12)
            stalled.setblocking(False)
            await loop.sock_connect(stalled, (watcher.address.host, watcher.address.port))
            await loop.sock_sendall(stalled, b"GET /events HTTP/1.1\r\nHost: edge\r\n\r\n")
            assert await loop.sock_recv(stalled, 12) == b"HTTP/1.1 200"
            notice = Notice(severity=Severity.INFO, reason="long", message="x" * 60_000)
            for _ in range(200):
                watcher.happen(ONE, notice)
            async with asyncio.timeout(10):
                while True:
                    watcher.happen(ONE, BODIES[1])  # something that has to wait for what is not taken
                    async with watcher.stream() as stream:
                        if stream.answer.status == 200:
                            break
            # Its connection is cut, with what waited to be sent, and not only forgotten.
            assert await asyncio.wait_for(_read_all(stalled), 10) < 200 * 60_000


async def _read_all(connection: socket.socket) -> int:
    read = 0
    while data := await asyncio.get_running_loop().sock_recv(connection, 1 << 20):
        read += len(data)
    return read


async def test_a_page_is_greeted_with_the_number_of_now_and_then_told_what_happens(watcher: Watcher) -> None:
    watcher.happen(ONE, BODIES[0])
    async with watcher.stream() as stream:
        assert stream.answer.headers["content-type"] == "text/event-stream"
        assert stream.answer.headers["cache-control"] == "no-store"
        hello = await stream.next()
        assert (hello["event"], hello["id"], hello["data"]) == ("hello", "1", {"number": 1, "resumed": False})
        for body in BODIES:
            watcher.happen(TWO, body)
        watcher.happen(TWO, None)
        told = await stream.upto(5)
    about = {"job_id": TWO, "time": "1970-01-01T00:00:01.500Z"}
    assert [(one["event"], one["id"], one["data"]) for one in told] == [
        ("state", "2", {**about, "sequence": 2, "state": "queued"}),
        (
            "progress",
            "3",
            {**about, "sequence": 3, "stage": "infer", "done_frames": 1, "total_frames": 2, "done_bytes": 3},
        ),
        (
            "notice",
            "4",
            {**about, "sequence": 4, "severity": "warning", "reason": "odd", "message": BODIES[2].message},
        ),
        ("deleted", "5", about),
    ]


@pytest.mark.parametrize("way", ["header", "query", "both"])
async def test_a_page_that_was_cut_off_goes_on_with_what_it_missed(watcher: Watcher, way: str) -> None:
    for _ in range(5):
        watcher.happen(ONE, BODIES[1])
    query = {"header": "", "query": "?after=3", "both": "?after=1"}[way]
    headers = {} if way == "query" else {"Last_Event_ID": "3"}
    async with watcher.stream(query, **headers) as stream:
        assert (await stream.next())["data"] == {"number": 3, "resumed": True}
        assert [one["id"] for one in await stream.upto(5)] == ["4", "5"]
        watcher.happen(ONE, BODIES[1])
        assert [one["id"] for one in await stream.upto(6)] == ["6"]


async def test_a_page_that_knows_another_edge_begins_anew(watcher: Watcher) -> None:
    async with watcher.stream(Last_Event_ID="77") as stream:
        assert (await stream.next())["data"] == {"number": 0, "resumed": False}


async def test_a_page_may_name_its_jobs(watcher: Watcher) -> None:
    watcher.gauge.last = FIGURES
    async with watcher.stream(f"?job={TWO}") as stream:
        await stream.next()
        assert list((await stream.next())["data"]["jobs"]) == [TWO]
        watcher.happen(ONE, BODIES[0])
        watcher.happen(TWO, BODIES[0])
        assert [one["id"] for one in await stream.upto(2)] == ["2"]


async def test_a_page_is_told_where_the_time_goes(watcher: Watcher) -> None:
    async with watcher.stream() as stream:
        await stream.next()
        watcher.gauge.last = FIGURES
        watcher.news.wake()
        told = await stream.next()
    assert "id" not in told
    assert (told["event"], told["data"]) == (
        "edge",
        {
            "time": "1970-01-01T00:00:01.000Z",
            "node_up": True,
            "round_trip_s": 0.08,
            "up_bits_s": None,
            "running": 1,
            "queued": 2,
            "jobs": {ONE: {"where": "link", "stages": {"send": 1.5}}, TWO: {"where": "edge", "stages": {}}},
        },
    )


async def test_one_stream_too_many_is_refused_and_one_that_is_closed_makes_room(watcher: Watcher) -> None:
    async with watcher.stream() as first, watcher.stream() as second:
        async with watcher.stream() as third:
            for stream in (first, second, third):
                await stream.next()
            async with watcher.stream() as refused:
                told = (await refused.answer.json())["error"]
                assert (refused.answer.status, told["limit"], told["retryable"]) == (429, "event_streams", True)
                assert int(refused.answer.headers["retry-after"]) > 0
            third.answer.close()
        statuses = []
        while statuses[-1:] != [200] and len(statuses) < 200:
            async with watcher.stream() as fourth:
                statuses.append(fourth.answer.status)
        assert statuses[-1] == 200


@pytest.mark.parametrize("query", ["?job=job-1", "?after=-1", "?after=x", f"?after={'9' * 30}"])
async def test_a_stream_of_nothing_is_refused(watcher: Watcher, query: str) -> None:
    async with watcher.stream(query) as stream:
        assert stream.answer.status == 400


async def test_a_question_for_the_head_of_a_stream_is_answered_at_once(watcher: Watcher) -> None:
    async with watcher.http.head(f"http://{watcher.address}/events") as answer:
        assert (answer.status, answer.headers["content-type"]) == (200, "text/event-stream")


async def test_the_end_of_the_edge_ends_a_stream_in_order(watcher: Watcher) -> None:
    async with watcher.stream() as stream:
        await stream.next()
        watcher.news.close()
        assert await stream.answer.content.read() == b""
