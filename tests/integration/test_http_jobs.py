"""A real edge over HTTP: jobs, what happens to them, and what is to be seen of them."""

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import pytest
from PIL import Image

from edge_gateway.app import edge
from tests.caller import CLIP, SPEECH, Caller, calling
from tests.integration.test_edge_gateway import EchoNode, running_node, settings_for


@asynccontextmanager
async def serving(data: Path, node: EchoNode | None = None, **more: object) -> AsyncIterator[Caller]:
    """A caller of an edge, and of a node where one is given."""
    if node is None:
        async with edge(settings_for(data, "127.0.0.1:1", **more)) as addresses, calling(addresses.web) as caller:
            yield caller
        return
    async with (
        running_node(node) as address,
        edge(settings_for(data, address, **more)) as addresses,
        calling(addresses.web) as caller,
    ):
        yield caller


async def ended(caller: Caller, job_id: str, state: str = "succeeded") -> Any:
    """The job once it has ended."""
    async with caller.events(f"?job={job_id}", after=0) as events:
        while True:
            told = await events.until("state", job_id=job_id)
            if told["data"]["state"] in {"succeeded", "failed", "cancelled"}:
                break
    job = await caller.get(f"/jobs/{job_id}")
    assert job["state"] == state, job
    return job


async def test_a_job_is_submitted_followed_seen_found_tried_again_and_deleted(tmp_path: Path) -> None:
    async with serving(tmp_path, EchoNode()) as caller, caller.events() as events:
        assert (await events.next())["event"] == "hello"
        job = await caller.submit()
        assert job["video"]["display_name"] == "clip.mp4"
        await events.until("state", job_id=job["job_id"], state="succeeded")
        numbers = [int(one["id"]) for one in events.told if "id" in one]
        assert numbers == sorted(set(numbers))
        sequences = [one["data"]["sequence"] for one in events.told if one["data"].get("job_id") == job["job_id"]]
        assert sequences == list(range(1, len(sequences) + 1))

        done = await caller.get(f"/jobs/{job['job_id']}")
        assert done["report"]["frames"] > 0
        assert done["last_sequence"] == len(sequences)
        assert (done["error"], done["progress"]) == (None, {})
        for path in (f"/jobs/{job['job_id']}/still.jpg", f"/assets/{done['video']['asset_id']}/picture.jpg"):
            status, data, headers = await caller.ask("GET", path)
            assert (status, headers["content-type"]) == (200, "image/jpeg")
            assert max(Image.open(io.BytesIO(data)).size) <= 480
            status, _, _ = await caller.ask("GET", path, If_None_Match=headers["etag"])
            assert status == 304
        (face,) = (await caller.get("/faces"))["faces"]
        assert (face["asset"]["asset_id"], face["jobs"]) == (done["video"]["asset_id"], 1)
        assert (await caller.get("/status"))["pace"]["frames_s"] > 0

        status, again, headers = await caller.ask("POST", f"/jobs/{job['job_id']}/retry", Idempotency_Key="again")
        assert (status, headers["location"]) == (201, f"/jobs/{again['job_id']}")
        assert again["options"] == job["options"]
        status, same, _ = await caller.ask("POST", f"/jobs/{job['job_id']}/retry", Idempotency_Key="again")
        assert (status, same["job_id"]) == (200, again["job_id"])
        await ended(caller, again["job_id"])

        listed = await caller.get("/jobs?page_size=1&query=CLIP&state=succeeded,failed")
        assert [one["job_id"] for one in listed["jobs"]] == [again["job_id"]]
        rest = await caller.get(f"/jobs?query=CLIP&page_token={listed['next_page_token']}")
        assert [one["job_id"] for one in rest["jobs"]] == [job["job_id"]]
        assert (await caller.get("/jobs?query=nothing"))["jobs"] == []
        assert (await caller.get("/jobs?state=failed"))["jobs"] == []

        names = [job["job_id"], again["job_id"], "job-" + "0" * 20, "x"]
        status, told, _ = await caller.ask("POST", "/jobs/delete", {"job_ids": names})
        assert (status, told["deleted"]) == (200, names[:2])
        assert [one["error"]["reason"] for one in told["refused"]] == ["not_found", "invalid_input"]
        await events.until("deleted", job_id=again["job_id"])
        assert (await caller.get("/jobs"))["jobs"] == []
        status, _, _ = await caller.ask("GET", f"/assets/{done['result_asset_id']}")
        assert status == 404
        assert (await caller.get("/faces"))["faces"][0]["jobs"] == 2


