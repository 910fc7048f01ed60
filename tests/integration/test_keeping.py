"""What an edge lets go of by itself, and what it does not."""

import asyncio
import shutil
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import viseme
from edge_gateway.app import edge
from tests.caller import CLIP, SPEECH, Caller, Events
from tests.integration.test_edge_gateway import EchoNode, running_node, settings_for
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


async def test_who_looks_is_told_when_things_go_and_nothing_where_they_stay(tmp_path: Path) -> None:
    day_s = 86_400
    async with serving(tmp_path, EchoNode(), job_keep_s=2 * day_s, asset_keep_s=9 * day_s) as caller:
        before = datetime.now(UTC)
        job_id, result_id, video_id = await finished(caller)
        job, video = await caller.get(f"/jobs/{job_id}"), await caller.get(f"/assets/{video_id}")
        for told, kept_s in ((job, 2 * day_s), (video, 9 * day_s)):
            left_s = (datetime.fromisoformat(told["expire_time"]) - before).total_seconds()
            # To the minute, and a renewed lease is written down now and then.
            assert kept_s - 60 <= left_s <= kept_s + 120
        assert (await caller.get(f"/assets/{result_id}"))["expire_time"] is None
        listed = await caller.get("/jobs")
        assert listed["jobs"][0]["expire_time"] is not None
        faces = await caller.get("/faces")
        assert faces["faces"][0]["asset"]["expire_time"] is not None
    async with serving(tmp_path) as caller:
        assert (await caller.get(f"/jobs/{job_id}"))["expire_time"] is None
        assert (await caller.get(f"/assets/{video_id}"))["expire_time"] is None


async def test_the_sdk_and_the_command_line_tell_it_too(tmp_path: Path) -> None:
    async with (
        running_node(EchoNode()) as node,
        edge(settings_for(tmp_path, node, job_keep_s=3600, result_keep_s=7200)) as at,
        viseme.connect(str(at.rpc)) as client,
    ):
        asset = await client.upload(CLIP)
        job = await client.dub(asset, SPEECH)
        assert (job.status.expires, (await client.assets.get(asset.id)).expires) == (None, None)
        await job.wait()
        status = await job.refresh()
        result = await client.assets.get(status.result_asset_id)
        assert status.expires is not None
        assert result.expires is not None
        assert 3000 < (result.expires - status.expires).total_seconds() < 4200
        for words in (("jobs",), ("assets", "list")):
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "shared.cli", *words, "--edge", str(at.rpc)), stdout=asyncio.subprocess.PIPE
            )
            out, _ = await process.communicate()
            lines = [line for line in out.decode().splitlines() if job.id in line or result.id in line]
            assert len(lines) == 1
            assert "(until 20" in lines[0]


async def test_events_go_with_their_job_and_a_mark_that_it_was_deleted_stays(tmp_path: Path) -> None:
    async with serving(tmp_path, EchoNode()) as caller:
        job_id, _, _ = await finished(caller)
        code, _, _ = await caller.ask("DELETE", f"/jobs/{job_id}")
        assert code == 204
        with closing(sqlite3.connect(tmp_path / "edge.db")) as connection:
            assert connection.execute("SELECT COUNT(*) FROM events").fetchone() == (0,)
            assert connection.execute("SELECT job_id FROM deleted_jobs").fetchall() == [(job_id,)]
