"""Two regions with an edge and a node each, 40 ms apart, and a client in the first."""

import json
import os
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.signing import film_digest
from tests.stack import Stack
from tests.wan.network import Link, Network

ROOT: Final = Path(__file__).resolve().parents[2]
CLIP: Final = ROOT / "tests" / "media" / "clip.mp4"
SPEECH: Final = ROOT / "deploy" / "demo" / "speech.wav"
APART_MS: Final = 40.0
NEAR_MS: Final = 2.0
RATE_MBIT: Final = 20.0
LARGE_BYTES: Final = 20 << 20
_DEADLINE_S: Final = 240
_EDGE_FLAGS: Final = ("--segment-seconds", "0.5", "--node-window", "2", "--node-poll-s", "1")
"""Small segments, few at a time: some are missing whenever the first has come."""
_NODE_FLAGS: Final = ("--engine-runtime", "local", "--engine", "warp")


@dataclass(frozen=True, slots=True, kw_only=True)
class Regions:
    """Two regions."""

    stack: Stack
    near: Link
    """From the client to the edge of its region."""
    far: Link
    """To the other edge."""
    home: Link
    """From the near edge to the node of its region."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What a command did."""

    seconds: float
    told: list[dict[str, Any]]
    digest: str

    @property
    def again_bytes(self) -> int:
        """Bytes that the edge that was left had, and that were sent again."""
        return sum(one["again_bytes"] for one in self.told if one.get("event") == "edge")

    @property
    def edges(self) -> list[str]:
        """The edges that were used, in turn."""
        return [one["edge"] for one in self.told if one.get("event") == "edge" and not one["file"]]

    def reasons(self) -> list[str]:
        """What was noticed."""
        return [one["reason"] for one in self.told if one.get("event") == "notice"]


@contextmanager
def two_regions() -> Iterator[Regions]:
    """Run them inside the block; every host is a network namespace."""
    with Network() as network:
        names = ("client", "edge", "edge2", "node", "node2")
        client, edge, edge2, node, node2 = hosts = [network.host(name) for name in names]
        near = network.connect(client, edge, delay_ms=NEAR_MS, rate_mbit=RATE_MBIT)
        far = network.connect(client, edge2, delay_ms=APART_MS, rate_mbit=RATE_MBIT)
        home = network.connect(edge, node, delay_ms=NEAR_MS, rate_mbit=RATE_MBIT)
        network.connect(edge2, node2, delay_ms=NEAR_MS, rate_mbit=RATE_MBIT)
        network.connect(edge, node2, delay_ms=APART_MS, rate_mbit=RATE_MBIT)
        network.connect(edge2, node, delay_ms=APART_MS, rate_mbit=RATE_MBIT)
        with Stack(
            edge_flags=_EDGE_FLAGS,
            node_flags=_NODE_FLAGS,
            more_nodes=("node2",),
            more_edges=("edge2",),
            prefixes={host.name: host.prefix for host in hosts},
            addresses={host.name: host.address for host in hosts if host is not client},
        ) as stack:
            yield Regions(stack=stack, near=near, far=far, home=home)


def run(regions: Regions, *arguments: str | Path, during: Callable[[dict[str, Any]], None] = lambda _: None) -> Done:
    """Run ``viseme dub`` from the client's region with both edges, and with a state folder of its own."""
    stack = regions.stack
    output = stack.root / f"out-{time.monotonic_ns()}.mp4"
    state = {**os.environ, "XDG_STATE_HOME": str(output.with_suffix(".state"))}
    command = [*stack.command("dub", *map(str, arguments), "-o", str(output), "--json")[:-1], stack.edges]
    told: list[dict[str, Any]] = []
    begun = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=state) as job:
        assert job.stdout is not None
        for line in job.stdout:
            told.append(json.loads(line))
            during(told[-1])
        _, errors = job.communicate(timeout=_DEADLINE_S)
    if job.returncode:
        raise RuntimeError(f"viseme dub ended with {job.returncode}: {errors}\n{stack.log('edge')[-2000:]}")
    return Done(seconds=time.monotonic() - begun, told=told, digest=film_digest(output))


def large_clip(path: Path) -> Path:
    """The clip followed by 20 MiB that players skip and nobody has seen before."""
    filler = struct.pack(">I4s", LARGE_BYTES + 8, b"free") + os.urandom(LARGE_BYTES)
    path.write_bytes(CLIP.read_bytes() + filler)
    return path


class Once:
    """Does something the first time that something holds for what is told."""

    def __init__(self, holds: Callable[[dict[str, Any]], bool], strike: Callable[[], object]) -> None:
        self._holds = holds
        self._strike = strike
        self.at: float | None = None
        """When."""

    def __call__(self, told: dict[str, Any]) -> None:
        if self.at is None and self._holds(told):
            self.at = time.monotonic()
            self._strike()


def half_uploaded(told: dict[str, Any]) -> bool:
    """Whether half of a large clip is safe at the edge."""
    return told.get("stage") == "upload" and told["done_bytes"] >= LARGE_BYTES // 2


def renders(told: dict[str, Any]) -> bool:
    """Whether the first frames are rendered."""
    return told.get("stage") == "infer" and bool(told.get("done_frames"))
