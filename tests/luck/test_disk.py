"""The edge's disk fills in the middle of a job and has room again later: the job waits, says so, and goes on."""

import hashlib
import json
import os
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import viseme
from tests.e2e.test_disk_full import DISK_BYTES, FLAGS, check_sound, fill
from tests.signing import signing_flags
from tests.stack import Stack

pytestmark = [pytest.mark.luck, pytest.mark.stack, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def undisturbed(clip: Path, long_speech: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    output = tmp_path_factory.mktemp("undisturbed") / "out.mp4"
    with Stack(edge_flags=(*FLAGS, *signing_flags())) as stack:
        stack.dub(clip, long_speech, output)
    return hashlib.sha256(output.read_bytes()).hexdigest()


def _is_at(stage: str, told: dict[str, Any]) -> bool:
    return told.get("state") == stage or (told.get("stage") == stage and told.get("done_frames", 0) > 0)


@pytest.mark.parametrize("stage", ["preparing", "prepare", "infer", "composite", "finishing"])
def test_a_job_waits_for_room_and_goes_on_where_it_was(
    stage: str,
    undisturbed: str,
    small_disk: Callable[[Path, int], Path],
    clip: Path,
    long_speech: Path,
    tmp_path: Path,
) -> None:
    disk = small_disk(tmp_path / "edge", DISK_BYTES)
    output = tmp_path / "out.mp4"
    told: list[dict[str, Any]] = []
    filler: Path | None = None
    with Stack(folder=tmp_path, edge_flags=(*FLAGS, *signing_flags())) as stack:
        command = stack.command("dub", str(clip), str(long_speech), "-o", str(output), "--json")
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as job:
            assert job.stdout is not None
            for line in job.stdout:
                told.append(json.loads(line))
                if filler is None and _is_at(stage, told[-1]):
                    filler = fill(disk)
                if told[-1].get("reason") == "disk_full" and filler is not None:
                    assert stack.viseme("jobs").returncode == 0
                    filler.unlink(missing_ok=True)
            _, errors = job.communicate(timeout=60)
        assert job.returncode == 0, f"{told[-5:]}\n{errors}\n{stack.log('edge')[-3000:]}"
        assert hashlib.sha256(output.read_bytes()).hexdigest() == undisturbed
        assert filler is not None
        filler.unlink(missing_ok=True)
        reasons = [line["reason"] for line in told if line["event"] == "notice"]
        if stage != "finishing":  # what is left to write then may fit into what is there
            assert "disk_full" in reasons
            assert "resumed" in reasons
        check_sound(disk)
        assert stack.stop("edge") == 0


async def test_a_disk_that_fills_while_a_file_comes_refuses_it_and_keeps_what_came(
    small_disk: Callable[[Path, int], Path], clip: Path, tmp_path: Path
) -> None:
    disk = small_disk(tmp_path / "edge", DISK_BYTES)
    large = tmp_path / "large.mp4"
    size = 12 << 20
    large.write_bytes(clip.read_bytes() + struct.pack(">I4s", size, b"free") + os.urandom(size - 8))
    with Stack(folder=tmp_path, with_node=False, edge_flags=FLAGS) as stack:
        async with viseme.connect(stack.edge) as edge:
            told: list[viseme.Transfer] = []
            filler: list[Path] = []

            def look(transfer: viseme.Transfer) -> None:
                told.append(transfer)
                if transfer.done_bytes >= 3 << 20 and not filler:
                    filler.append(fill(disk))

            with pytest.raises(viseme.DiskFullError):
                await edge.upload(large, rate_limit=8 << 20, on_progress=look)
            safe = told[-1].done_bytes
            assert 3 << 20 <= safe < large.stat().st_size
            with pytest.raises(viseme.DiskFullError):
                await edge.upload(large)
            filler[0].unlink()
            asset = await edge.upload(large, on_progress=told.append)
            assert told[-1].skipped_bytes >= safe
            await edge.assets.save(asset.id, tmp_path / "back.mp4")
        assert (tmp_path / "back.mp4").read_bytes() == large.read_bytes()
        check_sound(disk)
