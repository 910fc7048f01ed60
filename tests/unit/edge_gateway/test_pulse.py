"""When a node's connections are given up, in time that passes only when everybody waits."""

import asyncio
import heapq
from collections.abc import Awaitable, Callable
from itertools import count

import pytest

from edge_gateway.pulse import Pulse
from shared.errors import NodeUnavailableError

TURNS = 20


class Time:
    """A clock that jumps to the next moment that somebody waits for."""

    def __init__(self) -> None:
        self.now = 100.0
        self._waiting: list[tuple[float, int, asyncio.Future[None]]] = []
        self._number = count()

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (self.now + seconds, next(self._number), woken))
        await woken

    async def run(self, until: float, work: Awaitable[None]) -> None:
        """Let time pass, and end the work."""
        task = asyncio.ensure_future(work)
        while True:
            for _ in range(TURNS):
                await asyncio.sleep(0)
            if task.done() or not self._waiting or self._waiting[0][0] > until:
                break
            self.now, _, woken = heapq.heappop(self._waiting)
            if not woken.done():
                woken.set_result(None)
        if task.done():
            task.result()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


Times = Callable[[float], float]
"""For the time at which something is asked, the time at which it is answered."""


class FakeLine:
    """Connections whose answers come when the test says."""

    def __init__(self, time: Time, *, old: Times, new: Times, streams: Times) -> None:
        self.time = time
        self.old, self.new, self.streams = old, new, streams
        self.heard: Callable[[float], float | None] = lambda _: 99.0
        self.renewed: list[float] = []
        self.asked: list[float] = []
        self.knocks: list[float] = []

    def heard_at(self) -> float | None:
        return self.renewed[-1] if self.renewed else self.heard(self.time.now)

    async def ask(self, timeout_s: float) -> None:
        self.asked.append(self.time.now)
        await self._answer(self.old, timeout_s)

    async def ask_streams(self, timeout_s: float) -> None:
        await self._answer(self.streams, timeout_s)

    async def knock(self, timeout_s: float) -> None:
        self.knocks.append(self.time.now)
        await self._answer(self.new, timeout_s)

    def renew(self) -> None:
        self.renewed.append(self.time.now)

    async def _answer(self, times: Times, timeout_s: float) -> None:
        wait_s = times(self.time.now) - self.time.now
        await self.time.sleep(min(wait_s, timeout_s))
        if wait_s > timeout_s:
            raise NodeUnavailableError("no answer")


NEVER: Times = lambda _: 1e9  # noqa: E731 - reads as the values beside it


def after(seconds: float, *, cut_until: float = 0.0) -> Times:
    """Answers after so long; what is asked before the cut ends is lost."""
    return lambda now: now + seconds if now >= cut_until else 1e9


def at(moment: float) -> Times:
    """Answers then, however long ago it was asked."""
    return lambda now: max(moment, now + 0.05)


async def watch(line: FakeLine, until: float) -> None:
    pulse = Pulse(line, clock=line.time, sleep=line.time.sleep, jitter=lambda: 1.0)
    await line.time.run(until, pulse.watch())


@pytest.mark.parametrize("trip_s", [0.01, 0.05, 0.3])
async def test_connections_are_made_anew_soon_after_a_cut_ends(trip_s: float) -> None:
    line = FakeLine(Time(), old=NEVER, new=after(trip_s, cut_until=105.0), streams=NEVER)
    await watch(line, 106.5)
    assert len(line.renewed) == 1
    assert 105.0 < line.renewed[0] <= 105.7 + trip_s


async def test_nothing_is_asked_while_there_is_no_stream_or_it_speaks() -> None:
    line = FakeLine(Time(), old=NEVER, new=after(0.05), streams=NEVER)
    line.heard = lambda _: None
    await watch(line, 110.0)
    line.heard = lambda now: now - 0.5
    await watch(line, 120.0)
    assert line.asked == []
    assert line.renewed == []


async def test_a_node_that_answers_may_be_silent_on_its_streams() -> None:
    line = FakeLine(Time(), old=after(0.05), new=after(0.05), streams=after(0.05))
    await watch(line, 160.0)
    assert line.asked
    assert line.knocks == []
    assert line.renewed == []


async def test_a_stream_that_comes_back_by_itself_is_left_alone() -> None:
    line = FakeLine(Time(), old=NEVER, new=after(0.05, cut_until=105.0), streams=NEVER)
    line.heard = lambda now: now if now >= 105.1 else 99.0
    await watch(line, 120.0)
    assert line.renewed == []


async def test_a_late_answer_makes_streams_anew_whose_connection_gives_none() -> None:
    line = FakeLine(Time(), old=at(105.1), new=after(0.05, cut_until=105.2), streams=NEVER)
    await watch(line, 106.5)
    assert len(line.renewed) == 1
    assert line.renewed[0] <= 105.7


async def test_a_node_that_was_busy_for_a_while_keeps_its_streams() -> None:
    line = FakeLine(Time(), old=at(108.0), new=at(108.0), streams=after(0.05))
    await watch(line, 109.5)
    assert line.knocks
    assert line.renewed == []


async def test_a_slow_link_on_which_new_connections_fare_no_better_is_left_alone() -> None:
    line = FakeLine(Time(), old=after(1.5), new=after(3.0), streams=after(1.5))
    await watch(line, 200.0)
    assert line.renewed == []


async def test_a_full_link_is_taken_for_a_cut_one_ever_more_rarely() -> None:
    line = FakeLine(Time(), old=after(3.0), new=NEVER, streams=NEVER)
    await watch(line, 200.0)
    assert len(line.renewed) == 1


async def test_a_dead_connection_for_questions_does_not_keep_from_looking() -> None:
    line = FakeLine(Time(), old=NEVER, new=after(0.05, cut_until=140.0), streams=NEVER)
    await watch(line, 142.0)
    assert len(line.renewed) == 1


async def test_streams_whose_connection_died_alone_are_made_anew_within_seconds() -> None:
    line = FakeLine(Time(), old=after(0.1), new=after(0.1), streams=NEVER)
    await watch(line, 106.0)
    assert len(line.renewed) == 1
    assert line.knocks == []


async def test_a_dead_connection_is_told_by_the_round_trip_of_the_other() -> None:
    line = FakeLine(Time(), old=after(0.45), new=after(0.45), streams=NEVER)
    await watch(line, 112.0)
    assert len(line.renewed) == 1
    assert line.renewed[0] >= 105.4


@pytest.mark.parametrize(("full_s", "times"), [(3.0, 0), (6.0, 1), (20.0, 3)])
async def test_a_full_connection_is_taken_for_a_dead_one_ever_more_rarely(full_s: float, times: int) -> None:
    line = FakeLine(Time(), old=after(0.1), new=after(0.1), streams=after(full_s))
    await watch(line, 400.0)
    assert len(line.renewed) == times


async def test_a_silence_that_ends_takes_the_question_back() -> None:
    line = FakeLine(Time(), old=after(0.1), new=after(0.1), streams=NEVER)
    line.heard = lambda now: now - 2.0 if now % 4 < 3 else now
    await watch(line, 200.0)
    assert line.renewed == []
