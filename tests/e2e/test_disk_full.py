"""The edge's disk fills in the middle of a job: the job says so, the edge serves on, and with room it works again.

That a job waits for room is in tests/luck.
"""

import errno
import json
import sqlite3
import subprocess
import sys
import wave
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from edge_gateway.jobs.faces import Face
from tests.bench.clips import look
from tests.stack import Stack

pytestmark = [pytest.mark.stack, pytest.mark.luck]

DISK_BYTES = 28 << 20
FLAGS = ("--disk-reserve-bytes", "0", "--segment-seconds", "0.5")
EXHAUSTED = 5


def fill(disk: Path) -> Path:
    """Write until nothing fits any more; others may be writing, too, so there is no counting beforehand."""
    filler = disk / "filler"
    with filler.open("ab", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
    return filler


def check_sound(data: Path) -> None:
    """Whatever lies on the edge's disk is whole."""
    assert not list(data.rglob("*.part"))
    assert not list((data / "jobs").iterdir())
    with closing(sqlite3.connect(data / "edge.db")) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    for folder in (data / "faces").iterdir():
        face = Face(folder)
        face.load()
        for index in range(len(face.crops)):
            face.read_crop(index)


@pytest.fixture
def long_speech(speech: Path, tmp_path: Path) -> Path:
    """Half a minute, so that a job is far from its end when its first frames are composited."""
    path = tmp_path / "long.wav"
    with wave.open(str(speech)) as source, wave.open(str(path), "wb") as target:
        target.setparams(source.getparams())
        target.writeframes(source.readframes(source.getnframes()) * 4)
    return path


@pytest.mark.parametrize("stage", ["prepare", "composite"])
def test_a_disk_that_stays_full_fails_the_job_and_leaves_the_edge_serving(
    stage: str,
    small_disk: Callable[[Path, int], Path],
    clip: Path,
    portrait: Path,
    speech: Path,
    long_speech: Path,
    tmp_path: Path,
) -> None:
    disk = small_disk(tmp_path / "edge", DISK_BYTES)
    output = tmp_path / "out.mp4"
    with Stack(folder=tmp_path, edge_flags=(*FLAGS, "--disk-patience-s", "0")) as stack:
        command = stack.command("dub", str(clip), str(long_speech), "-o", str(output), "--json")
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as job:
            assert job.stdout is not None
            for line in job.stdout:
                told = json.loads(line)
                if told.get("stage") == stage and told.get("done_frames", 0) > 0:
                    break
            filler = fill(disk)
            rest, errors = job.communicate(timeout=60)
        assert job.returncode == EXHAUSTED, f"{rest}\n{errors}\n{stack.log('edge')[-3000:]}"
        assert "disk" in rest + errors
        assert "free some" in rest + errors
        assert not output.exists()
        fill(disk)
        assert stack.viseme("engines").returncode == 0
        refused = stack.viseme("dub", str(portrait), str(speech), "-o", str(output), check=False)
        assert refused.returncode == EXHAUSTED, refused.stderr
        assert "disk" in refused.stderr
        filler.unlink()
        check_sound(disk)
        report = stack.dub(clip, speech, output)
        assert look(output).frames == report["frames"]
        check_sound(disk)
        assert stack.stop("edge") == 0


def test_an_edge_that_is_killed_and_starts_on_a_full_disk_goes_on_once_there_is_room(
    small_disk: Callable[[Path, int], Path], clip: Path, speech: Path, tmp_path: Path
) -> None:
    disk = small_disk(tmp_path / "edge", DISK_BYTES)
    output = tmp_path / "out.mp4"
    with Stack(folder=tmp_path, edge_flags=FLAGS) as stack:
        command = stack.command("dub", str(clip), str(speech), "-o", str(output), "--json")
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as job:
            assert job.stdout is not None
            for line in job.stdout:
                told = json.loads(line)
                if told.get("stage") == "composite" and told.get("done_frames", 0) > 0:
                    break
            stack.kill("edge")
            filler = fill(disk)
            try:
                stack.start("edge")
                assert stack.viseme("engines").returncode == 0
            except BaseException:
                job.kill()  # it would wait for the edge
                raise
            finally:
                filler.unlink()
            rest, errors = job.communicate(timeout=120)
        assert job.returncode == 0, f"{rest}\n{errors}\n{stack.log('edge')[-3000:]}"
        check_sound(disk)


def test_an_edge_that_finds_no_room_to_start_says_so(small_disk: Callable[[Path, int], Path], tmp_path: Path) -> None:
    disk = small_disk(tmp_path / "edge", 1 << 20)
    flags = ("--listen", "127.0.0.1:0", "--web", "127.0.0.1:0", "--metrics", "127.0.0.1:0", "--data", str(disk))
    fill(disk)
    done = subprocess.run(
        [sys.executable, "-m", "edge_gateway", *flags], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode != 0
    assert "no room" in done.stderr
    assert "Traceback" not in done.stderr
