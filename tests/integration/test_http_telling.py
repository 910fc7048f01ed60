"""A job that is submitted over HTTP with a time of its own, and with somewhere to tell its end."""

import asyncio
from pathlib import Path

from tests.caller import CLIP, SPEECH
from tests.integration.test_http_jobs import ended, serving
from tests.webhooks import receiving


async def test_a_job_whose_time_is_over_fails_and_that_is_told(tmp_path: Path) -> None:
    with receiving() as receiver:
        hosts = (f"127.0.0.1:{receiver.port}",)
        async with serving(tmp_path, webhook_hosts=hosts) as caller:
            files = {"video": await caller.upload(CLIP), "speech": await caller.upload(SPEECH)}
            ask = {**files, "webhook": receiver.url, "timeout_s": 0.5}
            status, job, _ = await caller.ask("POST", "/jobs", ask)
            assert status == 201, job
            failed = await ended(caller, job["job_id"], "failed")
            assert (failed["error"]["reason"], failed["error"]["field"]) == ("deadline_exceeded", "timeout")
            await asyncio.to_thread(receiver.wait, 1)
            (told,) = receiver.told()
            assert (told["type"], told["data"]["job_id"]) == ("job.failed", job["job_id"])

            for wrong, field in (({"webhook": "http://127.0.0.1:9/"}, "webhook"), ({"timeout_s": -1}, "timeout")):
                status, refused, _ = await caller.ask("POST", "/jobs", {**files, **wrong})
                assert (status, refused["error"]["field"]) == (400, field)
