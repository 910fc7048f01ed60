"""Uploads on loopback, with hash and disk.

Each row is a receiver and a sender, both processes of their own. The plain socket's receiver copies into a buffer of a
chunk, hashes it, writes it and syncs every 8 MiB; its sender only sends. Of the others the receiver is the whole edge;
the SDK hashes too, tus clients do not. The rows with other settings show what those that the programs make give.
"""

import asyncio
import contextlib
import json
import os
import select
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

import viseme
from shared.rpc.ready import parse
from tests.bench.transfer import table
from tests.bench.transfer.large import MIB, make_file, renew
from tests.bench.transfer.sender import Sent

EDGE = "import sys; sys.argv[0] = 'viseme-edge'; from edge_gateway.__main__ import main; "
PLAIN_MALLOC = "import shared.memory; shared.memory.set_malloc = lambda settings, environ: None; "
PLAIN_LOOP = "import asyncio, uvloop; uvloop.run = asyncio.run; "


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One upload."""

    sent: Sent
    receiver_s: float
    """Processor time of the receiver, with its children, in seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningEdge:
    """An edge without a node."""

    rpc: str
    web: str
    process: psutil.Process

    def cpu_s(self) -> float:
        """Processor time of it and its children so far."""
        total = 0.0
        for member in [self.process, *self.process.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                times = member.cpu_times()
                total += times.user + times.system + times.children_user + times.children_system
        return total


@contextlib.contextmanager
def running_edge(folder: Path, prelude: str = "") -> Iterator[RunningEdge]:
    """An edge with a prelude that changes what it sets."""
    reading, writing = os.pipe()
    any_port = [word for name in ("--listen", "--web", "--metrics") for word in (name, "127.0.0.1:0")]
    command = [sys.executable, "-c", prelude + EDGE + "main()", *any_port, "--data", str(folder)]
    with folder.with_suffix(".log").open("ab") as log:
        edge = subprocess.Popen(
            [*command, "--node", "127.0.0.1:1", "--ready-fd", str(writing)], pass_fds=[writing], stdout=log, stderr=log
        )
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as pipe:
        answered, _, _ = select.select([pipe], [], [], 60)
        line = pipe.readline() if answered else ""
    try:
        addresses = parse(line).addresses
        yield RunningEdge(rpc=addresses["rpc"], web=addresses["web"], process=psutil.Process(edge.pid))
    finally:
        edge.terminate()
        edge.wait(30)


def send(way: str, address: str, path: Path, *flags: str) -> Sent:
    """Send one file from a process of its own, over memory that was just used."""
    command = [sys.executable, "-m", "tests.bench.transfer.sender", way, address, str(path), *flags]
    command += ["--touch", str(path.stat().st_size)]
    return Sent(**json.loads(subprocess.check_output(command, text=True))[0])


def plain(path: Path) -> Run:
    """One upload by a plain socket."""
    command = [sys.executable, "-m", "tests.bench.transfer.plain", str(path.parent), "127.0.0.1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as receiver:
        if receiver.stdout is None:
            raise RuntimeError("no pipe")
        sent = send("plain", f"127.0.0.1:{receiver.stdout.readline().strip()}", path)
        return Run(sent=sent, receiver_s=float(receiver.stdout.readline()))


async def _clear(address: str) -> None:
    async with viseme.connect(address) as edge:
        for asset in [asset async for asset in edge.assets.list()]:
            await edge.assets.delete(asset.id)


def to_edge(edge: RunningEdge, way: str, *flags: str) -> Callable[[Path], Run]:
    """One upload to an edge."""

    def run(path: Path) -> Run:
        before = edge.cpu_s()
        sent = send(way, edge.rpc if way == "grpc" else edge.web, path, *flags)
        used = edge.cpu_s() - before
        asyncio.run(_clear(edge.rpc))
        return Run(sent=sent, receiver_s=used)

    return run


def show(size: int, rounds: int) -> None:
    """The table."""
    with tempfile.TemporaryDirectory(prefix="viseme-bench-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        edge, plain_malloc, plain_loop = (
            stack.enter_context(running_edge(folder / f"edge{number}", prelude))
            for number, prelude in enumerate(("", PLAIN_MALLOC, PLAIN_LOOP))
        )
        ways: dict[str, Callable[[Path], Run]] = {
            "plain socket": plain,
            "gRPC": to_edge(edge, "grpc"),
            "tus, one PATCH": to_edge(edge, "tus"),
            "tus by tuspy": to_edge(edge, "tuspy"),
            "gRPC, malloc as it comes": to_edge(plain_malloc, "grpc", "--plain-malloc"),
            "gRPC, asyncio's loop in the edge": to_edge(plain_loop, "grpc"),
        }
        runs: dict[str, list[Run]] = {way: [] for way in ways}
        path = make_file(folder / "file.mp4", size)
        for _ in range(rounds):
            for way, measure in ways.items():
                runs[way].append(measure(renew(path)))
    print(f"{size / MIB:.0f} MiB, median of {rounds}, {os.cpu_count()} cores. `safe`: every byte hashed and synced;")
    print("`done`: the file was also looked at in the sandbox, which the plain socket does not do.\n")
    table.head("", "safe MiB/s", "of plain", "from to", "done MiB/s", "CPU s a GiB, receiver", "sender")
    first = table.middle(runs["plain socket"], lambda run: run.sent.safe_s)
    for way, all_runs in runs.items():
        safe, done = (
            table.middle(all_runs, lambda run: run.sent.safe_s),
            table.middle(all_runs, lambda run: run.sent.seconds),
        )
        rates = [size / MIB / run.sent.safe_s for run in all_runs]
        receiver = table.middle(all_runs, lambda run: run.receiver_s) * 1024 * MIB / size
        sender = table.middle(all_runs, lambda run: run.sent.cpu_s) * 1024 * MIB / size
        table.row(
            way,
            f"{size / MIB / safe:.0f}",
            f"{first / safe:.0%}",
            table.spread(rates, ".0f"),
            f"{size / MIB / done:.0f}",
            f"{receiver:.2f}",
            f"{sender:.2f}",
        )
