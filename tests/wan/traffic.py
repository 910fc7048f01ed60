"""Plain traffic between the hosts of an emulated link: ping, TCP, UDP."""

import itertools
import os
import socket
import struct
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from tests.wan.network import Host

DEADLINE_S = 30.0
BLOCK = bytes(1 << 16)
_ROOM_BYTES = 64 << 20
_SO_RCVBUFFORCE = 33
_ECHO, _ECHO_REPLY = 8, 0


def _checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071) of an even number of bytes."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def ping(source: Host, target: Host, *, count: int = 1, timeout_s: float = DEADLINE_S) -> list[float | None]:
    """ICMP echoes, one after the other: the seconds of each round trip, None for one that did not come back in time."""
    identity = os.getpid() & 0xFFFF
    trips: list[float | None] = []
    with source.call(socket.socket, socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as icmp:
        for number in range(count):
            head = struct.pack("!BBHHH", _ECHO, 0, 0, identity, number)
            begun = time.monotonic()
            icmp.sendto(struct.pack("!BBHHH", _ECHO, 0, _checksum(head), identity, number), (target.address, 0))
            trips.append(_reply(icmp, struct.pack("!HH", identity, number), begun, timeout_s))
    return trips


def _reply(icmp: socket.socket, which: bytes, begun: float, timeout_s: float) -> float | None:
    while (left := begun + timeout_s - time.monotonic()) > 0:
        icmp.settimeout(left)
        try:
            packet = icmp.recv(2048)
        except TimeoutError:
            return None
        if packet[20] == _ECHO_REPLY and packet[24:28] == which:
            return time.monotonic() - begun
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """What came out of a connection: bytes, and the seconds from the first to the last."""

    count: int
    seconds: float

    @property
    def mbit_s(self) -> float:
        """10^6 bits of content a second."""
        return self.count * 8 / self.seconds / 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """A TCP connection in use."""

    source: socket.socket
    received: "Future[Received]"

    def send(self, count: int) -> None:
        """Send so many bytes."""
        for _ in range(count // len(BLOCK)):
            self.source.sendall(BLOCK)
        self.source.sendall(BLOCK[: count % len(BLOCK)])

    def end(self) -> Received:
        """Close it and wait for all to arrive."""
        self.source.shutdown(socket.SHUT_WR)
        return self.received.result(DEADLINE_S)


def _drain(connection: socket.socket) -> Received:
    begun = last = time.monotonic()
    total = 0
    connection.settimeout(DEADLINE_S)
    with connection:
        for number in itertools.count():
            data = connection.recv(1 << 20)
            if not data:
                break
            last = time.monotonic()
            if not number:
                begun = last
            total += len(data)
    return Received(count=total, seconds=max(last - begun, 1e-6))


@contextmanager
def tcp(source: Host, target: Host) -> Iterator[Transfer]:
    """A TCP connection whose far end reads all that comes."""
    with target.call(socket.create_server, (target.address, 0)) as listener, ThreadPoolExecutor(1) as pool:
        port = int(listener.getsockname()[1])
        near = source.call(socket.create_connection, (target.address, port), timeout=DEADLINE_S)
        with near:
            far, _ = listener.accept()
            yield Transfer(source=near, received=pool.submit(_drain, far))


def flood(source: Host, target: Host, *, count: int, size: int, port: int = 9) -> None:
    """Send datagrams of ``size`` bytes (of IP) at once, whether somebody takes them or not."""
    with source.call(socket.socket, socket.AF_INET, socket.SOCK_DGRAM) as near:
        for _ in range(count):
            near.sendto(bytes(size - 28), (target.address, port))


def udp(source: Host, target: Host, *, count: int, size: int) -> int:
    """Send datagrams of ``size`` bytes (of IP) at once; returns how many came until there was silence."""
    with target.call(socket.socket, socket.AF_INET, socket.SOCK_DGRAM) as far:
        far.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _ROOM_BYTES)
        far.bind((target.address, 0))
        far.settimeout(1.0)
        flood(source, target, count=count, size=size, port=far.getsockname()[1])
        for came in itertools.count():
            try:
                far.recv(2048)
            except TimeoutError:
                return came
    raise AssertionError
