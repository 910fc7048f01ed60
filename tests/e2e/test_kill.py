"""`kill -9` of each program in the middle of a job: it finishes, with the result of an undisturbed run."""

import hashlib
import json
import subprocess
from pathlib import Path

import pytest

from tests.signing import signing_flags
from tests.stack import Stack

pytestmark = pytest.mark.stack


FLAGS = ("--segment-seconds", "0.5", "--node-window", "1", "--label", "on")
"""One small segment after the other, so that some are missing whenever the first has come."""
SAID = {"edge": "resumed", "node": "node_resumed"}
"""What is told of what is done again; of Triton the node knows alone."""


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def undisturbed(clip: Path, speech: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("undisturbed")
    with Stack(edge_flags=(*FLAGS, *signing_flags())) as stack:
        stack.dub(clip, speech, folder / "out.mp4", "--fit", "loop")
    return _digest(folder / "out.mp4")


@pytest.mark.parametrize("victim", ["edge", "node", "triton"])
def test_a_job_outlives_a_kill(victim: str, undisturbed: str, clip: Path, speech: Path, tmp_path: Path) -> None:
    with Stack(edge_flags=(*FLAGS, *signing_flags())) as stack:
        output = tmp_path / "out.mp4"
        command = stack.command("dub", str(clip), str(speech), "-o", str(output), "--fit", "loop", "--json")
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as job:
            assert job.stdout is not None
            lines = []
            for line in job.stdout:
                lines.append(line)
                told = json.loads(line)
                if told.get("stage") == "infer" and told.get("done_frames", 0) > 0:
                    stack.kill(victim)
                    if victim != "triton":
                        stack.start(victim)
                    break
            rest, errors = job.communicate(timeout=240)
        assert job.returncode == 0, f"{rest}\n{errors}\n{stack.log('edge')[-3000:]}\n{stack.log('node')[-3000:]}"
        assert _digest(output) == undisturbed
        notices = {json.loads(line).get("reason") for line in [*lines, *rest.splitlines()]}
        if victim == "triton":
            assert "segment is rendered again" in stack.log("node")
        else:
            assert SAID[victim] in notices
