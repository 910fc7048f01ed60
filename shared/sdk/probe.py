"""How the way to one edge is: round trip, jitter, throughput both ways, clocks, encryption; nothing is guessed."""

import asyncio
import itertools
import os
import ssl
import statistics
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import grpc

from shared.errors import EdgeUnavailableError
from shared.pb.viseme.gateway.v1 import network_pb2 as pb
from shared.rpc.address import Address
from shared.rpc.channel import END, send
from shared.sdk.link import Link

PINGS: Final = 12
"""Questions one after the other; the first, which pays for what is cold, does not count."""
PIECE_BYTES: Final = 32 << 10
MEASURE_S: Final = 2.0
"""Nothing more is sent or asked for after so long."""
MEASURE_BYTES: Final = 32 << 20
"""Nor after so many bytes: a second of 250 Mbit/s."""
FIRST_BYTES: Final = 64 << 10
"""Under way at first; grows by what has come through, as TCP does."""
WAIT_S: Final = 15.0
"""A way that has not brought through by then what was sent has next to no rate."""
_TLS_S: Final = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeWay:
    """The way from here to an edge."""

    round_trip_s: float
    """Half of the round trips are shorter."""
    shortest_s: float
    jitter_s: float
    """The mean difference between one round trip and the next."""
    up_bits_s: float
    down_bits_s: float
    skew_s: float
    """How far the edge's clock is ahead of ours."""
    skew_error_s: float
    """By how much that may be wrong: half of the shortest round trip."""
    is_encrypted: bool


async def probe(link: Link, clock: Callable[[], float] = time.monotonic) -> EdgeWay:
    """Measure the way to an edge; takes about ``2 * MEASURE_S`` seconds, less where the way is fast.

    Raises:
        EdgeUnavailableError: It does not answer, or not any more.
    """
    is_encrypted = await speaks_tls(link.address)
    try:
        async with asyncio.timeout(3 * WAIT_S):
            async with _call(link) as call:
                trips, skew_s = await _ping(call, clock)
            async with _call(link) as call:
                up_bits_s = await _Flow(call, clock, up=True).run()
            async with _call(link) as call:
                down_bits_s = await _Flow(call, clock, up=False).run()
    except grpc.RpcError as error:
        raise link.error(error) from error
    except TimeoutError:
        raise EdgeUnavailableError(
            f"the edge at {link.address} took longer than {3 * WAIT_S:g} s to be measured"
        ) from None
    steps = [abs(after - before) for before, after in itertools.pairwise(trips)]
    return EdgeWay(
        round_trip_s=statistics.median(trips),
        shortest_s=min(trips),
        jitter_s=statistics.fmean(steps),
        up_bits_s=up_bits_s,
        down_bits_s=down_bits_s,
        skew_s=skew_s,
        skew_error_s=min(trips) / 2,
        is_encrypted=is_encrypted,
    )


async def speaks_tls(address: Address) -> bool:
    """Whether the port answers a TLS handshake, whoever signed its certificate."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    try:
        async with asyncio.timeout(_TLS_S):
            _, writer = await asyncio.open_connection(address.host, address.port, ssl=context)
    except (OSError, TimeoutError):  # an SSLError is one
        return False
    writer.close()
    return True


@asynccontextmanager
async def _call(link: Link) -> AsyncIterator[Any]:
    call: Any = link.probes.Probe(None)
    try:
        yield call
    finally:
        call.cancel()


async def _answer(call: Any) -> pb.ProbeResponse:
    answer = await call.read()
    if answer is END:
        raise grpc.aio.AioRpcError(
            await call.code(),
            await call.initial_metadata(),
            await call.trailing_metadata(),
            details=await call.details(),
            debug_error_string=None,
        )
    said: pb.ProbeResponse = answer
    return said


async def _ping(call: Any, clock: Callable[[], float]) -> tuple[list[float], float]:
    """Round trips, and how far the edge's clock is ahead, by the shortest of them."""
    trips, skews = [], []
    for nonce in range(PINGS):
        asked, wall = clock(), time.time()
        await send(call, pb.ProbeRequest(nonce=nonce))
        answer = await _answer(call)
        trip = clock() - asked
        if nonce:
            trips.append(trip)
            skews.append(answer.time.ToNanoseconds() / 1e9 - (wall + trip / 2))
    return trips, skews[trips.index(min(trips))]


@dataclass(slots=True)
class _Flow:
    """Pieces in one direction, as many under way as have come through before."""

    call: Any
    clock: Callable[[], float]
    up: bool
    sent: int = 0
    through: int = 0
    is_over: bool = False
    times: list[float] = field(default_factory=list)
    change: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> float:
        """Bits a second of the later half: by then TCP has found out what the way carries."""
        begun = self.clock()
        sending = asyncio.create_task(self._send(begun))
        try:
            async with asyncio.timeout(WAIT_S):
                while not (self.is_over and self.through >= self.sent):
                    await _answer(self.call)
                    self.through += PIECE_BYTES
                    self.times.append(self.clock())
                    self.change.set()
        except TimeoutError:
            pass  # what came through by then is the rate
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
        return self._rate(self.clock() - begun)

    async def _send(self, begun: float) -> None:
        filler = os.urandom(PIECE_BYTES) if self.up else b""
        request = pb.ProbeRequest(payload=filler, answer_bytes=0 if self.up else PIECE_BYTES)
        while True:
            while self.sent - self.through + PIECE_BYTES > FIRST_BYTES + self.through:
                self.change.clear()
                await self.change.wait()
            self.sent += PIECE_BYTES
            # Told before the last piece is on its way: its answer must find that nothing more comes.
            self.is_over = self.sent >= MEASURE_BYTES or self.clock() - begun >= MEASURE_S
            if not await send(self.call, request) or self.is_over:
                return

    def _rate(self, seconds: float) -> float:
        half = len(self.times) // 2
        if half:
            later = len(self.times) - half
            return 8 * PIECE_BYTES * later / max(self.times[-1] - self.times[half - 1], 1e-6)
        return 8 * max(self.through, 1) / max(seconds, 1e-3)