async def test_a_job_that_runs_is_seen_and_cancelled_and_says_where_its_time_goes(tmp_path: Path) -> None:
    node = EchoNode(hold=asyncio.Event())
    async with serving(tmp_path, node) as caller, caller.events() as events:
        job = await caller.submit()
        job_id = job["job_id"]
        assert (await caller.ask("GET", f"/jobs/{job_id}/still.jpg"))[0] == 404
        await events.until("state", job_id=job_id, state="rendering")
        while (told := await events.until("edge"))["data"]["jobs"].get(job_id, {}).get("where") != "gpu":
            pass
        assert told["data"]["running"] == 1
        assert told["data"]["node_up"]
        assert told["data"]["round_trip_s"] < 5
        assert (await caller.ask("DELETE", f"/jobs/{job_id}"))[0] == 409
        status, cancelled, _ = await caller.ask("POST", f"/jobs/{job_id}/cancel")
        assert (status, cancelled["state"]) == (200, "cancelled")
        await events.until("state", job_id=job_id, state="cancelled")
        assert (await caller.ask("DELETE", f"/jobs/{job_id}"))[0] == 204
        await events.until("deleted", job_id=job_id)
        node.hold = None


class AfterTwo(asyncio.Event):
    """Lets two segments through before it is set."""

    through = 0

    async def wait(self) -> Literal[True]:
        self.through += 1
        return True if self.through <= 2 else await super().wait()


async def test_the_newest_frame_of_a_job_is_seen_while_it_runs(tmp_path: Path) -> None:
    node = EchoNode(hold=AfterTwo())
    async with serving(tmp_path, node) as caller, caller.events() as events:
        job_id = (await caller.submit())["job_id"]
        path = f"/jobs/{job_id}/still.jpg"
        await events.until("progress", job_id=job_id, stage="composite")
        status, data, headers = await caller.ask("GET", path)
        assert (status, Image.open(io.BytesIO(data)).format) == (200, "JPEG")
        tag = headers["etag"]
        running = await caller.get(f"/jobs/{job_id}")
        assert running["progress"]["composite"]["done_frames"] > 0
        assert running["progress"].keys() >= {"prepare", "composite"}
        assert node.hold is not None
        node.hold.set()
        await events.until("state", job_id=job_id, state="succeeded")
        status, _, headers = await caller.ask("GET", path)
        assert status == 200
        assert headers["etag"] != tag
        assert headers["cache-control"] == "private, no-cache"


async def test_a_page_that_was_cut_off_in_the_middle_misses_nothing(tmp_path: Path) -> None:
    async with serving(tmp_path, EchoNode()) as caller:
        async with caller.events() as events:
            hello = await events.next()
            job = await caller.submit()
            first = await events.until("state", state="rendering")
            seen = [int(one["id"]) for one in events.told if "id" in one and one is not hello]
        await ended(caller, job["job_id"])
        async with caller.events(after=int(first["id"])) as events:
            await events.until("state", state="succeeded")
            seen += [int(one["id"]) for one in events.told[1:] if "id" in one]
        assert seen == list(range(seen[0], seen[-1] + 1))


