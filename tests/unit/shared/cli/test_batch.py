"""``viseme batch`` as a process of its own, against an edge on a real port."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from shared.cli.manifest import NAME
from shared.lock import locked
from shared.pb.viseme.gateway.v1 import job_pb2
from shared.sdk.model import JobState
from shared.sdk.testing import RESULT, FakeEdge, state, succeeding

ROOT = Path(__file__).resolve().parents[4]


@dataclass
class Ended:
    code: int
    out: str
    err: str

    def items(self) -> dict[str, dict[str, Any]]:
        told = [json.loads(line) for line in self.out.splitlines()]
        return {line["output"]: line for line in told if line["event"] == "item"}

    def last(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.out.splitlines()[-1])
        return told


class Desk:
    """A folder with clips, and the command line."""

    def __init__(self, folder: Path, address: str) -> None:
        self.folder = folder
        self.address = address
        self.out = folder / "out"
        self.clips = folder / "clips"
        self.clips.mkdir()
        for name in "abc":
            (self.clips / f"{name}.mp4").write_bytes(name.encode() * 1000)
            (self.clips / f"{name}.wav").write_bytes(name.encode() * 100)

    async def start(self, *arguments: str | Path) -> asyncio.subprocess.Process:
        environ = {**os.environ, "HOME": str(self.folder), "PYTHONPATH": str(ROOT)}
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "shared.cli", "batch", *map(str, arguments)),
            *("-o", str(self.out), "--edge", self.address),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environ,
            cwd=self.folder,
        )

    async def run(self, *arguments: str | Path) -> Ended:
        return await ended(await self.start(*arguments))

    def results(self) -> list[str]:
        return sorted(path.name for path in self.out.glob("*.mp4"))

    def manifest(self) -> dict[str, Any]:
        items: dict[str, Any] = json.loads((self.out / NAME).read_text())["items"]
        return items


async def ended(process: asyncio.subprocess.Process) -> Ended:
    out, err = await process.communicate()
    assert process.returncode is not None
    assert b"Traceback" not in err, err.decode()
    return Ended(process.returncode, out.decode(), err.decode())


@pytest.fixture
async def fake() -> AsyncIterator[FakeEdge]:
    async with FakeEdge() as made:
        yield made


@pytest.fixture
def desk(fake: FakeEdge, tmp_path: Path) -> Desk:
    return Desk(tmp_path, fake.address)


async def until_jobs(fake: FakeEdge, count: int) -> None:
    async with asyncio.timeout(20):
        while len(fake.jobs) < count:  # noqa: ASYNC110 - the fake tells nobody
            await asyncio.sleep(0.02)


async def test_a_folder_becomes_a_folder_of_results_and_again_nothing_is_done(fake: FakeEdge, desk: Desk) -> None:
    first = await desk.run(desk.clips)
    assert first.code == 0, first.err
    assert desk.results() == ["a.mp4", "b.mp4", "c.mp4"]
    assert (desk.out / "a.mp4").read_bytes() == RESULT
    assert "3 of 3 done" in first.err
    again = await desk.run(desk.clips, "--json")
    assert again.code == 0
    assert again.last() == {"event": "batch", "output": str(desk.out), "done": 0, "failed": 0, "there": 3, "total": 3}
    assert len(fake.jobs) == 3


async def test_only_what_is_missing_is_done(fake: FakeEdge, desk: Desk) -> None:
    assert (await desk.run(desk.clips)).code == 0
    (desk.out / "a.mp4").unlink()
    (desk.clips / "b.wav").write_bytes(b"another speech")
    again = await desk.run(desk.clips, "--json")
    assert again.code == 0, again.err
    assert set(again.items()) == {"a.mp4", "b.mp4"}
    # The result that was removed was fetched again, not made again.
    assert len(fake.jobs) == 4


async def test_one_failure_stops_nothing_and_the_exit_code_tells(fake: FakeEdge, desk: Desk) -> None:
    listed = desk.folder / "list.csv"
    listed.write_text("clips/a.mp4,clips/a.wav\nclips/none.mp4,clips/a.wav,missing\nclips/b.mp4,clips/b.wav\n")
    told = await desk.run(listed, "--json", "--concurrency", "1")
    assert told.code == 3
    assert {name: item["state"] for name, item in told.items().items()} == {
        "a.mp4": "done",
        "missing.mp4": "failed",
        "b.mp4": "done",
    }
    assert told.items()["missing.mp4"]["error"]["field"] == "video"
    assert told.last()["failed"] == 1
    (desk.clips / "none.mp4").write_bytes(b"here it is")
    again = await desk.run(listed)
    assert again.code == 0, again.err
    assert desk.results() == ["a.mp4", "b.mp4", "missing.mp4"]
    assert len(fake.jobs) == 3


async def test_a_job_that_failed_is_asked_for_anew_at_the_next_run(fake: FakeEdge, desk: Desk) -> None:
    fake.script = [state(JobState.PREPARING), state(JobState.FAILED)]
    failed = await desk.run(desk.clips, "--json")
    assert failed.code == 3
    assert {item["error"]["reason"] for item in failed.items().values()} == {"no_face"}
    fake.script = succeeding()
    again = await desk.run(desk.clips)
    assert again.code == 0, again.err
    assert len(fake.jobs) == 6


async def test_ctrl_c_cancels_what_runs_and_says_how_to_go_on(fake: FakeEdge, desk: Desk) -> None:
    fake.script = []
    process = await desk.start(desk.clips, "--concurrency", "2")
    await until_jobs(fake, 2)
    await fake.happen("job-1", *succeeding())
    await until_jobs(fake, 3)
    process.send_signal(signal.SIGINT)
    told = await ended(process)
    assert told.code == 130
    assert f"viseme batch {desk.clips} --concurrency 2 -o" in told.err
    assert {job.state for job in list(fake.jobs.values())[1:]} == {job_pb2.JOB_STATE_CANCELLED}
    fake.script = succeeding()
    again = await desk.run(desk.clips, "--concurrency", "2")
    assert again.code == 0, again.err
    assert desk.results() == ["a.mp4", "b.mp4", "c.mp4"]


async def test_a_run_that_was_killed_finds_its_jobs_again(fake: FakeEdge, desk: Desk) -> None:
    fake.script = []
    process = await desk.start(desk.clips)
    await until_jobs(fake, 3)
    process.kill()
    await process.communicate()
    for job_id in list(fake.jobs):
        await fake.happen(job_id, *succeeding())
    again = await desk.run(desk.clips)
    assert again.code == 0, again.err
    assert len(fake.jobs) == 3
    assert {item["state"] for item in desk.manifest().values()} == {"done"}


async def test_a_shared_recording_is_sent_once(fake: FakeEdge, desk: Desk) -> None:
    told = await desk.run(desk.clips, "--speech", desk.clips / "a.wav", "--fit", "loop")
    assert told.code == 0, told.err
    assert desk.results() == ["a.mp4", "b.mp4", "c.mp4"]
    assert fake.uploads == 4
    assert {request.options.fit for request in fake.submitted} == {job_pb2.FIT_MODE_LOOP}


async def test_an_edge_that_is_not_there_is_told_and_the_next_run_goes_on(fake: FakeEdge, desk: Desk) -> None:
    await fake.stop()
    told = await desk.run(desk.clips, "--json")
    assert told.code == 4
    assert {item["error"]["reason"] for item in told.items().values()} == {"edge_unavailable"}
    await fake.start()
    assert (await desk.run(desk.clips)).code == 0


async def test_what_is_wrong_is_told_before_anything_is_sent(fake: FakeEdge, desk: Desk) -> None:
    empty = desk.folder / "empty"
    empty.mkdir()
    assert (await desk.run(empty)).code == 3
    assert (await desk.run(desk.folder / "none.csv")).code == 2
    with locked(desk.out):
        told = await desk.run(desk.clips)
    assert told.code == 1
    assert "another batch" in told.err
    (desk.out / NAME).write_text("{}")
    told = await desk.run(desk.clips)
    assert told.code == 3
    assert "no manifest" in told.err
    assert not fake.jobs
