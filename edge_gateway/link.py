"""How much the link to the node carries.

Nobody knows a link's rate without sending something over it. So when the first job asks, pieces are sent that the node
gives back: few at first and more with every one that comes back, as TCP does, so that a thin link is never filled for
seconds. After that the jobs' own bytes tell whether what was measured still holds: while a stream waits for the link,
that carries all that it can.
"""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

PIECE_BYTES: Final = 16 << 10
MEASURE_BYTES: Final = 1 << 20
"""Sent at most: 0.4 s of 20 Mbit/s. Beyond 100 ms a cold connection comes to no more than a few Mbit/s with it; a job's
first segments would fare no better there."""
MEASURE_S: Final = 1.5
"""Nothing more is sent after so long; what was sent by then is waited for."""
FIRST_BYTES: Final = 32 << 10
"""Under way at first; grows by what comes back."""
WAIT_S: Final = 10.0
"""A link that has not given back what was sent by then has next to no rate."""

KNOWN_S: Final = 600.0
"""After so long a rate is measured again."""
STALLED_S: Final = 0.02
"""A send that takes longer has waited for the link."""
ENOUGH_BYTES: Final = 128 << 10
ENOUGH_S: Final = 0.5
"""What must have been sent, and for how long, while waiting, for a rate to be made of it."""
AGREES: Final = 2.0
"""A rate that the jobs' own bytes show may differ by this factor from the one measured before that is measured anew."""


class Echo(Protocol):
    """A call that gives back what is sent; whatever goes wrong with it is raised by all."""

    async def send(self, piece: bytes) -> None:
        """Send one piece; waits while the link is full."""
        ...

    async def end(self) -> None:
        """Say that nothing more will be sent."""
        ...

    async def receive(self) -> int:
        """Wait for a piece to come back; gives its size, 0 at the end."""
        ...


@dataclass(slots=True)
class _Measuring:
    begun: float
    sent: int = 0
    back: int = 0
    allowed: int = FIRST_BYTES
    times: list[float] = field(default_factory=list)
    change: asyncio.Event = field(default_factory=asyncio.Event)


async def measure(echo: Echo, clock: Callable[[], float] = time.monotonic) -> float:
    """Bits a second of the way there and back, whichever is slower; sends at most ``MEASURE_BYTES``.

    Raises:
        VisemeError: the call failed.
    """
    state = _Measuring(begun=clock())
    filler = os.urandom(PIECE_BYTES)
    sending = asyncio.create_task(_send(echo, filler, state, clock))
    try:
        async with asyncio.timeout(WAIT_S):
            while size := await echo.receive():
                state.back += size
                state.allowed += size
                state.times.append(clock())
                state.change.set()
            await sending
    except TimeoutError:
        pass  # what came back by then is the rate
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
    return _rate(state, clock())


async def _send(echo: Echo, filler: bytes, state: _Measuring, clock: Callable[[], float]) -> None:
    while state.sent < MEASURE_BYTES and clock() - state.begun < MEASURE_S:
        if state.sent - state.back + PIECE_BYTES > state.allowed:
            state.change.clear()
            await state.change.wait()
            continue
        state.sent += len(filler)
        await echo.send(filler)
    await echo.end()


def _rate(state: _Measuring, now: float) -> float:
    """Of the later half: by then TCP has found out what the link carries."""
    half = len(state.times) // 2
    if not half:
        return 8 * max(state.back, 1) / max(now - state.begun, 1e-3)
    seconds = state.times[-1] - state.times[half - 1]
    return 8 * PIECE_BYTES * (len(state.times) - half) / max(seconds, 1e-6)


class LinkRate:
    """What is known of a link.

    Args:
        measure: Measures it.
        clock: Seconds, never going back.
    """

    def __init__(self, measure: Callable[[], Awaitable[float]], clock: Callable[[], float] = time.monotonic) -> None:
        self._measure = measure
        self._clock = clock
        self._measuring = asyncio.Lock()
        self._known: float | None = None
        self._known_at = 0.0
        self._bytes = 0
        self._seconds = 0.0

    @property
    def known(self) -> float | None:
        """Bits a second, where that was measured and still holds."""
        return self._known

    async def rate(self) -> float:
        """Bits a second; measured where nothing is known or that is old.

        Raises:
            VisemeError: it cannot be measured.
        """
        # Two that measure at the same time would each find half of it.
        async with self._measuring:
            if self._known is None or self._clock() - self._known_at > KNOWN_S:
                self._known = await self._measure()
                self._known_at = self._clock()
            return self._known

    def sent(self, size: int, seconds: float) -> None:
        """A job sent something, and that took so long."""
        if seconds < STALLED_S:
            self._bytes, self._seconds = 0, 0.0
            return
        self._bytes += size
        self._seconds += seconds
        if self._known is None or self._bytes < ENOUGH_BYTES or self._seconds < ENOUGH_S:
            return
        seen, self._bytes, self._seconds = 8 * self._bytes / self._seconds, 0, 0.0
        # A node that does not read looks like a slow link, so this alone decides nothing.
        if self._known / AGREES <= seen <= self._known * AGREES:
            self._known_at = self._clock()
        else:
            self._known = None
