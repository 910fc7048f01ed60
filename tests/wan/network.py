"""Hosts that are network namespaces, and emulated links between them.

    with link_of_two(delay_ms=50, rate_mbit=10, loss=0.01) as link:
        with link.server.popen(["python3", "-m", "http.server", "8000"]):
            link.server.wait_for_port(8000)
            link.client.run(["curl", f"http://{link.server.address}:8000/"], check=True)
            link.cut(seconds=5)
            print(link.counters().up.delivered_bytes)

``Network`` takes any number of hosts; each pair has the link that it is given, or none. Needs root and /dev/net/tun.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeAlias, TypeVar

from tests.wan import leftover, namespace
from tests.wan.emulator import MESSAGE_BYTES
from tests.wan.pipe import UNQUEUED_BYTES, Counters, Shape

ROOT = Path(__file__).resolve().parents[2]
DEFAULT_MTU = 1500
DEFAULT_QUEUE_MS = 100.0
LEAST_QUEUE_BYTES = 16 * DEFAULT_MTU
END_SECONDS = 15

Each: TypeAlias = float | tuple[float, float]
"""The same both ways, or (up, down): up goes from the client to the server."""

_P = ParamSpec("_P")
_T = TypeVar("_T")


class LinkError(Exception):
    """The emulator could not do what it was asked for, or is no more."""


def _pair(value: Each) -> tuple[float, float]:
    return value if isinstance(value, tuple) else (value, value)


def shapes(
    *,
    delay_ms: float = 0.0,
    rate_mbit: Each | None = None,
    loss: Each = 0.0,
    jitter_ms: Each = 0.0,
    queue_ms: Each | None = None,
    queue_bytes: int | None = None,
    reorder: bool = False,
) -> tuple[Shape, Shape]:
    """The two directions of a link, up and down.

    Args:
        delay_ms: The round trip of a small packet on an idle link: half of it each way.
        rate_mbit: 10^6 bits of IP packets a second; None for no limit.
        loss: Share of packets lost, 0 to 1, drawn for each packet.
        jitter_ms: Each packet takes up to this much longer on its way.
        queue_ms: What may wait for the line, as time of the line; 100 ms (but 16 full packets) where neither is given.
        queue_bytes: The same in bytes.
        reorder: Whether jitter may change the order of packets.
    """
    if queue_ms is not None and (queue_bytes is not None or rate_mbit is None):
        raise ValueError("queue_ms goes with a rate, and without queue_bytes")
    rates = (None, None) if rate_mbit is None else _pair(rate_mbit)

    def queue(rate: float | None, way: int) -> int:
        if queue_bytes is not None:
            return queue_bytes
        if rate is None:
            return UNQUEUED_BYTES
        if queue_ms is not None:
            return max(1, round(rate * 125 * _pair(queue_ms)[way]))
        return max(LEAST_QUEUE_BYTES, round(rate * 125 * DEFAULT_QUEUE_MS))

    up, down = (
        Shape(
            delay_s=delay_ms / 2000,
            rate_bit_s=None if rate is None else rate * 1e6,
            loss=_pair(loss)[way],
            jitter_s=_pair(jitter_ms)[way] / 1000,
            queue_bytes=queue(rate, way),
            reorder=reorder,
        )
        for way, rate in enumerate(rates)
    )
    return up, down


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A network namespace.

    Args:
        name: What it was called.
        address: Its IPv4 address; links lead to it.
        namespace: The path by which it can be entered while the network is there.
        prefix: What to put before a command so that it runs there; it is replaced by the command, pid and all.
        mark: What tells its processes from others, in their environment.
    """

    name: str
    address: str
    namespace: str
    prefix: tuple[str, ...]
    mark: str

    def popen(self, command: Sequence[str | Path], **options: Any) -> subprocess.Popen[Any]:
        """``subprocess.Popen`` in this namespace; ended with its network at the latest."""
        environment = {**(options.pop("env", None) or os.environ), leftover.MARK: self.mark}

        def start() -> subprocess.Popen[Any]:
            return subprocess.Popen(list(map(str, command)), env=environment, **options)

        return self.call(start)  # born there, not entering late: so it is found whenever the network ends

    def run(self, command: Sequence[str | Path], **options: Any) -> subprocess.CompletedProcess[Any]:
        """``subprocess.run`` in this namespace."""
        check = bool(options.pop("check", False))
        return subprocess.run([*self.prefix, *map(str, command)], check=check, **options)

    def call(self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Call a function in a thread in this namespace; sockets that it makes stay there wherever they are used."""
        return namespace.call_inside(self.namespace, function, *args, **kwargs)

    def sysctl(self, name: str, value: str) -> None:
        """Set one of this namespace's own settings, such as ``net.ipv4.tcp_congestion_control``."""
        self.call(Path("/proc/sys", *name.split(".")).write_text, value)

    def wait_for_port(
        self, port: int, *, seconds: float = 30.0, process: "subprocess.Popen[Any] | None" = None
    ) -> None:
        """Wait until something here listens on a TCP port; sends nothing.

        Raises:
            LinkError: Nothing does in time, or before ``process`` ends.
        """
        deadline = time.monotonic() + seconds
        while not self.call(namespace.listening, port):
            if process is not None and process.poll() is not None:
                raise LinkError(f"what should listen on port {port} of {self.name} ended with {process.returncode}")
            if time.monotonic() > deadline:
                raise LinkError(f"nothing listens on port {port} of {self.name} after {seconds:.0f} s")
            time.sleep(0.02)


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkCounters:
    """What a link did in each direction."""

    up: Counters
    down: Counters


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What the emulator itself took: when this was counted, processor time, wake-ups, and packets to nowhere."""

    at_s: float
    cpu_s: float
    wakes: int
    astray_packets: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """The link between two hosts."""

    client: Host
    server: Host
    network: "Network"
    number: int

    def cut(self, *, seconds: float | None = None, up: bool = True, down: bool = True) -> None:
        """Lose all that is under way and all that comes, silently; for some time or until ``restore``."""
        ways = [way for way, is_cut in (("up", up), ("down", down)) if is_cut]
        self.network.ask("cut", link=self.number, ways=ways, seconds=seconds)

    def restore(self) -> None:
        """End a cut."""
        self.network.ask("restore", link=self.number)

    def reshape(self, **options: Any) -> None:
        """Make it another link, by what ``shapes`` takes; packets under way keep their times."""
        up, down = shapes(**options)
        self.network.ask("reshape", link=self.number, up=asdict(up), down=asdict(down))

    def counters(self) -> LinkCounters:
        """What it did so far."""
        told = self.network.ask("counters", link=self.number)
        return LinkCounters(up=Counters(**told["up"]), down=Counters(**told["down"]))


class Network:
    """Hosts and links, and the process that carries their packets; use it as a context manager.

    Leaving it ends whatever still runs on its hosts.

    Raises:
        LinkError: This machine cannot do that; ``namespace.unavailable`` says why.
    """

    def __init__(self, *, mtu: int = DEFAULT_MTU) -> None:
        if (reason := namespace.unavailable()) is not None:
            raise LinkError(reason)
        self._enter = shutil.which("nsenter")
        if self._enter is None:
            raise LinkError("entering a namespace needs nsenter (util-linux)")
        self.hosts: dict[str, Host] = {}
        self.links: list[Link] = []
        self._control, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        own = os.pidfd_open(os.getpid())
        fds = [far.fileno(), own]
        try:
            self._emulator = subprocess.Popen(
                [sys.executable, "-m", "tests.wan.emulator", *map(str, fds), str(mtu)],
                cwd=ROOT,
                pass_fds=fds,
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for the programs
            )
        finally:
            far.close()
            os.close(own)
        try:
            self._mark = str(self._answer()["mark"])
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def host(self, name: str) -> Host:
        """Add a host."""
        if name in self.hosts:
            raise ValueError(f"there is a host {name} already")
        told = self.ask("host", name=name)
        enter = (str(self._enter), f"--net={told['namespace']}", "env", f"{leftover.MARK}={self._mark}")
        made = Host(name=name, address=told["address"], namespace=told["namespace"], prefix=enter, mark=self._mark)
        self.hosts[name] = made
        return made

    def connect(self, client: Host, server: Host, *, seed: int = 0, **options: Any) -> Link:
        """Lay a link between two hosts: the options of ``shapes``, and a seed for what is left to chance."""
        if client == server or any({client.name, server.name} == {a.client.name, a.server.name} for a in self.links):
            raise ValueError(f"{client.name} and {server.name} cannot be linked (again)")
        up, down = shapes(**options)
        told = self.ask("connect", client=client.name, server=server.name, up=asdict(up), down=asdict(down), seed=seed)
        link = Link(client=client, server=server, network=self, number=told["link"])
        self.links.append(link)
        return link

    def usage(self) -> Usage:
        """What the emulator took so far."""
        return Usage(**self.ask("usage"))

    def ask(self, what: str, **options: Any) -> dict[str, Any]:
        """Have the emulator do something; for ``Link`` and ``Host``."""
        try:
            self._control.send(json.dumps({"do": what, **options}).encode())
        except OSError as error:
            raise LinkError("the emulator of the link is no more") from error
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        try:
            message = self._control.recv(MESSAGE_BYTES)
        except ConnectionError:
            message = b""
        if not message:
            raise LinkError("the emulator of the link ended")
        told: dict[str, Any] = json.loads(message)
        if "error" in told:
            raise LinkError(told["error"])
        return told

    def close(self) -> None:
        """End what runs on the hosts, the links and the namespaces."""
        self._control.close()
        try:
            self._emulator.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._emulator.send_signal(signal.SIGKILL)
            self._emulator.wait()
            raise


@contextmanager
def link_of_two(*, mtu: int = DEFAULT_MTU, **options: Any) -> Iterator[Link]:
    """A client, a server, and the link between them: the options of ``shapes``, and ``seed``."""
    with Network(mtu=mtu) as network:
        yield network.connect(network.host("client"), network.host("server"), **options)
