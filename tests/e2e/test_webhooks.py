"""Jobs' ends reach their receiver whatever is killed in between."""

import asyncio
import subprocess
import time
import urllib.request
from functools import partial
from pathlib import Path

import pytest

import viseme
from tests.stack import Stack
from tests.webhooks import receiving

pytestmark = pytest.mark.stack


def until_counted(stack: Stack, line: str) -> None:
    page = f"http://{stack.parts['edge'].ready.addresses['metrics']}/metrics"
    end = time.monotonic() + 20
    while True:
        with urllib.request.urlopen(page) as answer:
            if line in answer.read().decode():
                return
        assert time.monotonic() < end, f"{line} is not on the page"


async def test_a_jobs_end_is_told_though_the_edge_was_killed_before_anybody_took_it(
    tmp_path: Path, portrait: Path, short_speech: Path
) -> None:
    with receiving() as receiver:
        port, url = receiver.port, receiver.url
        flags = ("--webhook-hosts", f"127.0.0.1:{port}")
    with Stack(folder=tmp_path, with_node=False, edge_flags=flags) as stack:
        async with viseme.connect(stack.edge) as edge:
            job = await edge.dub(portrait, short_speech, webhook=url)
            await job.uploaded()
            await job.cancel()
            (waiting,) = [webhook async for webhook in edge.webhooks.list()]
            assert (waiting.job_id, waiting.type) == (job.id, "job.cancelled")
            assert waiting.state is viseme.WebhookState.WAITING
        stack.kill("edge")
        with receiving(port) as receiver:
            stack.start("edge")
            ((headers, body), *_) = await asyncio.to_thread(receiver.wait, 1)
            command = ("webhooks", "secret", "--data", str(tmp_path / "edge"))
            run = partial(subprocess.run, capture_output=True, text=True, check=True)
            secret = (await asyncio.to_thread(run, stack.command(*command)[:-2])).stdout
            told = viseme.verify_webhook(headers, body, secret.strip())
            assert (told.id, told.job_id, told.state) == (waiting.id, job.id, viseme.JobState.CANCELLED)
            with pytest.raises(viseme.InvalidInputError) as refused:
                viseme.verify_webhook(headers, body + b" ", secret.strip())
            assert refused.value.field == "webhook-signature"
            with pytest.raises(viseme.InvalidInputError) as late:
                viseme.verify_webhook(headers, body, secret.strip(), tolerance_s=-1)
            assert late.value.field == "webhook-timestamp"
            listed = stack.viseme("webhooks", "list").stdout
            assert told.id in listed
            stack.viseme("webhooks", "replay", told.id)
            got = await asyncio.to_thread(receiver.wait, 2)
            assert {one["webhook-id"] for one, _ in got} == {told.id}
            await asyncio.to_thread(
                until_counted, stack, 'viseme_edge_webhook_tries_total{edge="edge",region="",state="delivered"} 2.0'
            )


async def test_a_host_that_nobody_allowed_is_refused_with_the_name_of_the_setting(
    stack: Stack, portrait: Path, short_speech: Path
) -> None:
    async with viseme.connect(stack.edge) as edge:
        with pytest.raises(viseme.InvalidInputError) as refused:
            await edge.dub(portrait, short_speech, webhook="http://127.0.0.1:9/")
    assert (refused.value.field, refused.value.limit) == ("webhook", "webhook_hosts")
