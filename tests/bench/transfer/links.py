"""20 MB over emulated links: the SDK's upload to an edge beside plain TCP, cold (a new connection) and warm (a second
file on the same one).

Of gRPC this is the time until every byte is hashed and synced at the edge; of plain TCP as well. They alternate on the
same link. Namespaces, real TCP; the congestion control is the kernel's default.
"""

import contextlib
import itertools
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.bench.transfer import table
from tests.bench.transfer.large import make_file, renew
from tests.bench.transfer.sender import Sent
from tests.stack import Stack
from tests.wan.network import Host, Link, link_of_two

MB = 1_000_000
SIZE = 20 * MB


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A link, and how often both are tried on it."""

    delay_ms: int
    rate_mbit: int
    loss: float
    rounds: int


EVERY = tuple(
    Case(delay_ms=delay, rate_mbit=rate, loss=loss, rounds=1 if rate == 10 else 3)
    for rate, loss, delay in itertools.product((10, 100), (0.0, 0.01), (50, 100, 200))
)
SOME = (
    Case(delay_ms=50, rate_mbit=10, loss=0.0, rounds=1),
    Case(delay_ms=200, rate_mbit=10, loss=0.01, rounds=1),
    *(Case(delay_ms=delay, rate_mbit=100, loss=0.0, rounds=3) for delay in (50, 100, 200)),
    *(Case(delay_ms=delay, rate_mbit=100, loss=0.01, rounds=2) for delay in (50, 200)),
)


@contextlib.contextmanager
def plain_receiver(host: Host, folder: Path) -> Iterator[str]:
    """The plain receiver for one connection; gives its address."""
    command = [sys.executable, "-m", "tests.bench.transfer.plain", str(folder), host.address]
    with host.popen(command, stdout=subprocess.PIPE, text=True) as receiver:
        if receiver.stdout is None:
            raise RuntimeError("no pipe")
        try:
            yield f"{host.address}:{receiver.stdout.readline().strip()}"
        finally:
            receiver.terminate()


def send(host: Host, way: str, address: str, paths: list[Path]) -> list[Sent]:
    """Send files from a host over one connection."""
    command = [sys.executable, "-m", "tests.bench.transfer.sender", way, address, *map(str, paths)]
    told = host.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return [Sent(**one) for one in json.loads(told)]


def congestion(link: Link) -> str:
    """The congestion control that the sender's kernel uses."""
    name = link.client.call(Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text)
    return name.strip()


def measure(case: Case, folder: Path) -> str:
    """One row; gives the congestion control."""
    paths = [make_file(folder / f"{number}.mp4", SIZE) for number in range(2)]
    seconds: dict[tuple[str, int], list[float]] = {key: [] for key in itertools.product(("plain", "grpc"), (0, 1))}
    with (
        link_of_two(delay_ms=case.delay_ms, rate_mbit=case.rate_mbit, loss=(case.loss, case.loss), seed=1) as link,
        Stack(
            folder=folder,
            with_node=False,
            prefixes={"edge": link.server.prefix},
            addresses={"edge": link.server.address},
        ) as stack,
    ):
        used = congestion(link)
        for _ in range(case.rounds):
            with plain_receiver(link.server, folder) as address:
                sent = {"plain": send(link.client, "plain", address, paths)}
            sent["grpc"] = send(link.client, "grpc", stack.edge, list(map(renew, paths)))
            for (way, number), took in seconds.items():
                took.append(sent[way][number].safe_s)
    line = SIZE * 8 / case.rate_mbit / 1e6
    cells = [f"{case.delay_ms} ms, {case.rate_mbit} Mbit/s, {case.loss:.0%} loss", f"{line:.1f} s"]
    for number in (0, 1):
        plain, grpc = (table.middle(seconds[way, number], float) for way in ("plain", "grpc"))
        cells += [f"{plain:.2f} s", f"{grpc:.2f} s", f"{plain / grpc:.0%}"]
    table.row(*cells)
    return used


def show(*, full: bool) -> None:
    """The table."""
    print("20 MB; seconds until all is safe. Ratio: rate of gRPC as a share of plain TCP's.\n")
    table.head("link", "line time", "plain cold", "gRPC cold", "ratio", "plain warm", "gRPC warm", "ratio")
    used = set()
    for case in EVERY if full else SOME:
        with tempfile.TemporaryDirectory(prefix="viseme-bench-") as name:
            used.add(measure(case, Path(name)))
    print(f"\nCongestion control: {', '.join(used)}.")
