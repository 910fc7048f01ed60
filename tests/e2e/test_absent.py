"""An edge, a node or a Triton that is not there: the command line says which and where, and the others serve on."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.bench.clips import look
from tests.stack import Stack

pytestmark = pytest.mark.stack

NOBODY = "127.0.0.1:1"
UNAVAILABLE = 4
SHORT = ("--node-patience-s", "2", "--node-outage-s", "2")


def _told(lines: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines.splitlines()]


def _serves(address: str) -> bool:
    with grpc.insecure_channel(address) as channel:
        answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=10)
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def _dub_until(
    stack: Stack, arguments: list[str], there: Callable[[dict[str, Any]], bool], then: Callable[[], None]
) -> tuple[int, list[dict[str, Any]]]:
    """Dub; do something when the first line comes for which something holds. Gives exit code and lines."""
    lines: list[dict[str, Any]] = []
    done = False
    with subprocess.Popen(stack.command("dub", *arguments, "--json"), stdout=subprocess.PIPE, text=True) as job:
        try:
            assert job.stdout is not None
            for line in job.stdout:
                lines.append(json.loads(line))
                if not done and there(lines[-1]):
                    done = True
                    then()
        finally:
            if not done:
                job.kill()
    return job.returncode, lines


def test_an_edge_that_is_not_there(clip: Path, speech: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "shared.cli", "dub", str(clip), str(speech), "-o", str(tmp_path / "out.mp4")]
    done = subprocess.run([*command, "--edge", NOBODY], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == UNAVAILABLE
    assert f"the edge at {NOBODY} does not answer" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_node_that_is_not_there(clip: Path, speech: Path, tmp_path: Path) -> None:
    with Stack(with_node=False, edge_flags=SHORT) as stack:
        arguments = ["dub", str(clip), str(speech), "-o", str(tmp_path / "out.mp4"), "--json"]
        done = stack.viseme(*arguments, check=False)
        assert done.returncode == UNAVAILABLE, done.stdout + done.stderr
        told = _told(done.stdout)
        (notice,) = [line for line in told if line["event"] == "notice"]
        assert notice["reason"] == "node_unavailable"
        assert f"Waiting for the node at {NOBODY}" in notice["message"]
        assert told[-1]["reason"] == "node_unavailable"
        assert NOBODY in told[-1]["message"]
        assert NOBODY in done.stderr
        assert _serves(stack.edge)
        assert stack.viseme("jobs").returncode == 0


def test_a_triton_that_is_not_there(clip: Path, speech: Path, tmp_path: Path) -> None:
    flags = ("--triton-url", NOBODY, "--recovery-seconds", "1")
    with Stack(node_flags=flags, edge_flags=SHORT) as stack:
        arguments = ["dub", str(clip), str(speech), "-o", str(tmp_path / "out.mp4"), "--json"]
        done = stack.viseme(*arguments, check=False)
        assert done.returncode == UNAVAILABLE, done.stdout + done.stderr
        told = _told(done.stdout)
        assert told[-1]["reason"] == "engine_unavailable"
        assert f"Triton at {NOBODY} does not answer; given up" in told[-1]["message"]
        assert "engine_unavailable" in {line.get("reason") for line in told if line["event"] == "notice"}
        assert _serves(stack.edge)
        assert stack.parts["node"].process.poll() is None
        assert stack.viseme("engines").returncode == 0


def test_a_node_that_comes_back_in_time_finishes_the_job(clip: Path, speech: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.mp4"
    with Stack() as stack:
        stack.kill("node")
        code, told = _dub_until(
            stack,
            [str(clip), str(speech), "-o", str(output)],
            lambda line: line.get("reason") == "node_unavailable",
            lambda: stack.start("node"),
        )
        assert code == 0, told
        assert look(output).frames > 0
