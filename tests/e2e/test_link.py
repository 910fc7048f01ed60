"""What crosses the link between edge and node: by which profile, and again where the node has lost it."""

import hashlib
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stack import Stack

pytestmark = [pytest.mark.stack, pytest.mark.luck]

SMALL_CACHE = 60_000
"""Of the 77,000 bytes of speech and crops; no segment needs more than 57,000 at once."""
SHORT_SEGMENTS = ("--segment-seconds", "0.5")


@pytest.fixture(scope="module")
def own_stack() -> Iterator[Stack]:
    with Stack(edge_flags=SHORT_SEGMENTS, node_flags=("--frames-bytes", "1")) as running:
        yield running


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_what_a_small_cache_evicts_in_the_middle_of_a_job_is_sent_again(
    own_stack: Stack, clip: Path, speech: Path, tmp_path: Path
) -> None:
    whole = own_stack.dub(clip, speech, tmp_path / "whole.mp4")
    own_stack.stop("node")
    shutil.rmtree(own_stack.root / "node" / "cache")
    own_stack.node_flags = ("--frames-bytes", "1", "--cache-bytes", str(SMALL_CACHE))
    own_stack.start("node")
    evicted = own_stack.dub(clip, speech, tmp_path / "evicted.mp4")
    assert _digest(tmp_path / "evicted.mp4") == _digest(tmp_path / "whole.mp4")
    assert evicted["wan"]["up_bytes"] > whole["wan"]["up_bytes"]
    cached = sum(path.stat().st_size for path in (own_stack.root / "node" / "cache").glob("*/*"))
    assert cached <= SMALL_CACHE


def test_a_job_keeps_its_profile_when_the_edge_is_killed_and_told_another(
    own_stack: Stack, clip: Path, speech: Path, tmp_path: Path
) -> None:
    own_stack.stop("node")
    own_stack.node_flags = ()
    own_stack.start("node")
    own_stack.stop("edge")
    own_stack.edge_flags = (*SHORT_SEGMENTS, "--link-profile", "thin")
    own_stack.start("edge")
    whole = own_stack.dub(clip, speech, tmp_path / "whole.mp4")
    output, report = tmp_path / "killed.mp4", tmp_path / "killed.json"
    command = own_stack.command("dub", str(clip), str(speech), "-o", str(output), "--report", str(report), "--json")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as job:
        assert job.stdout is not None
        for line in job.stdout:
            told = json.loads(line)
            if told.get("stage") == "composite" and told.get("done_frames", 0) > 0:
                own_stack.kill("edge")
                own_stack.edge_flags = (*SHORT_SEGMENTS, "--link-profile", "fast-link")
                own_stack.start("edge")
                break
        rest, errors = job.communicate(timeout=240)
    assert job.returncode == 0, f"{rest}\n{errors}\n{own_stack.log('edge')[-3000:]}"
    assert json.loads(report.read_text())["link_profile"] == whole["link_profile"] == "thin"
    assert _digest(output) == _digest(tmp_path / "whole.mp4")


def test_an_edge_that_may_choose_measures_the_link_once_and_uses_a_face_again_as_it_was_cut(
    own_stack: Stack, portrait: Path, clip: Path, short_speech: Path, tmp_path: Path
) -> None:
    own_stack.stop("edge")
    own_stack.edge_flags = (*SHORT_SEGMENTS, "--link-profile", "auto")
    own_stack.start("edge")
    assert own_stack.dub(clip, short_speech, tmp_path / "again.mp4")["link_profile"] in {"balanced", "thin"}
    chosen = own_stack.dub(portrait, short_speech, tmp_path / "new.mp4")["link_profile"]
    told = [json.loads(line) for line in own_stack.log("edge").splitlines() if "link profile chosen" in line]
    assert [line["profile"] for line in told] == [chosen]
