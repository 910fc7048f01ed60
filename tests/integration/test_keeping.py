"""What an edge lets go of by itself, and what it does not."""

import asyncio
from pathlib import Path

from tests.caller import Caller, Events
from tests.integration.test_edge_gateway import EchoNode
from tests.integration.test_http_jobs import ended, serving

SHORT_S = 0.001


async def gone(events: Events, job_id: str) -> None:
    """Wait until the job was deleted, before or after the stream began."""
    while True:
        told = await events.next()
        assert told, "the stream has ended"
        if told["event"] == "deleted" and told["data"]["job_id"] == job_id:
            return


async def finished(caller: Caller) -> tuple[str, str, str]:
    """The ids of a job that succeeded, of its result and of its video."""
    job = await ended(caller, (await caller.submit())["job_id"])
    return job["job_id"], job["result_asset_id"], job["video"]["asset_id"]


async def status(caller: Caller, path: str) -> int:
    code, _, _ = await caller.ask("GET", path)
    return int(code)


async def test_a_job_goes_with_its_result_and_its_files_stay(tmp_path: Path) -> None:
    async with serving(tmp_path, EchoNode()) as caller:
        job_id, result_id, video_id = await finished(caller)
    async with serving(tmp_path, job_keep_s=SHORT_S) as caller, caller.events(after=0) as events:
        await gone(events, job_id)
        assert await status(caller, f"/jobs/{job_id}") == 404
        assert await status(caller, f"/assets/{result_id}") == 404
        assert await status(caller, f"/assets/{video_id}") == 200


async def test_a_result_goes_alone_and_its_job_says_what_is_missing(tmp_path: Path) -> None:
    async with serving(tmp_path, EchoNode()) as caller:
        job_id, result_id, _ = await finished(caller)
    async with serving(tmp_path, result_keep_s=SHORT_S) as caller:
        async with asyncio.timeout(30):
            while await status(caller, f"/assets/{result_id}") != 404:
                pass
        assert (await caller.get(f"/jobs/{job_id}"))["state"] == "succeeded"
        code, told, _ = await caller.ask("GET", f"/jobs/{job_id}/result")
        assert (code, told["error"]["reason"]) == (404, "not_found")
