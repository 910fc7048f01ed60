"""Notices that a link was cut and is back long before TCP does.

TCP repeats what was lost after pauses that double: after a cut of five seconds either side may stay silent for up to
eight more. A connection that is made anew has no such past. So while a stream is silent the node is asked on another
connection, and where that is silent too, on new ones until one gets through; then the old ones are given up.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

from shared.errors import VisemeError

_LOOK_S: Final = 0.25
_SILENT_S: Final = 1.0
"""A stream that is silent for less is left alone."""
_ASK_S: Final = 30.0
"""Time that a question on the old connection may take; by then keepalive has ended what is dead."""
_QUICK_S: Final = 0.5
_ROUNDS: Final = 6.0
_LONGEST_S: Final = 5.0
_PAUSE_S: Final = 0.3
_KNOCKS: Final = 16
"""New connections that are tried at once."""
_GRACE_S: Final = 0.25
_LATE_S: Final = 2.0
_LATEST_S: Final = 64.0
_STALL_S: Final = 4.0
"""An answer on the streams' connection may take so long while questions on the other are answered: 64 KiB, what gRPC
puts on the way unasked, take as long at 128 kbit/s."""
_STALL_ROUNDS: Final = 12.0
"""Or so many times what the other connection's answer takes."""
_STALL_SLACK: Final = 3.0
"""Or so many times what an answer took here before."""


class Line(Protocol):
    """What is watched: the connections to a node."""

    def heard_at(self) -> float | None:
        """When the streams last heard of the node; None while there are none."""
        ...

    async def ask(self, timeout_s: float) -> None:
        """Ask the node something small on the connection for questions; a VisemeError where no answer comes."""
        ...

    async def ask_streams(self, timeout_s: float) -> None:
        """The same on the connection of the streams."""
        ...

    async def knock(self, timeout_s: float) -> None:
        """The same on a new connection, and keep that where it answers."""
        ...

    def renew(self) -> None:
        """Give up the old connections and the streams on them."""
        ...


class Pulse:
    """Feels whether a node's connections are alive.

    They are renewed when the streams have been silent for a while, a question has stayed without an answer, and either
    a new connection gets through where the old one does not, or the answer comes so late that the link must have been
    cut, and the streams' connection gives none. A link that is slow or full, or a node that is busy, treats old and new
    connections alike.

    While questions are answered, one is kept open on the streams' connection, too: that one may have died alone, behind
    a balancer or a translator of addresses that has forgotten it.

    Args:
        line: What is watched.
        clock: Seconds, never going back; the one of ``heard_at``.
        sleep: Waits for so many seconds.
        jitter: Random numbers from 0 to 1.
    """

    def __init__(
        self,
        line: Line,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._line = line
        self._clock = clock
        self._sleep = sleep
        self._jitter = jitter
        self._quick_s = _QUICK_S
        self._late_s = _LATE_S
        self._stall_s = _STALL_S
        self._on_streams: asyncio.Task[bool] | None = None
        self._on_streams_at = 0.0

    async def watch(self) -> None:
        """Look after the connections until cancelled."""
        try:
            while True:
                await self._sleep(_LOOK_S)
                if self._is_silent():
                    await self.feel()
                else:
                    self._take_back()
        finally:
            self._take_back()

    async def feel(self) -> None:
        """Ask once, and renew the connections if it turns out that they were cut."""
        asked_at = self._clock()
        question = asyncio.create_task(self._line.ask(_ASK_S))
        try:
            await self._first({question}, self._quick_s)
            if not _is_answered(question):
                # What is asked on the streams' connection has to wait as long as everything else.
                self._take_back()
                await self._search(question, asked_at)
                return
            took_s = self._clock() - asked_at
            self._quick_s = min(max(_QUICK_S, _ROUNDS * took_s), _LONGEST_S)
            self._late_s = _LATE_S
            self._feel_streams(took_s)
        finally:
            question.cancel()
            await asyncio.gather(question, return_exceptions=True)

    def _feel_streams(self, took_s: float) -> None:
        """Ask on the streams' connection or, where that was done, see what came of it; never waits.

        Args:
            took_s: What the answer on the other connection took just now.
        """
        if self._on_streams is None:
            self._on_streams_at = self._clock()
            self._on_streams = asyncio.create_task(self._ask_streams())
            return
        waited_s = self._clock() - self._on_streams_at
        if self._on_streams.done():
            self._take_back()
        elif waited_s >= max(self._stall_s, _STALL_ROUNDS * took_s):
            # Should a full connection be taken for a dead one, then ever more rarely.
            self._stall_s = min(2 * self._stall_s, _LATEST_S)
            self._take_back()
            self._renew_if_silent()

    async def _ask_streams(self) -> bool:
        asked_at = self._clock()
        is_alive = await _works(self._line.ask_streams(_ASK_S))
        if is_alive:
            self._stall_s = min(max(_STALL_S, _STALL_SLACK * (self._clock() - asked_at)), _LATEST_S)
        return is_alive

    def _take_back(self) -> None:
        if self._on_streams is not None:
            self._on_streams.cancel()
            self._on_streams = None

    async def _search(self, question: asyncio.Task[None], asked_at: float) -> None:
        """Try new connections until one gets through, or an old one comes back to life."""
        knocks: set[asyncio.Task[bool]] = set()
        try:
            while self._is_silent():
                if _is_answered(question):
                    await self._look_twice(self._clock() - asked_at)
                    return
                if any(_is_answered(knock) for knock in knocks):
                    await self._first({question}, max(_GRACE_S, self._quick_s / 3))
                    if _is_answered(question):
                        continue
                    self._renew_if_silent()
                    return
                # Not one after the other: what was sent while the link was still cut must not hold up what follows.
                knocks = {knock for knock in knocks if not knock.done()}
                if len(knocks) < _KNOCKS:
                    knocks.add(asyncio.create_task(_works(self._line.knock(self._quick_s))))
                await self._first({question, *knocks}, _PAUSE_S * (0.5 + 0.5 * self._jitter()))
        finally:
            for knock in knocks:
                knock.cancel()
            await asyncio.gather(*knocks, return_exceptions=True)

    async def _look_twice(self, late_s: float) -> None:
        """The question was answered late."""
        if late_s < self._late_s:
            return
        # Should a full link be taken for a cut one, then ever more rarely.
        self._late_s = min(2 * self._late_s, _LATEST_S)
        if not await _works(self._line.ask_streams(self._quick_s)):
            self._renew_if_silent()

    async def _first(self, questions: set[asyncio.Task[Any]], seconds: float) -> None:
        """Wait until one more of them is answered, or so many seconds."""
        timer = asyncio.ensure_future(self._sleep(seconds))
        waiting = {question for question in questions if not question.done()}
        try:
            while not timer.done() and not any(_is_answered(question) for question in waiting):
                waiting = {question for question in waiting if not question.done()}
                await asyncio.wait((*waiting, timer), return_when=asyncio.FIRST_COMPLETED)
        finally:
            timer.cancel()

    def _is_silent(self) -> bool:
        heard_at = self._line.heard_at()
        return heard_at is not None and self._clock() - heard_at >= _SILENT_S

    def _renew_if_silent(self) -> None:
        if self._is_silent():
            self._line.renew()


def _is_answered(question: asyncio.Task[Any]) -> bool:
    """Whether there is an answer, and not the error that there is none."""
    if not question.done():
        return False
    error = question.exception()
    if error is not None and not isinstance(error, VisemeError):
        raise error
    return error is None and question.result() is not False


async def _works(question: Awaitable[None]) -> bool:
    try:
        await question
    except VisemeError:
        return False
    return True
