"""A real edge over HTTP: many results as one file, and what is refused of pages and scripts."""

import io
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.caller import CLIP, SPEECH, Caller
from tests.integration.test_edge_gateway import EchoNode
from tests.integration.test_http_jobs import ended, serving

_DISK = 24 << 20


def copy_job(database: Path, job_id: str, count: int) -> list[str]:
    """Write down more jobs that succeeded like one; gives their ids."""
    with closing(sqlite3.connect(database)) as opened:
        opened.row_factory = sqlite3.Row
        row = dict(opened.execute("SELECT * FROM jobs WHERE job_id = ?", (job_id,)).fetchone())
        del row["number"]
        names = [f"job-{number:020x}" for number in range(count)]
        for name in names:
            values = {**row, "job_id": name, "idempotency_key": None}
            places = ", ".join(f":{key}" for key in values)
            opened.execute(f"INSERT INTO jobs ({', '.join(values)}) VALUES ({places})", values)  # noqa: S608
        opened.commit()
    return names


async def done_job(caller: Caller) -> str:
    job_id: str = (await caller.submit())["job_id"]
    await ended(caller, job_id)
    return job_id


async def test_more_results_than_the_disk_holds_come_as_one_file(
    tmp_path: Path, small_disk: Callable[[Path, int], Path]
) -> None:
    data = small_disk(tmp_path / "disk", _DISK)
    more = {"disk_reserve_bytes": 0}
    async with serving(data, EchoNode(), **more) as caller:
        job_id = await done_job(caller)
        result = await caller.get(f"/jobs/{job_id}")
        asset = await caller.get(f"/assets/{result['result_asset_id']}")
        _, content, _ = await caller.ask("GET", f"/jobs/{job_id}/result")
    copies = _DISK // asset["size_bytes"] + 20
    names = copy_job(data / "edge.db", job_id, copies)
    async with serving(data, zip_jobs=copies, **more) as caller:
        free = os.statvfs(data).f_bavail
        form = {"job": names}
        async with caller.http.post("/results.zip", data=[("job", name) for name in form["job"]]) as answer:
            assert answer.status == 200
            body = await answer.read()
        assert len(body) == int(answer.headers["content-length"]) > _DISK
        assert free - os.statvfs(data).f_bavail < 100  # blocks: nothing was copied
        with ZipFile(io.BytesIO(body)) as archive:
            told = archive.namelist()
            assert told[:2] == ["clip-dubbed.mp4", "clip-dubbed (2).mp4"]
            assert len(set(told)) == copies
            assert archive.read(told[-1]) == content
        # One more than may be asked for at once.
        async with caller.http.post("/results.zip", data=[("job", one) for one in [*names, job_id]]) as answer:
            error = (await answer.json())["error"]
            assert (answer.status, error["limit"], error["field"]) == (413, "zip_jobs", "job")


async def test_a_file_of_results_is_refused_before_its_first_byte(tmp_path: Path) -> None:
    async with serving(tmp_path, EchoNode()) as caller:
        job_id = await done_job(caller)
        status, body, headers = await caller.ask("GET", f"/results.zip?job={job_id}&job={job_id}")
        assert (status, headers["content-type"]) == (200, "application/zip")
        with ZipFile(io.BytesIO(body)) as archive:
            assert archive.namelist() == ["clip-dubbed.mp4"]
        async with caller.http.head(f"/results.zip?job={job_id}") as head:
            assert head.headers["content-length"] == str(len(body))
        other = (await caller.submit(video=f"upload:{await caller.begin_upload(9)}"))["job_id"]
        for query, status in (
            ("", 400),
            ("job=x", 400),
            (f"job=job-{'0' * 20}", 404),
            (f"job={job_id}&job={other}", 409),
        ):
            answer, told, _ = await caller.ask("GET", f"/results.zip?{query}")
            assert answer == status
            assert told["error"]["field"] in {"job", "job_id"}
        status, _, _ = await caller.ask("POST", "/results.zip", {"job": job_id})
        assert status == 400


