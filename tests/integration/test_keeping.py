"""What an edge lets go of by itself, and what it does not."""

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

from tests.caller import CLIP, SPEECH, Caller, Events
from tests.integration.test_edge_gateway import EchoNode
from tests.integration.test_http_jobs import ended, serving

SHORT_S = 0.001
DISK_BYTES = 64 << 20


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


async def test_a_face_goes_alone_and_a_later_job_cuts_it_again(tmp_path: Path) -> None:
    async with serving(tmp_path, EchoNode()) as caller:
        await finished(caller)
    assert list((tmp_path / "faces").iterdir())
    async with serving(tmp_path, EchoNode(), face_keep_s=SHORT_S) as caller:
        async with asyncio.timeout(30):
            while list((tmp_path / "faces").iterdir()):
                await asyncio.to_thread(lambda: None)
        await finished(caller)


async def test_below_the_watermark_nothing_new_is_taken_and_what_was_taken_goes_on(
    small_disk: Callable[[Path, int], Path], tmp_path: Path
) -> None:
    disk = small_disk(tmp_path / "edge", DISK_BYTES)
    node = EchoNode(hold=asyncio.Event())
    assert node.hold is not None
    async with serving(disk, node, disk_watermark=0.5, disk_reserve_bytes=1 << 20) as caller:
        ask = {"video": await caller.upload(CLIP), "speech": await caller.upload(SPEECH)}
        _, accepted, _ = await caller.ask("POST", "/jobs", ask, Idempotency_Key="first")
        begun = await caller.begin_upload(CLIP.stat().st_size + 8, "longer.mp4")
        with (disk / "filler").open("wb") as filler:
            filler.write(bytes(shutil.disk_usage(disk).free - DISK_BYTES // 4))

        code, told, headers = await caller.ask("POST", "/jobs", ask)
        assert (code, told["error"]["reason"], told["error"]["limit"]) == (507, "disk_full", "disk_watermark")
        assert int(headers["Retry-After"]) > 0
        code, told, _ = await caller.ask("POST", "/jobs", ask, Idempotency_Key="first")
        assert told["job_id"] == accepted["job_id"]
        new = {"Tus-Resumable": "1.0.0", "Upload-Length": "9"}
        async with caller.http.post("/files/", headers=new) as answer:
            assert answer.status == 507
        # Both were taken before.
        data = CLIP.read_bytes() + b"\x00\x00\x00\x08free"
        assert (await caller.append(begun, 0, data))[0] == 204
        node.hold.set()
        await ended(caller, accepted["job_id"])

        (disk / "filler").unlink()
        await ended(caller, (await caller.submit(**ask))["job_id"])
