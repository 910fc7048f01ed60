"""Networks that come and go while the server runs: the users' own. One that fails harms no other."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from shared.errors import DeadlineError, VisemeError
from shared.telemetry.logging import get_logger

_LOG: Final = get_logger(__name__)


class GuestServer(Protocol):
    """Where networks are loaded and asked."""

    async def load(self, model: str) -> None:
        """Load a network, again when it is loaded."""
        ...

    async def unload(self, model: str) -> None:
        """Unload it."""
        ...

    async def ask(self, model: str, deadline_s: float) -> None:
        """Run anything through it; raises when it does not answer in time."""
        ...

    def answered_at(self, model: str) -> float:
        """When it answered last, by the monotonic clock."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestPatience:
    """How long guests are waited for, in seconds."""

    period_s: float = 15.0
    """Between two looks at one that nobody complains of."""
    answer_s: float = 8.0
    """For an answer of a loaded network."""
    load_s: float = 30.0
    """For the first answer."""
    backoff_s: float = 2.0
    """After a failure; doubled after every one in a row."""
    longest_s: float = 60.0
    """What doubling ends at."""


@dataclass(slots=True)
class _Guest:
    is_loaded: bool = True
    failures: int = 0
    next_try_at: float = 0.0


class Guests:
    """The guests of one server.

    Args:
        models: The server.
        kill: Kills the processes in which a network runs.
        patience: How long to wait for what.
        on_reload: Told of every network that was brought back.
    """

    def __init__(
        self,
        models: GuestServer,
        *,
        kill: Callable[[str], int],
        patience: GuestPatience,
        on_reload: Callable[[str], None],
    ) -> None:
        self._models = models
        self._kill = kill
        self._patience = patience
        self._on_reload = on_reload
        self._guests: dict[str, _Guest] = {}
        self._turn = asyncio.Lock()

    async def add(self, name: str) -> None:
        """Load a network and keep it loaded from now on.

        Raises:
            VisemeError: it does not load or does not answer; it is then no guest.
        """
        async with self._turn:
            try:
                await self._models.load(name)
                await self._models.ask(name, self._patience.load_s)
            except VisemeError:
                await self._unload(name)
                raise
            self._guests[name] = _Guest()

    async def drop(self, name: str) -> None:
        """Unload a network."""
        async with self._turn:
            self._guests.pop(name, None)
            await self._unload(name)

    def forget_server(self) -> None:
        """A new server has none of them loaded."""
        for guest in self._guests.values():
            guest.is_loaded = False
            guest.next_try_at = 0.0

    async def tend(self, *, urgent: bool) -> None:
        """Load again what is not loaded or does not answer; ``urgent`` asks every one now."""
        for name in tuple(self._guests):
            async with self._turn:
                if (guest := self._guests.get(name)) is not None:
                    await self._tend(name, guest, urgent=urgent)

    async def _tend(self, name: str, guest: _Guest, *, urgent: bool) -> None:
        now = time.monotonic()
        if now < guest.next_try_at:
            return
        if guest.is_loaded:
            if not urgent and now - self._models.answered_at(name) < self._patience.period_s:
                return
            if await self._answers(name, now):
                guest.failures = 0
                return
        try:
            self._kill(name)
            await self._models.load(name)
            await self._models.ask(name, self._patience.load_s)
        except VisemeError as error:
            guest.is_loaded = False
            delay = min(self._patience.backoff_s * 2**guest.failures, self._patience.longest_s)
            guest.failures += 1
            guest.next_try_at = time.monotonic() + delay
            _LOG.warning("a network of the user's own does not load", model=name, reason=error.reason, next_try_s=delay)
            return
        guest.is_loaded = True
        guest.failures = 0
        self._on_reload(name)

    async def _answers(self, name: str, asked_at: float) -> bool:
        try:
            await self._models.ask(name, self._patience.answer_s)
        except DeadlineError:
            # It may have answered others while our question waited behind theirs.
            return self._models.answered_at(name) > asked_at
        except VisemeError:
            return False
        return True

    async def _unload(self, name: str) -> None:
        try:
            await self._models.unload(name)
        except VisemeError as error:
            _LOG.debug("model was not unloaded", model=name, reason=error.reason)
        self._kill(name)