async def test_bad_input_of_every_kind_is_refused_in_words_and_the_edge_serves_on(tmp_path: Path) -> None:
    limits = {"request_body_bytes": 60_000, "job_list": 2}
    async with serving(tmp_path, **limits) as caller:
        video, speech = await caller.upload(CLIP), await caller.upload(SPEECH)
        ask = {"video": video, "speech": speech}
        for body, field in (
            ({}, "video"),
            ({**ask, "more": 1}, "more"),
            ({**ask, "video": 1}, "video"),
            ({**ask, "options": {"fit": "stretch"}}, "options.fit"),
            ({**ask, "options": {"keep_length": "yes"}}, "options.keep_length"),
            ({**ask, "options": {"background_volume": -1}}, "options.background_volume"),
            ({**ask, "options": {"speaker": {"position": "up"}}}, "options.speaker.position"),
            ({**ask, "options": {"speaker": {"places": [{"x": -1, "y": 0}]}}}, "options.speaker"),
            ({"video": speech, "speech": speech}, "video"),
        ):
            status, told, _ = await caller.ask("POST", "/jobs", body)
            assert (status // 100, told["error"]["field"]) == (4, field), told
        for text in ("", "{", "[]", '{"video": "\\ud800"}', "9" * 500):
            async with caller.http.post("/jobs", data=text, headers={"Content-Type": "application/json"}) as answer:
                assert answer.status == 400
        status, told, _ = await caller.ask("POST", "/jobs", {**ask, "background": "x" * 60_000})
        assert (status, told["error"]["limit"]) == (413, "request_body_bytes")
        places = [{"time_s": number, "x": 1, "y": 1} for number in range(1001)]
        for options, limit in (
            ({"speaker": {"places": places[:1000]}, "background_volume": 3}, "background_volume"),
            ({"speaker": {"places": places}}, "speaker_places"),
            ({"voices": [{"name": str(number), "speech": speech} for number in range(4)]}, "voices"),
        ):
            status, told, _ = await caller.ask("POST", "/jobs", {**ask, "options": options})
            assert (status, told["error"]["limit"]) == (413, limit), told
        status, told, _ = await caller.ask("POST", "/jobs/delete", {"job_ids": ["a", "b", "c"]})
        assert (status, told["error"]["limit"]) == (413, "job_list")
        status, told, _ = await caller.ask("POST", "/jobs", ask, Idempotency_Key="k" * 129)
        assert (status, told["error"]["field"]) == (413, "idempotency_key")
        status, told, _ = await caller.ask("GET", "/nothing")
        assert (status, told["error"]["reason"]) == (404, "not_found")
        status, told, _ = await caller.ask("PUT", "/jobs")
        assert (status, told["error"]["field"]) == (405, "path")
        assert (await caller.get("/jobs"))["jobs"] == []


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/jobs"),
        ("POST", "/jobs/delete"),
        ("POST", f"/jobs/job-{'0' * 20}/cancel"),
        ("POST", f"/jobs/job-{'0' * 20}/retry"),
        ("DELETE", f"/jobs/job-{'0' * 20}"),
        ("DELETE", f"/assets/{'0' * 64}"),
        ("POST", "/assets"),
        ("POST", "/results.zip"),
        ("POST", "/probe"),
        ("POST", "/files/"),
    ],
)
async def test_pages_of_other_hosts_may_change_nothing(tmp_path: Path, method: str, path: str) -> None:
    async with serving(tmp_path) as caller:
        for header in ({"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
            status, told, _ = await caller.ask(method, path, {}, **header, Tus_Resumable="1.0.0")
            assert (status, told["error"]["field"]) == (403, next(iter(header)).replace("_", "-"))


async def test_names_that_lead_elsewhere_or_write_backwards_are_shown_and_packed_safely(tmp_path: Path) -> None:
    async with serving(tmp_path, EchoNode()) as caller:
        for name, shown in (
            ("../../etc/pass\u202ewd4pm.exe", "passwd4pm.exe"),
            ("x" * 3000 + ".mp4", "x" * 196 + ".mp4"),
        ):
            asset_id = await caller.upload(CLIP, name)
            assert (await caller.get(f"/assets/{asset_id}"))["display_name"] == shown
            job = await caller.submit(video=asset_id)
            await ended(caller, job["job_id"])
            _, body, _ = await caller.ask("GET", f"/results.zip?job={job['job_id']}")
            with ZipFile(io.BytesIO(body)) as archive:
                (packed,) = archive.namelist()
            assert packed.endswith("-dubbed.mp4") or len(packed.encode()) <= 180
            assert not set(packed) & set("/\\\u202e")
            await caller.ask("DELETE", f"/jobs/{job['job_id']}")
            assert (await caller.ask("DELETE", f"/assets/{asset_id}"))[0] == 204
