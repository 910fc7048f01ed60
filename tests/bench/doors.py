"""What locks cost: a unary call through each of them against none, and the walls around media in a job.

    python -m tests.bench.doors

Edges without a node, on one machine: without anything, with keys, by TLS, with both, and with tracing besides (to a
collector that takes everything). Rounds go by turns, and of each kind the round with the least median counts, since
other work on the machine only ever adds. Metrics are always on. Jobs are the committed clip with its speech, by `warp`.
"""

import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import viseme
from shared.access.key import DEFAULT_TENANT, ApiKey
from shared.access.keyring import Keyring
from shared.access.scope import EVERYTHING
from tests.caller import CLIP, SPEECH
from tests.collector import collector
from tests.stack import Stack

CALLS = 500
ROUNDS = 5
JOBS = 3


def main() -> None:
    """Print both tables."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        asyncio.run(_calls(dict(_edges(Path(folder), stack)), Path(folder)))
    _walls()


def _edges(folder: Path, stack: ExitStack) -> Iterator[tuple[str, tuple[str, str, bool]]]:
    key, text = ApiKey.make(name="bench", tenant=DEFAULT_TENANT, scopes=EVERYTHING)
    ring = folder / "keys.json"
    Keyring().with_key(key).write(ring)
    for words in ("init ca", "issue ca edge edge --host 127.0.0.1 -o edge", "issue ca client client -o client"):
        command = [sys.executable, "-m", "shared.cli", "certs", *words.split()]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
    keys = ("--keys", str(ring), "--tenant-requests-s", "0")
    tls = ("--tls-certificate", str(folder / "edge/certificate.pem"), "--tls-key", str(folder / "edge/key.pem"))
    traces = ("--otlp-endpoint", stack.enter_context(collector()).endpoint)
    for name, flags, shown in (
        ("nothing", (), ""),
        ("keys", keys, text),
        ("TLS", tls, ""),
        ("keys and TLS", (*keys, *tls), text),
        ("keys, TLS and tracing", (*keys, *tls, *traces), text),
    ):
        running = stack.enter_context(Stack(with_node=False, edge_flags=flags))
        yield name, (running.edge, shown, tls[0] in flags)


async def _calls(edges: dict[str, tuple[str, str, bool]], folder: Path) -> None:
    best: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        for name, (address, key, encrypted) in edges.items():
            ca = folder / "client/edges.pem" if encrypted else None
            async with viseme.connect(address, key=key, ca=ca) as edge:
                await edge.capabilities()
                seconds = []
                for _ in range(CALLS):
                    begun = time.perf_counter()
                    await edge.capabilities()
                    seconds.append(time.perf_counter() - begun)
            if name not in best or statistics.median(seconds) < statistics.median(best[name]):
                best[name] = seconds
    least = statistics.median(best["nothing"])
    print("| a unary call with | p50 | p99 | p50 against none |")
    print("|---|---|---|---|")
    for name, seconds in best.items():
        p50, p99 = statistics.median(seconds), statistics.quantiles(seconds, n=100)[98]
        print(f"| {name} | {p50 * 1e3:.2f} ms | {p99 * 1e3:.2f} ms | {p50 / least:.2f} |", flush=True)


@contextmanager
def _with(sandbox: str) -> Iterator[Stack]:
    with Stack(edge_flags=("--sandbox", sandbox), node_flags=("--engine-runtime", "local")) as running:
        yield running


def _walls() -> None:
    print("\n| media is opened | a first job on a face | a further one |")
    print("|---|---|---|", flush=True)
    first: dict[str, list[float]] = {"walls": [], "limits": []}
    again: dict[str, list[float]] = {"walls": [], "limits": []}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(JOBS):
            for sandbox in first:
                with _with(sandbox) as running:
                    for told in (first, again):
                        report = running.dub(CLIP, SPEECH, Path(folder) / "out.mp4", "--engine", "warp")
                        told[sandbox].append(report["seconds"]["total"])
    for sandbox, words in (("limits", "with bounded memory and time alone"), ("walls", "behind walls")):
        print(f"| {words} | {min(first[sandbox]):.2f} s | {min(again[sandbox]):.2f} s |", flush=True)


if __name__ == "__main__":
    main()
