"""Uploads on loopback, with hash and disk: gRPC beside a plain socket that copies, hashes and writes.

    python -m tests.bench.transfer            # a file of 512 MiB, five rounds
    python -m tests.bench.transfer --slow     # memory of the edge under 20 slow uploads, and one faster than its disk

Each row is a receiver and a sender, both processes of their own. The plain socket's receiver copies into a buffer of a
chunk, hashes it, writes it and syncs every 8 MiB; its sender only sends. Of gRPC the receiver is the whole edge and the
sender the SDK, which hashes too. The rows with other settings show what those that the programs make give. Rounds
alternate between the rows; shown is the median.
"""

import argparse
import asyncio
import contextlib
import hashlib
import os
import select
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

import viseme
from shared.digest import CHUNK_BYTES
from shared.memory import KEEP_MESSAGES, set_malloc
from shared.rpc.ready import parse
from shared.sdk.upload import PIECE_BYTES

CLIP = Path(__file__).resolve().parents[1] / "media" / "clip.mp4"
MIB = 1 << 20
SYNC_BYTES = 8 * MIB
EDGE = "import sys; sys.argv[0] = 'viseme-edge'; from edge_gateway.__main__ import main; "
PLAIN_MALLOC = "import shared.memory; shared.memory.set_malloc = lambda settings, environ: None; "
PLAIN_LOOP = "import asyncio, uvloop; uvloop.run = asyncio.run; "


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One upload."""

    seconds: float
    receiver_s: float
    """Processor time of the receiver, with its children, in seconds."""
    sender_s: float


def make_file(path: Path, size: int) -> None:
    """A clip of about ``size`` bytes, most of them in boxes that players skip; never twice the same."""
    path.write_bytes(CLIP.read_bytes())
    with path.open("ab") as file:
        for at in range(0, size, 64 * MIB):
            part = min(64 * MIB, size - at)
            file.write(struct.pack(">I4s", part + 8, b"free") + os.urandom(part))


def cpu_s(process: psutil.Process) -> float:
    """Processor time of a process and its children so far."""
    total = 0.0
    for member in [process, *process.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            times = member.cpu_times()
            total += times.user + times.system
    return total


def own_cpu_s() -> float:
    """Processor time of this process so far."""
    return time.process_time()


def receive_plain(folder: Path) -> None:
    """The plain receiver: tells its port, takes one file, says when it is safe."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        print(server.getsockname()[1], flush=True)
        link, _ = server.accept()
    used = own_cpu_s()
    buffer = memoryview(bytearray(CHUNK_BYTES))
    handle = os.open(folder / "plain", os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    with link:
        total = 0
        while got := link.recv_into(buffer, CHUNK_BYTES, socket.MSG_WAITALL):
            hashlib.sha256(buffer[:got]).digest()
            os.pwrite(handle, buffer[:got], total)
            total += got
            if total % SYNC_BYTES < CHUNK_BYTES:
                os.fdatasync(handle)
        os.fdatasync(handle)
        link.sendall(b"!")
    os.close(handle)
    print(own_cpu_s() - used, flush=True)


def send_plain(port: int, path: Path) -> None:
    """The plain sender."""
    with socket.create_connection(("127.0.0.1", port)) as link, path.open("rb", buffering=0) as file:
        begun, used = time.perf_counter(), own_cpu_s()
        while block := file.read(PIECE_BYTES):
            link.sendall(block)
        link.shutdown(socket.SHUT_WR)
        link.recv(1)
        print(time.perf_counter() - begun, own_cpu_s() - used)


async def send_grpc(address: str, path: Path) -> None:
    """The SDK as sender."""
    async with viseme.connect(address) as edge:
        await edge.capabilities()
        begun, used = time.perf_counter(), own_cpu_s()
        await edge.upload(path)
        print(time.perf_counter() - begun, own_cpu_s() - used)


def child(*arguments: str) -> list[str]:
    """This module as another process."""
    return [sys.executable, "-m", "tests.bench.transfer", *arguments]


def plain(folder: Path, path: Path) -> Run:
    """One upload by a plain socket."""
    with subprocess.Popen(child("--receive", str(folder)), stdout=subprocess.PIPE, text=True) as receiver:
        if receiver.stdout is None:
            raise RuntimeError("no pipe")
        port = receiver.stdout.readline().strip()
        told = subprocess.check_output(child("--send", port, str(path)), text=True).split()
        receiver_s = float(receiver.stdout.readline())
    (folder / "plain").unlink()
    return Run(seconds=float(told[0]), receiver_s=receiver_s, sender_s=float(told[1]))


@contextlib.contextmanager
def running_edge(folder: Path, prelude: str = "", *flags: str) -> Iterator[tuple[str, psutil.Process]]:
    """An edge without a node, with a prelude that changes what it sets; gives its address and itself."""
    reading, writing = os.pipe()
    any_port = [word for name in ("--listen", "--web", "--metrics") for word in (name, "127.0.0.1:0")]
    command = [sys.executable, "-c", prelude + EDGE + "main()", *any_port, "--data", str(folder / "edge"), *flags]
    with (folder / "edge.log").open("ab") as log:
        edge = subprocess.Popen(
            [*command, "--node", "127.0.0.1:1", "--ready-fd", str(writing)], pass_fds=[writing], stdout=log, stderr=log
        )
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as pipe:
        answered, _, _ = select.select([pipe], [], [], 60)
        line = pipe.readline() if answered else ""
    try:
        yield parse(line).addresses["rpc"], psutil.Process(edge.pid)
    finally:
        edge.terminate()
        edge.wait(30)


def by_grpc(prelude: str, *client: str) -> Callable[[Path, Path], Run]:
    """One upload by gRPC to an edge with a prelude, from a client with flags."""

    def run(folder: Path, path: Path) -> Run:
        with tempfile.TemporaryDirectory(dir=folder) as data, running_edge(Path(data), prelude) as (address, edge):
            before = cpu_s(edge)
            told = subprocess.check_output(child("--upload", address, str(path), *client), text=True).split()
            return Run(seconds=float(told[0]), receiver_s=cpu_s(edge) - before, sender_s=float(told[1]))

    return run


ROWS: dict[str, Callable[[Path, Path], Run]] = {
    "plain socket": plain,
    "gRPC": by_grpc(""),
    "gRPC, malloc as it comes": by_grpc(PLAIN_MALLOC, "--plain-malloc"),
    "gRPC, asyncio's loop in the edge": by_grpc(PLAIN_LOOP),
}


def show(size: int, rounds: int) -> None:
    """The table."""
    runs: dict[str, list[Run]] = {name: [] for name in ROWS}
    with tempfile.TemporaryDirectory(prefix="viseme-bench-") as name:
        folder = Path(name)
        path = folder / "file.mp4"
        make_file(path, size)
        for _ in range(rounds):
            for row, measure in ROWS.items():
                runs[row].append(measure(folder, path))
    gib = size / (1 << 30)
    first = statistics.median(run.seconds for run in runs["plain socket"])
    print(f"{size / MIB:.0f} MiB, median of {rounds}, {os.cpu_count()} cores\n")
    print("| | MiB/s | of plain | CPU s a GiB, receiver | sender |\n|---|---|---|---|---|")
    for row, all_runs in runs.items():
        seconds, receiver, sender = (
            statistics.median(getattr(run, field) for run in all_runs)
            for field in ("seconds", "receiver_s", "sender_s")
        )
        rate = f"{size / MIB / seconds:.0f} | {first / seconds:.0%}"
        print(f"| {row} | {rate} | {receiver / gib:.2f} | {sender / gib:.2f} |")


async def _slow(address: str, paths: list[Path], rate: float, stop_s: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with viseme.connect(address) as edge, asyncio.timeout(stop_s):
            await asyncio.gather(*(edge.upload(path, rate_limit=rate) for path in paths))


def show_slow(size: int) -> None:
    """Most memory of the edge: idle, with 20 uploads at 256 KiB/s each, with one as fast as it goes."""
    print("| | MiB held by the edge at most |\n|---|---|")
    with tempfile.TemporaryDirectory(prefix="viseme-bench-") as name:
        folder = Path(name)
        with running_edge(folder) as (address, edge):
            print(f"| idle | {edge.memory_full_info().uss / MIB:.0f} |", flush=True)
            paths = [folder / f"{number}.mp4" for number in range(20)]
            for path in paths:
                make_file(path, 8 * MIB)
            fast = folder / "fast.mp4"
            make_file(fast, size)
            for row, work in (
                ("20 uploads at 256 KiB/s", lambda: asyncio.run(_slow(address, paths, 256 << 10, 20.0))),
                ("one as fast as it goes", lambda: asyncio.run(_slow(address, [fast], 0, 120.0))),
            ):
                worker = threading.Thread(target=work)
                worker.start()
                most = 0.0
                while worker.is_alive():
                    most = max(most, edge.memory_full_info().uss / MIB)
                    worker.join(0.1)
                print(f"| {row} | {most:.0f} |", flush=True)


def main() -> None:
    """Print a table, or be one of its processes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mib", type=int, default=512, help="size of the file")
    parser.add_argument("--rounds", type=int, default=5, help="uploads a row")
    parser.add_argument("--slow", action="store_true", help="memory under slow uploads")
    parser.add_argument("--receive", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--send", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--upload", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--plain-malloc", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.receive:
        receive_plain(given.receive)
    elif given.send:
        send_plain(int(given.send[0]), Path(given.send[1]))
    elif given.upload:
        if not given.plain_malloc:
            set_malloc(KEEP_MESSAGES, os.environ)
        asyncio.run(send_grpc(given.upload[0], Path(given.upload[1])))
    elif given.slow:
        show_slow(given.mib * MIB)
    else:
        show(given.mib * MIB, given.rounds)


if __name__ == "__main__":
    main()
