"""A job with the node far away: edge and command line in one namespace, node and Triton in the other."""

import hashlib
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.stack import Stack
from tests.wan.network import Link

pytestmark = pytest.mark.wan

ROOT = Path(__file__).resolve().parents[2]
CLIP = ROOT / "tests" / "media" / "clip.mp4"
SPEECH = ROOT / "deploy" / "demo" / "speech.wav"
DEADLINE_S = 240
CUT_S = 5.0


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
        digest=hashlib.sha256(output.read_bytes()).hexdigest(),
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


def test_a_cut_in_the_middle_of_a_job(wan: Callable[..., Link], near: Dubbed, tmp_path: Path) -> None:
    link = wan(delay_ms=50, rate_mbit=10)
    cut_at: list[dict[str, Any]] = []

    def cut_once(told: dict[str, Any]) -> None:
        if not cut_at and told.get("stage") == "composite" and told.get("done_frames", 0) > 0:
            cut_at.append(told)
            link.cut(seconds=CUT_S)

    with _far(link) as stack:
        dubbed = _dub(stack, tmp_path, cut_once)
        dubbed.tell("50 ms, 10 Mbit/s, 5 s cut", link)
    assert cut_at
    assert cut_at[0]["done_frames"] < near.report["frames"]
    assert link.counters().up.cut_packets + link.counters().down.cut_packets > 0
    assert dubbed.digest == near.digest
