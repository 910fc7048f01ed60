"""``viseme push`` and the uploads of ``viseme dub``, as processes of their own."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shared.cli.board import Board
from shared.pb.viseme.gateway.v1 import job_pb2
from shared.sdk.model import Stage, Transfer
from shared.sdk.testing import FakeEdge

ROOT = Path(__file__).resolve().parents[4]
MEGABYTE = 1_000_000


@pytest.fixture
async def fake() -> AsyncIterator[FakeEdge]:
    async with FakeEdge() as made:
        yield made


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"clip {number}.mp4" for number in range(6)]
    for number, path in enumerate(paths):
        path.write_bytes(bytes([number]) * MEGABYTE)
    return paths


async def start(fake: FakeEdge, folder: Path, *words: str | Path) -> asyncio.subprocess.Process:
    environ = {**os.environ, "HOME": str(folder), "PYTHONPATH": str(ROOT), "VISEME_EDGE": fake.address}
    pipe = asyncio.subprocess.PIPE
    command = (sys.executable, "-m", "shared.cli", *map(str, words))
    return await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe, env=environ, cwd=folder)


async def run(fake: FakeEdge, folder: Path, *words: str | Path) -> tuple[int | None, str, str]:
    process = await start(fake, folder, *words)
    out, err = await process.communicate()
    assert b"Traceback" not in err, err.decode()
    return process.returncode, out.decode(), err.decode()


async def test_files_are_pushed_and_a_bad_one_does_not_hold_up_the_others(
    fake: FakeEdge, files: list[Path], tmp_path: Path
) -> None:
    code, out, err = await run(fake, tmp_path, "push", *files, tmp_path / "no.mp4")
    assert code == 3
    assert {line.partition("  ")[2] for line in out.splitlines()} == {str(path) for path in files}
    assert {line.partition("  ")[0] for line in out.splitlines()} == set(fake.stored)
    assert f"viseme: {tmp_path / 'no.mp4'}: No such file" in err
    assert fake.received_bytes == len(files) * MEGABYTE


async def test_json_is_one_object_a_file(fake: FakeEdge, files: list[Path], tmp_path: Path) -> None:
    await run(fake, tmp_path, "push", files[0])
    code, out, _ = await run(fake, tmp_path, "push", "--json", "--rate", "50M", files[0], files[1], tmp_path)
    assert code == 3
    told = {one["path"]: one for one in map(json.loads, out.splitlines())}
    assert set(told) == {str(files[0]), str(files[1]), str(tmp_path)}
    assert {one["skipped_bytes"] for one in told.values()} == {MEGABYTE, 0}
    assert told[str(files[1])]["size_bytes"] == MEGABYTE
    assert told[str(files[1])]["asset_id"] in fake.stored
    assert told[str(tmp_path)]["error"]["reason"] == "invalid_input"


async def test_an_edge_that_is_not_there_is_asked_for_by_no_more_files_than_go_at_once(
    fake: FakeEdge, files: list[Path], tmp_path: Path
) -> None:
    await fake.stop()
    code, out, err = await run(fake, tmp_path, "push", *files)
    assert (code, out) == (4, "")
    assert err.count("does not answer") == len(files)


async def test_a_dub_that_was_killed_in_its_upload_goes_on_with_its_job(
    fake: FakeEdge, files: list[Path], tmp_path: Path
) -> None:
    speech = tmp_path / "speech.wav"
    speech.write_bytes(b"s" * 1000)
    words = ("dub", files[0], speech, "-o", tmp_path / "out.mp4")
    process = await start(fake, tmp_path, *words, "--limit-rate", "1K")
    assert process.stderr is not None
    while b"job-1" not in await process.stderr.readline():
        pass
    process.kill()
    await process.communicate()
    code, _, err = await run(fake, tmp_path, *words)
    assert code == 0
    assert "job job-1 of these files and options is not over: going on with it" in err
    assert list(fake.jobs) == ["job-1"]


async def test_ctrl_c_in_an_upload_cancels_the_job(fake: FakeEdge, files: list[Path], tmp_path: Path) -> None:
    speech = tmp_path / "speech.wav"
    speech.write_bytes(b"s" * 1000)
    words = ("dub", files[0], speech, "-o", tmp_path / "out.mp4", "--limit-rate", "1K")
    process = await start(fake, tmp_path, *words)
    assert process.stderr is not None
    while b"job-1" not in await process.stderr.readline():
        pass
    process.send_signal(signal.SIGINT)
    _, err = await process.communicate()
    assert process.returncode == 130
    assert b"job job-1 is cancelled" in err
    assert fake.jobs["job-1"].state == job_pb2.JOB_STATE_CANCELLED


def test_an_upload_by_another_client_is_called_so() -> None:
    board = Board()
    for done in (10, 20):
        board.moved(Stage.UPLOAD, Transfer(name="a", done_bytes=done << 20, size_bytes=30 << 20, by_other=True))
    assert board.line() == "upload 20.0/30.0 MiB, another upload of the same file is under way"
