"""One edge and two nodes: what becomes of a job when the node that renders it goes."""

import hashlib
import json
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.signing import signing_flags
from tests.stack import Stack

pytestmark = pytest.mark.stack

FLAGS = ("--segment-seconds", "0.5", "--node-window", "2", "--node-poll-s", "0.5")
"""One small segment after the other, so that some are missing whenever the first has come."""
NODE_FLAGS = ("--engine-runtime", "local", "--workers", "1", "--grace-seconds", "20")


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


# Where the last segment was ordered already when the node is asked to end, nothing is left for the other.
@pytest.mark.luck
def test_a_node_that_ends_renders_what_was_ordered_and_the_rest_goes_to_the_other(
    undisturbed: str, clip: Path, speech: Path, tmp_path: Path
) -> None:
    with _stack() as stack:
        codes = []
        told = disturbed(stack, clip, speech, tmp_path / "out.mp4", lambda: codes.append(stack.stop("node")))
        assert codes == [0]
        assert _digest(tmp_path / "out.mp4") == undisturbed
        (left,) = [line["message"] for line in told if line.get("reason") == "node_unavailable"]
        assert left.endswith("about to end and has rendered all that was ordered.")  # so nothing is made again
        assert "node_changed" in [line.get("reason") for line in told]
        assert "node is left alone" not in stack.log("edge")


def test_jobs_are_taken_while_no_node_answers_and_end_when_one_returns(
    undisturbed: str, clip: Path, speech: Path, tmp_path: Path
) -> None:
    """Also by an edge that has never heard of a node, and for longer than one may take that answers."""
    with _stack(more_nodes=()) as stack:
        stack.stop("node")
        stack.stop("edge")
        stack.edge_flags = (*stack.edge_flags, "--node-patience-s", "0.5")
        stack.start("edge")
        output = tmp_path / "out.mp4"
        command = stack.command("dub", str(clip), str(speech), "-o", str(output), "--fit", "loop", "--json")
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as job:
            assert job.stdout is not None
            reasons = (json.loads(line).get("reason") for line in job.stdout)
            assert "node_unavailable" in reasons
            begun = time.monotonic()
            stack.start("node")
            assert time.monotonic() - begun > 0.5  # it takes seconds to start
            rest, errors = job.communicate(timeout=240)
        assert job.returncode == 0, f"{rest}\n{errors}\n{stack.log('edge')[-3000:]}"
        assert _digest(output) == undisturbed


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
