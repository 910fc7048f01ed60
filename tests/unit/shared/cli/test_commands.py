"""The command line as a process of its own, against an edge on a real port."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from shared import errors
from shared.cli.exits import ExitCode, exit_code
from shared.lock import locked
from shared.pb.viseme.gateway.v1 import job_pb2
from shared.sdk.model import JobState, Stage
from shared.sdk.testing import RESULT, FakeEdge, progress, state

ROOT = Path(__file__).resolve().parents[4]


@dataclass
class Ended:
    code: int
    out: str
    err: str

    def objects(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


Cli = Callable[..., Coroutine[Any, Any, Ended]]


async def start(
    tmp_path: Path, *arguments: str | Path, out: int = asyncio.subprocess.PIPE
) -> asyncio.subprocess.Process:
    environ = {**os.environ, "HOME": str(tmp_path), "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "default"}
    for name in ("XDG_DATA_HOME", "XDG_STATE_HOME", "VISEME_EDGE"):
        environ.pop(name, None)
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "shared.cli",
        *map(str, arguments),
        stdout=out,
        stderr=asyncio.subprocess.PIPE,
        env=environ,
        cwd=tmp_path,
    )


async def finish(process: asyncio.subprocess.Process) -> Ended:
    out, err = await process.communicate()
    assert process.returncode is not None
    ended = Ended(process.returncode, (out or b"").decode(), err.decode())
    assert "Traceback" not in ended.err, ended.err
    return ended


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    async def run(*arguments: str | Path) -> Ended:
        return await finish(await start(tmp_path, *arguments))

    return run


@pytest.fixture
async def fake() -> AsyncIterator[FakeEdge]:
    async with FakeEdge() as made:
        yield made


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    video, speech = tmp_path / "my clip.mp4", tmp_path / "speech.wav"
    video.write_bytes(b"v" * 3_000_000)
    speech.write_bytes(b"s" * 1000)
    return video, speech


async def test_dub_writes_the_result_the_report_and_the_waterfall(
    fake: FakeEdge, cli: Cli, files: tuple[Path, Path], tmp_path: Path
) -> None:
    output, report = tmp_path / "out.mp4", tmp_path / "report.json"
    ended = await cli("dub", *files, "-o", output, "--edge", fake.address, "--fit", "loop", "--report", report)
    assert ended.code == 0, ended.err
    assert output.read_bytes() == RESULT
    assert ended.out.strip() == str(output)
    told = json.loads(report.read_text())
    assert set(told) == {
        "job_id", "frames", "fps", "segments", "stages", "wan", "engine", "link_profile",
        "sync", "unscored", "untouched_frames", "untouched", "untouched_left_out",
    }  # fmt: skip
    assert told["sync"] == {"score": 88, "lag_ms": -5, "correlation": 0.636, "amplitude": 0.988}
    assert told["untouched"] == [{"start_seconds": 0.0, "end_seconds": 0.12, "reason": "no_face"}]
    assert list(told["stages"]) == [
        "upload", "wait", "prepare", "send", "queue", "infer", "return", "composite", "download", "total",
    ]  # fmt: skip
    assert told["wan"] == {"up_bytes": 1000, "down_bytes": 2000}
    assert (told["frames"], told["fps"], told["segments"], told["engine"]) == (50, 25, 1, "warp")
    assert told["stages"]["upload"] > 0
    assert told["stages"]["total"] >= told["stages"]["upload"]
    assert "prepare" in ended.err
    assert "between edge and node: 1.0 kB up, 2.0 kB down" in ended.err
    assert "sync score: 88 of 100, lips 5 ms early" in ended.err
    assert "3 frames passed through untouched\n  0.00 to 0.12 s: no face" in ended.err
    assert fake.jobs["job-1"].options.fit == job_pb2.FIT_MODE_LOOP


async def test_a_background_is_a_file_or_what_the_video_has(
    fake: FakeEdge, cli: Cli, files: tuple[Path, Path], tmp_path: Path
) -> None:
    music = tmp_path / "keep"
    music.write_bytes(b"music")
    common = ("dub", *files, "-o", tmp_path / "out.mp4", "--edge", fake.address)
    ended = await cli(*common, "--background", music, "--background-volume", "0.1")
    assert ended.code == 0, ended.err
    job = fake.jobs["job-1"]
    assert fake.stored[job.background_asset_id].data == b"music"
    assert job.options.background_volume == pytest.approx(0.1)
    assert (await cli(*common, "--background", "keep")).code == 0
    assert fake.jobs["job-2"].options.keep_sound
    assert (await cli(*common, "--background", tmp_path / "none.mp3")).code == 3
    assert "background: " in (await cli(*common, "--background", tmp_path / "none.mp3")).err
    assert (await cli(*common, "--background", "keep", "--background-volume", "3")).code == 2


async def test_json_is_all_there_is_on_stdout(
    fake: FakeEdge, cli: Cli, files: tuple[Path, Path], tmp_path: Path
) -> None:
    ended = await cli("dub", *files, "-o", tmp_path / "out.mp4", "--edge", fake.address, "--json")
    assert ended.code == 0
    told = ended.objects()
    assert {line["event"] for line in told} == {"progress", "job", "state", "notice", "result"}
    assert [line["sequence"] for line in told if "sequence" in line] == list(range(1, 10))
    assert {line["stage"] for line in told if line["event"] == "progress"} >= {"upload", "composite", "download"}
    assert told[-1]["event"] == "result"
    assert told[-1]["report"]["frames"] == 50
    assert ended.err == ""


async def test_a_failed_job_ends_as_its_cause(
    fake: FakeEdge, cli: Cli, files: tuple[Path, Path], tmp_path: Path
) -> None:
    fake.script = [state(JobState.PREPARING), state(JobState.FAILED)]
    arguments = ("dub", *files, "-o", tmp_path / "out.mp4", "--edge", fake.address)
    ended = await cli(*arguments)
    assert ended.code == ExitCode.BAD_INPUT
    assert ended.err.splitlines()[-1] == "viseme: video: no face was found at 0 s, 1 s"
    assert not (tmp_path / "out.mp4").exists()
    fake.failure = job_pb2.JobError(reason="node_unavailable", message="the node at x does not answer")
    assert (await cli(*arguments)).code == ExitCode.UNAVAILABLE
    fake.failure = job_pb2.JobError(reason="disk_full", message="the disk is full")
    told = (await cli(*arguments, "--json")).objects()[-1]
    assert (told["event"], told["reason"], told["exit_code"]) == ("error", "disk_full", 5)


async def test_a_refusal_names_field_and_limit(
    fake: FakeEdge, cli: Cli, files: tuple[Path, Path], tmp_path: Path
) -> None:
    fake.refuse_upload = errors.LimitExceededError("it has more bytes than 10", limit="asset_bytes")
    ended = await cli("dub", files[0], files[0], "-o", tmp_path / "out.mp4", "--edge", fake.address)
    assert ended.code == ExitCode.BAD_INPUT
    assert ended.err.splitlines()[-1] == "viseme: video: it has more bytes than 10 (limit: asset_bytes)"


async def test_local_faults_are_found_before_anything_starts(
    cli: Cli, files: tuple[Path, Path], tmp_path: Path
) -> None:
    video, speech = files
    empty = tmp_path / "empty.mp4"
    empty.touch()
    out, pipe = tmp_path / "out.mp4", tmp_path / "pipe"
    os.mkfifo(pipe)
    for arguments, words in (
        ((tmp_path / "no.mp4", speech, "-o", out), "video: "),
        ((empty, speech, "-o", out), "is empty"),
        ((video, tmp_path, "-o", out), "speech: "),
        ((video, speech, "-o", tmp_path / "no" / "out.mp4"), "output: there is no folder"),
        ((video, speech, "-o", video), "is the video itself"),
        ((video, speech, "-o", pipe), "is a device or a pipe"),
        ((video, speech, "-o", out, "--report", tmp_path), "report: "),
        ((video, speech, "-o", out, "--edge", "host:port"), "edge: "),
    ):
        ended = await cli("dub", *arguments)
        assert ended.code == ExitCode.BAD_INPUT, arguments
        assert len(ended.err.splitlines()) == 1
        assert words in ended.err


async def test_a_report_that_finds_no_room_is_said_without_a_traceback(
    cli: Cli, fake: FakeEdge, files: tuple[Path, Path], tmp_path: Path
) -> None:
    output = tmp_path / "out.mp4"
    ended = await cli("dub", *files, "-o", output, "--edge", fake.address, "--report", "/dev/full")
    assert ended.code == ExitCode.EXHAUSTED
    assert ended.err.splitlines()[-1] == "viseme: report: no room left for /dev/full"
    assert output.read_bytes() == RESULT


@pytest.mark.parametrize("flags", [(), ("--json",)])
async def test_an_output_that_finds_no_room_is_said_without_a_traceback(
    fake: FakeEdge, tmp_path: Path, flags: tuple[str, ...]
) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    process = await start(tmp_path, "engines", "--edge", fake.address, *flags, out=full)
    os.close(full)
    ended = await finish(process)
    assert ended.code == ExitCode.EXHAUSTED
    assert ended.err.splitlines()[-1] == "viseme: cannot read or write: [Errno 28] No space left on device"


@pytest.mark.parametrize("closed", [1, 2])
async def test_a_stream_that_is_closed_does_not_matter(
    fake: FakeEdge, files: tuple[Path, Path], tmp_path: Path, closed: int
) -> None:
    words = [sys.executable, "-m", "shared.cli", "dub", *map(str, files), "-o", "out.mp4", "--edge", fake.address]
    shell = ("sh", "-c", f'exec "$@" {closed}>&-', "sh", *words)
    environ = {**os.environ, "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    process = await asyncio.create_subprocess_exec(*shell, env=environ, cwd=tmp_path)
    assert await process.wait() == ExitCode.OK
    assert (tmp_path / "out.mp4").read_bytes() == RESULT


async def test_an_edge_that_is_not_there_is_named(cli: Cli, files: tuple[Path, Path], tmp_path: Path) -> None:
    ended = await cli("dub", *files, "-o", tmp_path / "out.mp4", "--edge", "127.0.0.1:1")
    assert ended.code == ExitCode.UNAVAILABLE
    assert "127.0.0.1:1 does not answer" in ended.err


async def test_wrong_use_is_told_apart(cli: Cli) -> None:
    assert (await cli("dub")).code == ExitCode.USAGE
    assert (await cli("dub", "a", "b", "-o", "c", "--fit", "stretch")).code == ExitCode.USAGE
    assert (await cli("sing")).code == ExitCode.USAGE


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
async def test_an_interrupt_cancels_the_job_and_says_how_to_go_on(
    fake: FakeEdge, files: tuple[Path, Path], tmp_path: Path, number: signal.Signals, code: int
) -> None:
    fake.script = [state(JobState.RENDERING), progress(Stage.INFER, 1, 9)]
    process = await start(tmp_path, "dub", *files, "-o", tmp_path / "out.mp4", "--edge", fake.address, "--json")
    assert process.stdout is not None
    async for line in process.stdout:
        if json.loads(line).get("stage") == "infer":
            break
    process.send_signal(number)
    ended = await finish(process)
    assert ended.code == code
    assert fake.jobs["job-1"].state == job_pb2.JOB_STATE_CANCELLED
    assert "job job-1 is cancelled" in ended.err
    assert f"viseme dub '{files[0]}' {files[1]} -o" in ended.err
    assert not (tmp_path / "out.mp4").exists()


async def test_jobs_watch_cancel_download_and_engines(
    fake: FakeEdge, cli: Cli, files: tuple[Path, Path], tmp_path: Path
) -> None:
    edge = ("--edge", fake.address)
    for _ in range(3):
        assert (await cli("dub", *files, "-o", tmp_path / "out.mp4", *edge)).code == 0
    assert [job["id"] for job in (await cli("jobs", "--json", *edge)).objects()] == ["job-3", "job-2", "job-1"]
    assert [job["id"] for job in (await cli("jobs", "--json", "--limit", "1", *edge)).objects()] == ["job-3"]
    listed = (await cli("jobs", *edge)).out
    assert "succeeded" in listed
    assert "50 frames (2.0 s) in 9.0 s" in listed
    watched = await cli("watch", "job-1", "--json", *edge)
    assert watched.objects()[-1]["report"]["stages"]["total"] == 9
    assert (await cli("download", "job-2", "-o", tmp_path / "again.mp4", *edge)).code == 0
    assert (tmp_path / "again.mp4").read_bytes() == RESULT
    assert (await cli("engines", "--json", *edge)).objects() == [
        {"name": "warp", "summary": "Warps.", "is_default": True}
    ]
    assert "default" in (await cli("engines", *edge)).out
    assert "succeeded" in (await cli("cancel", "job-1", *edge)).out
    for command in (("watch", "job-9"), ("cancel", "job-9"), ("download", "job-9", "-o", tmp_path / "x.mp4")):
        ended = await cli(*command, *edge)
        assert ended.code == ExitCode.BAD_INPUT
        assert "there is no job job-9" in ended.err


async def test_a_job_cancelled_elsewhere_ends_watching(fake: FakeEdge, cli: Cli, files: tuple[Path, Path]) -> None:
    fake.script = [state(JobState.CANCELLED)]
    ended = await cli("dub", *files, "-o", files[0].parent / "out.mp4", "--edge", fake.address)
    assert ended.code == ExitCode.CANCELLED


async def test_an_edge_of_this_machine_is_found(
    fake: FakeEdge, cli: Cli, files: tuple[Path, Path], tmp_path: Path
) -> None:
    folder = tmp_path / ".local" / "state" / "viseme"
    folder.mkdir(parents=True)
    (folder / "up.json").write_text(json.dumps({"pid": 1, "addresses": {"rpc": fake.address}}))
    assert (await cli("dub", *files, "-o", tmp_path / "out.mp4")).code == 0
    assert (await cli("engines")).code == 0


async def test_the_version_is_shown(cli: Cli) -> None:
    ended = await cli("--version")
    assert ended.out.startswith("viseme ")


async def test_help_lists_the_exit_codes_and_loads_nothing_heavy(cli: Cli) -> None:
    ended = await cli("--help")
    for code in ExitCode:
        assert str(int(code)) in ended.out
    code = (
        "import sys; from shared.cli import main\ntry: main.app(['--help'])\nexcept SystemExit: pass\n"
        "print(sorted({'grpc', 'rich', 'google', 'numpy', 'pydantic', 'asyncio'} & set(sys.modules)))"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE, cwd=ROOT)
    out, _ = await process.communicate()
    assert out.decode().splitlines()[-1] == "[]"


def test_every_error_has_an_exit_code() -> None:
    waiting: list[type[errors.VisemeError]] = [errors.VisemeError]
    while waiting:
        kind = waiting.pop()
        assert exit_code(kind("x")) in set(ExitCode) - {ExitCode.OK, ExitCode.USAGE}
        waiting.extend(kind.__subclasses__())
    assert exit_code(errors.JobFailedError("x", cause_reason="queue_full")) is ExitCode.EXHAUSTED
    assert exit_code(errors.JobFailedError("x", cause_reason="something new")) is ExitCode.FAILED


async def test_assets_are_listed_and_deleted(fake: FakeEdge, cli: Cli) -> None:
    ids = [fake.store(bytes([number]) * 70_000, f"clip\x1b[{number}.mp4") for number in range(3)]
    told = (await cli("assets", "list", "--edge", fake.address, "--json")).objects()
    assert {one["id"] for one in told} == set(ids)
    assert {(one["size_bytes"], one["state"]) for one in told} == {(70_000, "ready")}
    lines = (await cli("assets", "list", "--edge", fake.address, "--limit", "2")).out.splitlines()
    assert len(lines) == 3
    assert lines[1].startswith(told[0]["id"])
    assert "0.1 MiB" in lines[1]
    assert "\x1b" not in lines[1]
    done = await cli("assets", "rm", ids[0], ids[1][:10], "--edge", fake.address)
    assert done.code == 0
    assert list(fake.stored) == [ids[2]]
    wrong = await cli("assets", "rm", "abc", "--edge", fake.address)
    assert wrong.code == ExitCode.BAD_INPUT
    assert "at least 6 letters" in wrong.err


async def test_a_file_that_begins_with_a_dash_is_told_apart_from_options(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "-clip.mp4").write_bytes(b"v")
    ended = await cli("dub", "-clip.mp4", "speech.wav", "-o", "out.mp4")
    assert ended.code == ExitCode.USAGE
    assert "for the file write ./-clip.mp4" in ended.err


async def test_up_on_a_used_folder_is_a_wrong_call(cli: Cli, tmp_path: Path) -> None:
    with locked(tmp_path / "data"):
        ended = await cli("up", "--data", tmp_path / "data")
    assert ended.code == ExitCode.USAGE
    assert "data" in ended.err
