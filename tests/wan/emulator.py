"""The process between the namespaces: reads packets from one TUN device, and writes them to another when they are due.

``tests.wan.network`` starts it and talks to it over a socket; when that closes, or the process behind it ends however
it ends, this one ends what runs in its namespaces and then itself, and with it devices and namespaces.
"""

import contextlib
import gc
import json
import math
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from types import FrameType
from typing import Any, NoReturn

from tests.wan import leftover, namespace
from tests.wan.pipe import Pipe, Shape

NETWORK = "10.77"
PREFIX_BITS = 16
MESSAGE_BYTES = 1 << 16
BATCH_PACKETS = 128
"""Packets read from one device before the others have their turn."""
AHEAD_S = 0.0002
"""Packets due within this time leave together: half the wake-ups, a fifth of a millisecond early."""


class Ended(BaseException):
    """Somebody wants this process to end."""


@dataclass(slots=True)
class End:
    """A host: its namespace, its device, which pipe leads to which address, and packets that went nowhere."""

    address: str
    namespace: int
    tun: int
    routes: dict[bytes, Pipe] = field(default_factory=dict)
    astray: int = 0


@dataclass(slots=True)
class Emulator:
    """All hosts and links of one network."""

    control: socket.socket
    parent: int
    mtu: int
    hosts: dict[str, End] = field(default_factory=dict)
    links: list[dict[str, Pipe]] = field(default_factory=list)
    _outs: list[tuple[Pipe, int]] = field(default_factory=list)
    _tuns: dict[int, End] = field(default_factory=dict)
    _mark: str = ""
    _wakes: int = 0

    def run(self) -> None:
        """Carry packets until the other end of the control socket closes."""
        self._mark = leftover.mark(os.getpid())
        try:
            self._answer({"mark": self._mark})
            while self._turn():
                pass
        finally:
            leftover.end_inside([end.namespace for end in self.hosts.values()], self._mark)

    def _turn(self) -> bool:
        """Wait for packets, due times and requests, and serve them; False when it is time to end."""
        due = min((pipe.due() for pipe, _ in self._outs), default=math.inf)
        wait = None if due == math.inf else max(0.0, due - time.monotonic())
        # select, for its microseconds: epoll and poll round to milliseconds.
        readable, _, _ = select.select([self.control.fileno(), self.parent, *self._tuns], [], [], wait)
        self._wakes += 1
        for fd in readable:
            if fd == self.control.fileno():
                if not self._serve():
                    return False
            elif fd == self.parent:
                return False
            else:
                self._read(fd)
        self._write()
        return True

    def _read(self, fd: int) -> None:
        end = self._tuns[fd]
        routes = end.routes
        now = time.monotonic()
        try:
            for _ in range(BATCH_PACKETS):
                packet = os.read(fd, self.mtu)
                pipe = routes.get(packet[16:20])  # the destination in an IPv4 header
                if pipe is None:
                    end.astray += 1
                else:
                    pipe.offer(now, packet)
        except BlockingIOError:
            pass

    def _write(self) -> None:
        now = time.monotonic()
        for pipe, fd in self._outs:
            for packet in pipe.take(now, ahead_s=AHEAD_S):
                try:
                    os.write(fd, packet)
                except OSError:  # a device that was set down
                    self._tuns[fd].astray += 1

    def _answer(self, what: dict[str, Any]) -> None:
        self.control.send(json.dumps(what).encode())

    def _serve(self) -> bool:
        message = self.control.recv(MESSAGE_BYTES)
        if not message:
            return False
        request = json.loads(message)
        does: dict[str, Callable[..., dict[str, Any]]] = {
            "host": self._host,
            "connect": self._connect,
            "cut": self._cut,
            "restore": self._restore,
            "reshape": self._reshape,
            "counters": self._counters,
            "usage": self._usage,
        }
        try:
            answer = does[request.pop("do")](**request)
        except (OSError, ValueError) as error:
            answer = {"error": str(error)}
        self._answer(answer)
        return True

    def _host(self, name: str) -> dict[str, Any]:
        number = len(self.hosts) + 1
        address = f"{NETWORK}.{number >> 8}.{number & 255}"
        space, tun = namespace.make(address, PREFIX_BITS, self.mtu)
        end = self.hosts[name] = self._tuns[tun] = End(address, space, tun)
        return {"address": end.address, "namespace": f"/proc/{os.getpid()}/fd/{space}"}

    def _connect(self, client: str, server: str, up: dict[str, Any], down: dict[str, Any], seed: int) -> dict[str, Any]:
        near, far = self.hosts[client], self.hosts[server]
        pipes = {"up": Pipe(Shape(**up), seed=2 * seed), "down": Pipe(Shape(**down), seed=2 * seed + 1)}
        near.routes[socket.inet_aton(far.address)] = pipes["up"]
        far.routes[socket.inet_aton(near.address)] = pipes["down"]
        self._outs += [(pipes["up"], far.tun), (pipes["down"], near.tun)]
        self.links.append(pipes)
        return {"link": len(self.links) - 1}

    def _cut(self, link: int, ways: list[str], seconds: float | None) -> dict[str, Any]:
        now = time.monotonic()
        for way in ways:
            self.links[link][way].cut(now, until=math.inf if seconds is None else now + seconds)
        return {}

    def _restore(self, link: int) -> dict[str, Any]:
        for pipe in self.links[link].values():
            pipe.restore()
        return {}

    def _reshape(self, link: int, up: dict[str, Any], down: dict[str, Any]) -> dict[str, Any]:
        self.links[link]["up"].reshape(Shape(**up))
        self.links[link]["down"].reshape(Shape(**down))
        return {}

    def _counters(self, link: int) -> dict[str, Any]:
        now = time.monotonic()
        return {way: asdict(pipe.counters(now)) for way, pipe in self.links[link].items()}

    def _usage(self) -> dict[str, Any]:
        return {
            "at_s": time.monotonic(),
            "cpu_s": time.process_time(),
            "wakes": self._wakes,
            "astray_packets": sum(end.astray for end in self.hosts.values()),
        }


def _end(_number: int, _frame: FrameType | None) -> NoReturn:
    raise Ended


def main() -> None:
    """Run on the socket, the parent's pidfd and the MTU that the command line gives."""
    control_fd, parent_fd, mtu = map(int, sys.argv[1:])
    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.disable()  # nothing here is a cycle, and a link does not pause
    with contextlib.suppress(OSError):  # nor does it slow down because the machine is busy
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    leftover.sweep()
    with contextlib.suppress(Ended, ConnectionError), socket.socket(fileno=control_fd) as control:
        Emulator(control, parent_fd, mtu).run()


if __name__ == "__main__":
    main()
