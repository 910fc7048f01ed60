"""How long to wait for a node, and how often to try."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from shared.errors import DeadlineError, ResourceExhaustedError, UnavailableError, VisemeError

T = TypeVar("T")

_FIRST_S = 0.25
_LONGEST_S = 1.0


class Patience:
    """Waits between tries, longer each time, and ends when nothing came of them for too long.

    Args:
        limit_s: Seconds without progress after which it ends, though somebody answers.
        outage_s: Seconds without any answer after which it ends; as many as that by default.
        jitter: Random numbers from 0 to 1.
        clock: Seconds, never going back.
    """

    def __init__(
        self,
        limit_s: float,
        outage_s: float | None = None,
        *,
        jitter: Callable[[], float] = random.random,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit_s = limit_s
        self._outage_s = limit_s if outage_s is None else outage_s
        self._was_absent = False
        self._jitter = jitter
        self._clock = clock
        self._since: float | None = None
        self._tries = 0

    @property
    def is_new(self) -> bool:
        """Whether nothing has been waited for yet."""
        return self._since is None

    def reset(self) -> None:
        """There was progress."""
        self._since, self._was_absent = None, False
        self._tries = 0

    def calm(self) -> bool:
        """The other side answers again; gives whether it was waited for. Only progress renews the patience."""
        waited = self._tries > 0
        self._tries = 0
        return waited

    def delay(self, error: VisemeError, *, is_absent: bool = False) -> float:
        """Seconds until the next try.

        Args:
            error: Why the last one failed.
            is_absent: Whether nobody answers any question: a cut link is waited for longer than one who is there and
                does nothing.

        Raises:
            VisemeError: patience is at its end; the same error with words about that.
        """
        now = self._clock()
        if self._since is None:
            self._since = now
        if self._was_absent and not is_absent:
            self._since = now  # it is there again, and has not had its time yet
        self._was_absent = is_absent
        limit_s = self._outage_s if is_absent else self._limit_s
        waited = now - self._since
        # A node that is merely busy is there: its queue is waited for as long as it takes.
        if isinstance(error, ResourceExhaustedError):
            self._since = now
        elif waited >= limit_s:
            message = f"{error.message.rstrip('.')}; given up after {waited:.0f} s without progress"
            raise type(error)(message, field=error.field)
        longest: float = min(_LONGEST_S, _FIRST_S * 2.0**self._tries)
        self._tries += 1
        pause = longest * (0.5 + 0.5 * self._jitter())
        if error.retry_after_s is not None:
            pause = max(error.retry_after_s, 0.05) * (1 + 0.25 * self._jitter())
        return max(0.0, min(pause, limit_s - (now - self._since)))

    async def wait(self, error: VisemeError, *, at_once: bool = False, is_absent: bool = False) -> None:
        """Wait until the next try, which may come at once where it goes to somebody else.

        Raises:
            VisemeError: patience is at its end.
        """
        delay_s = self.delay(error, is_absent=is_absent)
        await asyncio.sleep(0 if at_once else delay_s)


async def again(
    call: Callable[[], Awaitable[T]],
    patience: Patience,
    on_wait: Callable[[VisemeError], Awaitable[None]],
    is_absent: Callable[[], bool] = lambda: False,
) -> T:
    """Make a call until it succeeds.

    Args:
        call: What to do.
        patience: How long and how often.
        on_wait: Told once what is waited for.
        is_absent: Whether nobody answers any question.

    Raises:
        VisemeError: it failed in a way that does not pass, or patience is at its end.
    """
    while True:
        try:
            return await call()
        except (UnavailableError, ResourceExhaustedError, DeadlineError) as error:
            if patience.is_new:
                await on_wait(error)
            await patience.wait(error, is_absent=is_absent())
