"""One edge and two nodes: what becomes of a job when the node that renders it goes."""

import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.signing import signing_flags
from tests.stack import Stack

pytestmark = pytest.mark.stack

FLAGS = ("--segment-seconds", "0.5", "--node-window", "2", "--node-poll-s", "0.5")
"""One small segment after the other, so that some are missing whenever the first has come."""
NODE_FLAGS = ("--engine-runtime", "local", "--workers", "1")


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _stack(more_nodes: tuple[str, ...] = ("node2",)) -> Stack:
    return Stack(edge_flags=(*FLAGS, *signing_flags()), node_flags=NODE_FLAGS, more_nodes=more_nodes)


@pytest.fixture(scope="module")
def undisturbed(clip: Path, speech: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("undisturbed")
    with _stack(more_nodes=()) as stack:
        stack.dub(clip, speech, folder / "out.mp4", "--fit", "loop")
    return _digest(folder / "out.mp4")


def test_a_job_outlives_the_death_of_its_node_and_ends_on_the_other(
    undisturbed: str, clip: Path, speech: Path, tmp_path: Path
) -> None:
    with _stack() as stack:
        told = disturbed(stack, clip, speech, tmp_path / "out.mp4", lambda: stack.kill("node"))
        assert _digest(tmp_path / "out.mp4") == undisturbed
        reasons = [line.get("reason") for line in told]
        assert reasons.index("node_unavailable") < reasons.index("node_changed")
        (changed,) = [line["message"] for line in told if line.get("reason") == "node_changed"]
        assert stack.parts["node2"].ready.addresses["rpc"] in changed
        assert "node is left alone" in stack.log("edge")


def disturbed(stack: Stack, clip: Path, speech: Path, output: Path, strike: Any) -> list[dict[str, Any]]:
    """Dub, strike in the middle, and give all that is told."""
    command = stack.command("dub", str(clip), str(speech), "-o", str(output), "--fit", "loop", "--json")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as job:
        assert job.stdout is not None
        told = []
        for line in job.stdout:
            told.append(json.loads(line))
            if told[-1].get("stage") == "infer" and told[-1].get("done_frames", 0) > 0:
                strike()
                break
        rest, errors = job.communicate(timeout=240)
    assert job.returncode == 0, f"{rest}\n{errors}\n{stack.log('edge')[-3000:]}"
    return [*told, *map(json.loads, rest.splitlines())]
