"""How fast an upload goes: a pause, a rate limit, and a meter."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from shared.errors import InvalidInputError

_BURST_S: Final = 0.05
"""Time that may be made up for, as sleeping is not exact."""

_WINDOW_S: Final = 10.0


class Pause:
    """Holds uploads up while it is set; like ``asyncio.Event``, and one may be given to several uploads."""

    def __init__(self) -> None:
        self._set = False
        self._cleared = asyncio.Event()
        self._cleared.set()

    def set(self) -> None:
        """Send nothing from now on."""
        self._set = True
        self._cleared.clear()

    def clear(self) -> None:
        """Go on."""
        self._set = False
        self._cleared.set()

    def is_set(self) -> bool:
        """Whether uploads are held up."""
        return self._set

    async def cleared(self, within_s: float | None = None) -> bool:
        """Wait until uploads may go on; False when that took longer than ``within_s`` seconds."""
        try:
            async with asyncio.timeout(within_s):
                await self._cleared.wait()
        except TimeoutError:
            return False
        return True


class Throttle:
    """A rate that uploads keep together; each waits for its turn, so that they share it evenly.

    Args:
        bytes_per_s: The rate; 0 for none.

    Raises:
        InvalidInputError: The rate is negative.
    """

    def __init__(self, bytes_per_s: float = 0.0) -> None:
        if bytes_per_s < 0:
            raise InvalidInputError("a rate is a number of bytes a second, 0 for no limit", field="rate_limit")
        self._rate = bytes_per_s
        self._free: float | None = None

    def piece(self, largest: int, smallest: int = 4 << 10) -> int:
        """Bytes to send at once: less on a slow rate, so that nobody waits long for a turn."""
        if not self._rate:
            return largest
        return max(smallest, min(largest, int(self._rate / 4)))

    async def take(self, size: int) -> None:
        """Wait until ``size`` bytes may be sent."""
        if not self._rate:
            return
        now = asyncio.get_running_loop().time()
        turn = now if self._free is None else max(self._free, now - _BURST_S)
        self._free = turn + size / self._rate
        if turn > now:
            await asyncio.sleep(turn - now)


class Meter:
    """The rate of the last seconds, in bytes a second."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._samples: deque[tuple[float, int]] = deque([(clock(), 0)])

    def note(self, total: int) -> None:
        """Note how much has moved in all."""
        now = self._clock()
        self._samples.append((now, total))
        while len(self._samples) > 2 and self._samples[0][0] < now - _WINDOW_S:
            self._samples.popleft()

    @property
    def rate(self) -> float:
        """Bytes a second; 0 while unknown."""
        (first, before), (last, after) = self._samples[0], self._samples[-1]
        return (after - before) / (last - first) if last > first else 0.0