async def test_a_job_is_submitted_before_its_uploads_have_ended(tmp_path: Path) -> None:
    video, speech = CLIP.read_bytes(), SPEECH.read_bytes()
    async with serving(tmp_path, EchoNode()) as caller, caller.events() as events:
        uploads = [await caller.begin_upload(len(video), "me.mp4"), await caller.begin_upload(len(speech), "hi.wav")]
        await caller.append(uploads[0], 0, video[:100_000])
        ask = {"video": f"upload:{uploads[0]}", "speech": f"upload:{uploads[1]}"}
        status, job, _ = await caller.ask("POST", "/jobs", ask, Idempotency_Key="k")
        assert (status, job["state"]) == (201, "queued")
        assert job["video"] == {"asset_id": ask["video"], "display_name": "me.mp4"}
        told = await events.until("notice", reason="upload_awaited")
        assert told["data"]["message"] == "Waiting for the upload of the video and of the speech."
        while (await events.until("edge"))["data"]["jobs"].get(job["job_id"], {}).get("where") != "connection":
            pass
        assert (await caller.append(uploads[1], 0, speech))[0] == 204
        assert (await caller.get(f"/jobs/{job['job_id']}"))["state"] == "queued"
        _, asset_id = await caller.append(uploads[0], 100_000, video[100_000:])
        await events.until("state", job_id=job["job_id"], state="succeeded")
        done = await caller.get(f"/jobs/{job['job_id']}")
        assert done["video"] == {"asset_id": asset_id, "display_name": "me.mp4"}
        assert [face["asset"]["asset_id"] for face in (await caller.get("/faces"))["faces"]] == [asset_id]
        # A page that did not hear the answer asks again.
        status, same, _ = await caller.ask("POST", "/jobs", ask, Idempotency_Key="k")
        assert (status, same["job_id"]) == (200, job["job_id"])


async def test_two_tabs_that_upload_the_same_file_both_get_their_job(tmp_path: Path) -> None:
    video = CLIP.read_bytes()
    async with serving(tmp_path, EchoNode()) as caller:
        speech = await caller.upload(SPEECH)
        uploads = [await caller.begin_upload(len(video)) for _ in range(2)]
        jobs = [await caller.submit(video=f"upload:{upload}", speech=speech) for upload in uploads]
        for upload in uploads:
            assert (await caller.append(upload, 0, video[:50_000]))[0] == 204
        answers = [await caller.append(upload, 50_000, video[50_000:]) for upload in reversed(uploads)]
        done = [await ended(caller, job["job_id"]) for job in jobs]
        assert {asset_id for _, asset_id in answers} == {job["video"]["asset_id"] for job in done}
        assert len((await caller.get("/assets?kind=video"))["assets"]) == 1


async def test_a_job_outlives_the_edge_while_it_waits_for_its_upload(tmp_path: Path) -> None:
    video = CLIP.read_bytes()
    async with serving(tmp_path) as caller:
        upload = await caller.begin_upload(len(video))
        await caller.append(upload, 0, video[:1000])
        job = await caller.submit(video=f"upload:{upload}")
    async with serving(tmp_path, EchoNode()) as caller:
        assert (await caller.get(f"/jobs/{job['job_id']}"))["state"] == "queued"
        await caller.append(upload, 1000, video[1000:])
        await ended(caller, job["job_id"])


@pytest.mark.parametrize("end", ["deleted", "no media", "expired"])
async def test_a_job_fails_with_the_upload_that_it_waits_for(tmp_path: Path, end: str) -> None:
    more = {"tus_expire_s": 1.0} if end == "expired" else {}
    async with serving(tmp_path, **more) as caller:
        speech = await caller.upload(SPEECH)
        upload = await caller.begin_upload(100)
        job = await caller.submit(video=f"upload:{upload}", speech=speech)
        if end == "deleted":
            status, _, _ = await caller.ask("DELETE", f"/files/{upload}", Tus_Resumable="1.0.0")
            assert status == 204
        elif end == "no media":
            assert (await caller.append(upload, 0, b"x" * 100))[0] == 422
        error = (await ended(caller, job["job_id"], "failed"))["error"]
        words = {"deleted": "deleted before", "no media": "content is not", "expired": "given up"}[end]
        assert (error["field"], words in error["message"]) == ("video", True), error
        status, told, _ = await caller.ask("POST", f"/jobs/{job['job_id']}/retry")
        assert (status, told["error"]["field"]) == (422 if end == "no media" else 404, "video")


async def test_what_is_no_upload_is_refused(tmp_path: Path) -> None:
    async with serving(tmp_path) as caller:
        speech = await caller.upload(SPEECH)
        for name, status in (("upload:x", 400), (f"upload:{'0' * 32}", 404), ("../../etc/passwd", 400)):
            answer, told, _ = await caller.ask("POST", "/jobs", {"video": name, "speech": speech})
            assert (answer, told["error"]["field"]) == (status, "video")
