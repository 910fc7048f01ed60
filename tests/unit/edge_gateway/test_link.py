"""Measuring a link, on one that is made up: a clock that moves when pieces do."""

import asyncio
from collections import deque

import pytest

from edge_gateway.link import KNOWN_S, MEASURE_BYTES, PIECE_BYTES, LinkRate, measure
from shared.errors import NodeUnavailableError


class MadeUp:
    """Carries so many bits a second after a delay; pieces come back in order."""

    def __init__(self, bits_s: float, delay_s: float = 0.05) -> None:
        self.now = 0.0
        self.bits_s = bits_s
        self.delay_s = delay_s
        self.free_at = 0.0
        self.under_way: deque[float] = deque()
        self.sent = 0
        self.most_under_way = 0
        self.ended = False
        self.news = asyncio.Event()

    def clock(self) -> float:
        return self.now

    async def send(self, piece: bytes) -> None:
        self.free_at = max(self.free_at, self.now) + 8 * len(piece) / self.bits_s
        self.under_way.append(self.free_at + self.delay_s)
        self.sent += len(piece)
        self.most_under_way = max(self.most_under_way, len(self.under_way) * PIECE_BYTES)
        self.news.set()

    async def end(self) -> None:
        self.ended = True
        self.news.set()

    async def receive(self) -> int:
        # Whoever sends comes first, so that time only passes when nothing else can be done.
        for _ in range(8):
            await asyncio.sleep(0)
        while not self.under_way:
            if self.ended:
                return 0
            self.news.clear()
            await self.news.wait()
        self.now = max(self.now, self.under_way.popleft())
        return PIECE_BYTES


@pytest.mark.parametrize("mbit_s", [0.5, 2, 10, 50])
@pytest.mark.parametrize("delay_s", [0.01, 0.2])
async def test_the_rate_is_found(mbit_s: float, delay_s: float) -> None:
    link = MadeUp(mbit_s * 1e6, delay_s)
    found = await measure(link, link.clock)
    # What is sent is not enough for more than about 20 Mbit/s at 200 ms.
    assert 0.5 * min(mbit_s, 20) <= found / 1e6 <= 1.3 * mbit_s
    assert link.sent <= MEASURE_BYTES


async def test_a_thin_link_is_not_filled_for_seconds() -> None:
    link = MadeUp(200_000)
    await measure(link, link.clock)
    assert link.now < 8
    assert link.most_under_way <= 128 << 10


class Counted:
    def __init__(self, *rates: float) -> None:
        self.rates = list(rates)
        self.now = 0.0

    async def measure(self) -> float:
        return self.rates.pop(0)

    def clock(self) -> float:
        return self.now


async def test_a_rate_is_measured_once_until_it_is_old() -> None:
    counted = Counted(1e6, 2e6)
    link = LinkRate(counted.measure, counted.clock)
    assert await asyncio.gather(link.rate(), link.rate()) == [1e6, 1e6]
    counted.now = KNOWN_S + 1
    assert await link.rate() == 2e6


async def test_what_jobs_send_keeps_a_rate_fresh_or_makes_it_doubtful() -> None:
    counted = Counted(1e6, 2e5)
    link = LinkRate(counted.measure, counted.clock)
    assert await link.rate() == 1e6
    counted.now = KNOWN_S - 1
    for _ in range(20):
        link.sent(16 << 10, 0.13)
    counted.now += KNOWN_S - 1
    assert await link.rate() == 1e6
    for _ in range(20):
        link.sent(16 << 10, 0.001)
    assert await link.rate() == 1e6
    for _ in range(20):
        link.sent(16 << 10, 0.6)
    assert await link.rate() == 2e5


async def test_an_error_is_told_and_measured_again_the_next_time() -> None:
    class Lost(MadeUp):
        async def receive(self) -> int:
            raise NodeUnavailableError("gone")

    link = Lost(1e6)
    with pytest.raises(NodeUnavailableError):
        await measure(link, link.clock)
