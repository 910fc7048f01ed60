"""Delivery: real HTTP, a real database, a clock that the test sets."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from edge_gateway.database import Database
from edge_gateway.jobs.job import Job, JobError, JobOptions, JobState
from edge_gateway.webhooks.courier import Courier, CourierLimits
from edge_gateway.webhooks.hosts import WebhookHosts
from edge_gateway.webhooks.outbox import Outbox, enqueue, strike_out
from edge_gateway.webhooks.post import Poster
from edge_gateway.webhooks.service import WebhookService
from edge_gateway.webhooks.webhook import Webhook, WebhookState
from shared.webhook import is_signed, new_secret
from tests.webhooks import receiving

SECRETS = (new_secret(), new_secret())
NOW_US = 1_700_000_000_000_000


class Clock:
    def __init__(self) -> None:
        self.us = NOW_US

    def __call__(self) -> int:
        return self.us


class Desk:
    """An outbox with its courier."""

    def __init__(self, database: Database, hosts: list[str], patience_s: float = 1000) -> None:
        self.clock = Clock()
        self.database = database
        self.outbox = Outbox(database, self.clock)
        self.hosts = WebhookHosts(hosts)
        self.courier = Courier(
            self.outbox,
            self.hosts,
            SECRETS,
            Poster(answer_s=2),
            limits=CourierLimits(at_once=4, patience_s=patience_s),
            clock_us=self.clock,
            jitter=lambda: 1.0,
        )
        self.service = WebhookService(self.outbox, self.hosts, self.courier, keep_s=100)

    async def end(self, url: str, job_id: str = "job-1", state: JobState = JobState.FAILED) -> None:
        job = Job(
            job_id=job_id,
            state=state,
            video_asset_id="v",
            speech_asset_id="s",
            options=JobOptions(webhook=url),
            created_us=NOW_US - 5,
            updated_us=self.clock.us,
            error=JobError(reason="no_face", field="video", message="none", limit="")
            if state.value == "failed"
            else None,
        )
        await self.database.run(lambda connection: enqueue(connection, job))
        self.courier.wake()

    async def all(self) -> list[Webhook]:
        return (await self.service.page(0, "", None))[0]

    async def until(self, true: Callable[[Webhook], bool]) -> Webhook:
        async with asyncio.timeout(20):
            while True:
                for webhook in await self.all():
                    if true(webhook):
                        return webhook
                await asyncio.sleep(0.01)


@asynccontextmanager
async def desk(tmp_path: Path, *hosts: str, patience_s: float = 1000) -> AsyncIterator[Desk]:
    async with Database.open(tmp_path / "edge.db") as database:
        made = Desk(database, list(hosts), patience_s)
        running = asyncio.create_task(made.courier.run())
        try:
            yield made
        finally:
            running.cancel()
            await asyncio.wait({running})


async def test_a_jobs_end_is_told_signed_and_once(tmp_path: Path) -> None:
    with receiving() as receiver:
        async with desk(tmp_path, f"127.0.0.1:{receiver.port}") as here:
            await here.end(receiver.url)
            done = await here.until(lambda webhook: webhook.state is WebhookState.DELIVERED)
            ((headers, body),) = await asyncio.to_thread(receiver.wait, 1)
    assert (done.status, done.tries, done.error) == (204, 1, "")
    assert headers["webhook-id"] == done.webhook_id
    assert headers["content-type"] == "application/json"
    assert int(headers["webhook-timestamp"]) == NOW_US // 1_000_000
    for secret in SECRETS:
        assert is_signed(secret, done.webhook_id, NOW_US // 1_000_000, body, headers["webhook-signature"])
    (told,) = receiver.told()
    assert told["type"] == "job.failed"
    assert told["data"]["error"]["reason"] == "no_face"
    assert told["data"]["job_id"] == "job-1"


async def test_what_is_not_taken_is_tried_again_later_and_later(tmp_path: Path) -> None:
    with receiving() as receiver:
        receiver.answers = [(500, {}), (302, {"Location": receiver.url}), (429, {"Retry-After": "100"})]
        async with desk(tmp_path, f"127.0.0.1:{receiver.port}") as here:
            await here.end(receiver.url)
            waits = []
            for tries in (1, 2, 3):
                waiting = await here.until(lambda webhook, tries=tries: webhook.tries == tries)
                waits.append((waiting.next_us - here.clock.us) / 1e6)
                assert waiting.state is WebhookState.WAITING
                here.clock.us = waiting.next_us
                here.courier.wake()
            done = await here.until(lambda webhook: webhook.state is WebhookState.DELIVERED)
            assert len(receiver.got) == 4
    assert waits == [5, 10, 100]
    assert done.tries == 4
    assert len({headers["webhook-id"] for headers, _ in receiver.got}) == 1
    assert len({headers["webhook-timestamp"] for headers, _ in receiver.got}) == 4
    assert len({body for _, body in receiver.got}) == 1


async def test_it_is_given_up_when_patience_ends_and_can_be_replayed(tmp_path: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
        async with desk(tmp_path, f"127.0.0.1:{port}", patience_s=4) as here:
            await here.end(f"http://127.0.0.1:{port}/")
            failed = await here.until(lambda webhook: webhook.state is WebhookState.FAILED)
            assert f"127.0.0.1:{port}" in failed.error
            nobody.close()
            with receiving(port) as receiver:
                first = await here.service.replay(failed.webhook_id, "key")
                assert first.state is WebhookState.WAITING
                done = await here.until(lambda webhook: webhook.state is WebhookState.DELIVERED)
                assert done.webhook_id == failed.webhook_id
                # The same key again: nothing more is sent.
                assert (await here.service.replay(failed.webhook_id, "key")).state is WebhookState.DELIVERED
                await here.service.replay(failed.webhook_id, "")
                await asyncio.to_thread(receiver.wait, 2)


async def test_a_receiver_that_has_gone_is_not_tried_again(tmp_path: Path) -> None:
    with receiving() as receiver:
        receiver.answers = [(410, {})]
        async with desk(tmp_path, f"127.0.0.1:{receiver.port}") as here:
            await here.end(receiver.url)
            failed = await here.until(lambda webhook: webhook.state is WebhookState.FAILED)
    assert (failed.status, failed.tries) == (410, 1)


async def test_a_host_that_is_not_allowed_any_more_gets_nothing(tmp_path: Path) -> None:
    with receiving() as receiver:
        async with desk(tmp_path, "elsewhere.example.org") as here:
            await here.end(receiver.url)
            failed = await here.until(lambda webhook: webhook.state is WebhookState.FAILED)
        assert "webhook_hosts" in failed.error
        assert not receiver.got


async def test_one_that_hangs_holds_up_nobody_else(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.2", 0)) as silent, receiving() as receiver:
        port = silent.getsockname()[1]
        async with desk(tmp_path, f"127.0.0.2:{port}", f"127.0.0.1:{receiver.port}") as here:
            for number in range(6):
                await here.end(f"http://127.0.0.2:{port}/", f"job-{number}")
            await here.end(receiver.url, "job-last")
            done = await here.until(lambda webhook: webhook.state is WebhookState.DELIVERED)
            assert done.job_id == "job-last"
            assert all(webhook.tries == 0 for webhook in await here.all() if webhook.job_id != "job-last")
            late = await here.until(lambda webhook: webhook.tries == 1 and "2 s" in webhook.error)
            assert late.state is WebhookState.WAITING


async def test_an_endless_answer_is_cut_off_and_its_status_counts(tmp_path: Path) -> None:
    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            while True:
                writer.write(b"1000\r\n" + b"x" * 4096 + b"\r\n")
                await writer.drain()
        except ConnectionError:
            cut.set()

    cut = asyncio.Event()
    server = await asyncio.start_server(pour, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, desk(tmp_path, f"127.0.0.1:{port}") as here:
        await here.end(f"http://127.0.0.1:{port}/")
        await here.until(lambda webhook: webhook.state is WebhookState.DELIVERED)
        await asyncio.wait_for(cut.wait(), 10)


async def test_old_ones_go_but_not_those_that_wait(tmp_path: Path) -> None:
    with receiving() as receiver:
        async with desk(tmp_path, f"127.0.0.1:{receiver.port}") as here:
            await here.end(receiver.url)
            await here.until(lambda webhook: webhook.state is WebhookState.DELIVERED)
            receiver.answers = [(500, {})] * 9
            await here.end(receiver.url, "job-2")
            await here.until(lambda webhook: webhook.tries == 1 and webhook.job_id == "job-2")
            here.clock.us += 200_000_000
            await here.outbox.sweep(100_000_000)
            assert [webhook.job_id for webhook in await here.all()] == ["job-2"]


async def test_what_was_told_of_a_deleted_job_goes_with_it_and_what_was_not_goes_once_it_is(tmp_path: Path) -> None:
    with receiving() as receiver:
        async with desk(tmp_path, f"127.0.0.1:{receiver.port}") as here:
            await here.end(receiver.url, "job-told")
            await here.until(lambda webhook: webhook.state is WebhookState.DELIVERED)
            receiver.answers = [(500, {})]
            await here.end(receiver.url, "job-untold")
            waiting = await here.until(lambda webhook: webhook.tries == 1 and webhook.job_id == "job-untold")
            for job_id in ("job-told", "job-untold"):
                await here.database.run(lambda connection, job_id=job_id: strike_out(connection, job_id))
            assert [webhook.job_id for webhook in await here.all()] == ["job-untold"]
            here.clock.us = waiting.next_us
            here.courier.wake()
            async with asyncio.timeout(20):
                while await here.all():
                    await here.database.run(lambda _: None)
            assert len(receiver.got) == 3
