"""``viseme doctor`` over links whose delay and rate are known."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.delay import FarLink, far_link
from tests.stack import Stack

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def to_node() -> Iterator[FarLink]:
    with far_link(delay_s=0.03, up_bits_s=8e6, down_bits_s=8e6) as link:
        yield link


@pytest.fixture(scope="module")
def stack(to_node: FarLink) -> Iterator[Stack]:
    with Stack(
        edge_flags=("--node", to_node.address, "--name", "here", "--region", "shop", "--node-poll-s", "1"),
        node_flags=("--name", "there"),
    ) as running:
        to_node.leads_to(running.parts["node"].ready.addresses["rpc"])
        yield running


def _doctor(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "shared.cli", "doctor", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def _json(*arguments: str) -> list[dict[str, Any]]:
    done = _doctor("--json", *arguments)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_it_measures_the_way_to_the_edge_and_from_there_to_the_node(stack: Stack) -> None:
    with far_link(delay_s=0.06, up_bits_s=4e6, down_bits_s=16e6) as link:
        link.leads_to(stack.edge)
        (told,) = _json("--edge", link.address)
    assert (told["name"], told["region"]) == ("here", "shop")
    way = told["way"]
    assert 0.115 < way["shortest_s"] <= way["round_trip_s"] < 0.2
    assert way["up_bits_s"] == pytest.approx(4e6, rel=0.25)
    assert way["down_bits_s"] == pytest.approx(16e6, rel=0.25)
    # The same clock at both ends.
    assert abs(way["skew_s"]) <= way["skew_error_s"] + 0.03
    assert way["is_encrypted"] is False
    (node,) = told["nodes"]
    assert (node["name"], node["is_up"], node["engine_ready"]) == ("there", True, True)
    assert 0.055 < node["round_trip_s"] < 0.15
    assert node["bits_s"] == pytest.approx(8e6, rel=0.3)
    assert {one["culprit"] for one in told["findings"]} >= {"your uplink", "distance"}


def test_it_tells_what_a_job_would_take_and_what_is_slow(stack: Stack, clip: Path, speech: Path) -> None:
    with far_link(delay_s=0.01, up_bits_s=0.25e6, down_bits_s=20e6) as link:
        link.leads_to(stack.edge)
        done = _doctor("--edge", link.address, str(clip), str(speech))
    assert done.returncode == 0, done.stderr
    size = clip.stat().st_size + speech.stat().st_size
    assert f"{size / 1e6:.1f} MB to send, 8.0 s of result" in done.stdout
    assert "most of it your uplink" in done.stdout
    assert "sending the whole files to the GPU: about" in done.stdout
    assert "! your uplink: It carries 0." in done.stdout


def test_several_edges_are_compared_and_a_dead_one_is_a_line(stack: Stack) -> None:
    with far_link(delay_s=0.08) as link:
        link.leads_to(stack.edge)
        done = _doctor("--edge", "127.0.0.1:9", "--edge", link.address, "--edge", stack.edge)
    assert done.returncode == 0, done.stderr
    assert "edge at 127.0.0.1:9\n  does not answer: the edge at 127.0.0.1:9 does not answer" in done.stdout
    assert done.stdout.endswith(f"best: --edge {stack.edge}\n")
    ranks = done.stdout[done.stdout.index("round trip") :]
    assert ranks.index(stack.edge) < ranks.index(link.address) < ranks.index("127.0.0.1:9 ")
    assert "Traceback" not in done.stdout + done.stderr


def test_where_no_edge_answers_the_exit_code_says_so() -> None:
    done = _doctor("--json", "--edge", "127.0.0.1:9")
    assert done.returncode == 4
    told = json.loads(done.stdout.splitlines()[0])
    assert (told["address"], told["error"]["reason"]) == ("127.0.0.1:9", "edge_unavailable")


def test_a_file_that_is_not_there_is_told_before_anything_is_measured(stack: Stack, tmp_path: Path) -> None:
    done = _doctor("--edge", stack.edge, str(tmp_path / "none.mp4"))
    assert done.returncode == 3
    assert "none.mp4" in done.stderr
    assert not done.stdout


def test_a_node_that_is_cut_off_is_told_plainly(stack: Stack, to_node: FarLink, clip: Path) -> None:
    there = to_node.target
    to_node.target = ("127.0.0.1", 1)
    try:
        stack.kill("node")
        done = _doctor("--edge", stack.edge, str(clip))
    finally:
        stack.start("node")
        to_node.target = there
    assert done.returncode == 0, done.stderr
    assert f"the node at {to_node.address} does not answer" in done.stdout
    assert "! the link to the GPU: The edge does not reach the node" in done.stdout
    assert "not to be told while the way to the GPU is not known" in done.stdout
