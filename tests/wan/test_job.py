"""A job with the node far away: edge and command line in one namespace, node and Triton in the other."""

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.signing import film_digest
from tests.stack import Stack
from tests.wan.network import Link, Network

pytestmark = pytest.mark.wan

ROOT = Path(__file__).resolve().parents[2]
CLIP = ROOT / "tests" / "media" / "clip.mp4"
SPEECH = ROOT / "deploy" / "demo" / "speech.wav"
DEADLINE_S = 240
CUT_S = 5.0
WINDOW = 6
"""Segments in flight: the edge's default."""
ORDER_BYTES = 1024
SPEC_BYTES = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Dubbed:
    """What a job gave, and what it took."""

    digest: str
    seconds: float
    report: dict[str, Any]

    def tell(self, what: str, link: Link | None = None) -> None:
        """Print the figures."""
        stages = {name: round(value, 2) for name, value in self.report["stages"].items()}
        print(f"\n{what}: {self.seconds:.1f} s, {self.report['wan']}, stages {stages}")
        if link is not None:
            counters = link.counters()
            print(
                f"  on the link: up {counters.up.delivered_bytes} bytes, down {counters.down.delivered_bytes} bytes, "
                f"{counters.up.cut_packets + counters.down.cut_packets} packets cut, "
                f"emulator {link.network.usage().cpu_s:.2f} CPU s"
            )


def _dub(stack: Stack, folder: Path, on_progress: Callable[[dict[str, Any]], None] | None = None) -> Dubbed:
    output, report = folder / "out.mp4", folder / "report.json"
    begun = time.monotonic()
    command = stack.command("dub", str(CLIP), str(SPEECH), "-o", str(output), "--report", str(report), "--json")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as job:
        assert job.stdout is not None
        for line in job.stdout:
            if on_progress is not None:
                on_progress(json.loads(line))
        _, errors = job.communicate(timeout=DEADLINE_S)
    assert job.returncode == 0, f"{errors}\n{stack.log('edge')[-3000:]}\n{stack.log('node')[-3000:]}"
    return Dubbed(
        digest=film_digest(output),
        seconds=time.monotonic() - begun,
        report=json.loads(report.read_text()),
    )


@contextmanager
def _far(link: Link) -> Iterator[Stack]:
    with Stack(
        prefixes={"edge": link.client.prefix, "node": link.server.prefix},
        addresses={"node": link.server.address},
    ) as stack:
        yield stack


@pytest.fixture(scope="module")
def near(tmp_path_factory: pytest.TempPathFactory) -> Dubbed:
    """The same job with all on one machine."""
    with Stack() as stack:
        dubbed = _dub(stack, tmp_path_factory.mktemp("near"))
    dubbed.tell("no link")
    return dubbed


def test_a_job_over_a_long_narrow_link(wan: Callable[..., Link], near: Dubbed, tmp_path: Path) -> None:
    link = wan(delay_ms=50, rate_mbit=10)
    with _far(link) as stack:
        dubbed = _dub(stack, tmp_path)
        dubbed.tell("50 ms, 10 Mbit/s", link)
    assert dubbed.digest == near.digest
    assert dubbed.report["frames"] == near.report["frames"]
    told = dubbed.report["wan"]
    counters = link.counters()
    assert told["up_bytes"] <= counters.up.delivered_bytes
    assert told["down_bytes"] <= counters.down.delivered_bytes


@pytest.mark.parametrize("congestion", ["bbr", "reno"])
def test_a_cut_in_the_middle_of_a_job(wan: Callable[..., Link], near: Dubbed, tmp_path: Path, congestion: str) -> None:
    link = wan(delay_ms=50, rate_mbit=10)
    _use(link, congestion)
    cut_at: list[float] = []
    shown: list[tuple[float, int]] = []

    def cut_once(told: dict[str, Any]) -> None:
        if told.get("stage") != "composite" or not told.get("done_frames"):
            return
        shown.append((time.monotonic(), told["done_frames"]))
        if not cut_at:
            cut_at.append(time.monotonic())
            link.cut(seconds=CUT_S)

    with _far(link) as stack:
        uncut = _dub(stack, tmp_path)
        uncut.tell(f"{congestion}, no cut", link)
    with _far(link) as stack:
        dubbed = _dub(stack, tmp_path, cut_once)
        dubbed.tell(f"{congestion}, {CUT_S:g} s cut", link)
        again = _ordered_again(stack)
    assert cut_at
    waited_s = shown[-1][0] - cut_at[0]
    extra_bytes = dubbed.report["wan"]["up_bytes"] - uncut.report["wan"]["up_bytes"]
    print(
        f"  costs {dubbed.seconds - uncut.seconds:.1f} s; from the cut to the last frame {waited_s:.1f} s; "
        f"ordered again {again}, {extra_bytes} bytes more sent"
    )
    assert shown[0][1] < near.report["frames"]
    assert link.counters().up.cut_packets + link.counters().down.cut_packets > 0
    assert dubbed.digest == near.digest
    # Orders only: neither speech nor crops, and no segment that had arrived.
    assert sum(map(len, again)) <= WINDOW * len(again)
    assert 0 not in {segment for segments in again for segment in segments}
    assert extra_bytes <= sum(map(len, again)) * ORDER_BYTES + len(again) * SPEC_BYTES


def test_a_job_over_two_legs_that_lose_one_packet_in_twenty(wan_network: Network, near: Dubbed, tmp_path: Path) -> None:
    client, edge, node = (wan_network.host(name) for name in ("client", "edge", "node"))
    legs = [
        wan_network.connect(near_end, far_end, delay_ms=50, rate_mbit=10, loss=0.05, seed=seed)
        for seed, (near_end, far_end) in enumerate(((client, edge), (edge, node)))
    ]
    with Stack(
        prefixes={"client": client.prefix, "edge": edge.prefix, "node": node.prefix},
        addresses={"edge": edge.address, "node": node.address},
    ) as stack:
        dubbed = _dub(stack, tmp_path)
    for leg in legs:
        dubbed.tell(f"50 ms, 10 Mbit/s, 5 % loss, {leg.client.name} to {leg.server.name}", leg)
        counters = leg.counters()
        assert counters.up.lost_packets > 0
        assert counters.down.lost_packets > 0
    assert dubbed.digest == near.digest


def _use(link: Link, congestion: str) -> None:
    allowed = Path("/proc/sys/net/ipv4/tcp_allowed_congestion_control").read_text(encoding="ascii").split()
    if congestion not in allowed:
        pytest.skip(f"a namespace on this machine may not use {congestion}: tcp_allowed_congestion_control")
    for host in (link.client, link.server):
        host.sysctl("net.ipv4.tcp_congestion_control", congestion)


def _ordered_again(stack: Stack) -> list[list[int]]:
    """The segments that were in flight, for each time that a stream ended."""
    lines = [line for line in stack.log("edge").splitlines() if line.startswith("{")]
    return [told["again"] for told in map(json.loads, lines) if told.get("event") == "render stream ended"]
