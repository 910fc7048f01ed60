"""Who starts Triton, asks it questions whose answers are known, and brings dead or hung networks back.

Triton itself says "ready" of a network whose process is dead or hung, so only a real inference counts.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from inference_node.triton.guests import GuestPatience, Guests
from shared.errors import DeadlineError, EngineUnavailableError, VisemeError
from shared.telemetry.logging import get_logger

PROBE_MODEL: Final = "probe"
_LOG: Final = get_logger(__name__)


class TritonState(Enum):
    """How Triton is."""

    STARTING = "starting"
    READY = "ready"
    DOWN = "down"
    LOCAL = "local, no Triton"
    """Networks run in the node by the operator's explicit wish."""


class ModelServer(Protocol):
    """Where networks are loaded and run, as the watchdog sees it."""

    async def is_live(self) -> bool:
        """Whether the server answers at all."""
        ...

    async def load(self, model: str) -> None:
        """Load a network, again when it is loaded."""
        ...

    async def unload(self, model: str) -> None:
        """Unload a network."""
        ...

    async def ask(self, model: str, deadline_s: float) -> None:
        """Run anything through a network; raises when it does not answer in time."""
        ...

    async def infer(
        self, model: str, inputs: Mapping[str, npt.NDArray[np.generic]], outputs: Sequence[str]
    ) -> dict[str, npt.NDArray[np.generic]]:
        """Run one batch."""
        ...

    def answered_at(self, model: str) -> float:
        """When a network answered last, by the monotonic clock."""
        ...

    def forget_server(self) -> None:
        """Forget what an earlier server process had."""
        ...


class ServerProcess(Protocol):
    """A server of the node's own."""

    @property
    def is_running(self) -> bool:
        """Whether its process is there."""
        ...

    async def start(self) -> None:
        """Launch it (again)."""
        ...

    async def stop(self) -> None:
        """Kill it."""
        ...

    def kill_stubs(self, model: str) -> int:
        """Kill the processes in which a network runs."""
        ...

    def sweep(self) -> None:
        """Remove what dead networks left."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long the watchdog waits for what, in seconds."""

    period_s: float = 2.0
    """Between two looks."""
    answer_s: float = 8.0
    """For an answer of a loaded network; doubled after every reload in a row."""
    start_s: float = 30.0
    """From the launch to the first answer."""
    backoff_s: float = 0.5
    """After the first failed start; doubled after every one in a row."""
    longest_s: float = 30.0
    """What doubling ends at."""
    guests: GuestPatience = field(default_factory=GuestPatience)
    """For networks that come and go."""


class Watchdog:
    """Keeps one Triton going.

    Args:
        models: The server's networks.
        process: The server where the node launches it; None for one that runs elsewhere.
        names: The networks to load, without the probe.
        patience: How long to wait for what.
        on_reload: Told of every network that was brought back, and of ``server`` when all of it was.
        called: What the server is called in errors.
    """

    def __init__(
        self,
        models: ModelServer,
        process: ServerProcess | None,
        names: Sequence[str],
        *,
        patience: Patience,
        on_reload: Callable[[str], None],
        called: str = "Triton",
    ) -> None:
        self._models = models
        self._process = process
        self._names = tuple(dict.fromkeys((PROBE_MODEL, *names)))
        self._patience = patience
        self._on_reload = on_reload
        self._called = called
        self._state = TritonState.STARTING
        self._changed = asyncio.Condition()
        self._suspected = asyncio.Event()
        self._round = 0
        self._reloads = dict.fromkeys(self._names, 0)
        kill = process.kill_stubs if process is not None else _kill_nothing
        self._guests = Guests(models, kill=kill, patience=patience.guests, on_reload=on_reload)

    @property
    def state(self) -> TritonState:
        """How it is."""
        return self._state

    async def next_state(self, seen: TritonState | None) -> TritonState:
        """Wait until the state is another than the one that was seen."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._state is not seen)
        return self._state

    async def recovered(self, timeout_s: float) -> None:
        """Have a look taken now, and wait until it finds everything well.

        Raises:
            EngineUnavailableError: it does not come back in time.
        """
        before = self._round
        self._suspected.set()
        try:
            async with asyncio.timeout(timeout_s), self._changed:
                await self._changed.wait_for(lambda: self._state is TritonState.READY and self._round > before)
        except TimeoutError as error:
            raise EngineUnavailableError(
                f"{self._called} does not answer.", retry_after_s=self._patience.longest_s
            ) from error

    async def add(self, name: str) -> None:
        """Load one more network, and keep it loaded whatever happens to the server.

        Raises:
            VisemeError: the server is down, or the network does not load or answer.
        """
        async with self._changed:
            await self._changed.wait_for(lambda: self._state is not TritonState.STARTING)
        if self._state is TritonState.DOWN:
            raise EngineUnavailableError(f"{self._called} does not answer.", retry_after_s=self._patience.period_s)
        await self._guests.add(name)

    async def drop(self, name: str) -> None:
        """Unload a network that was added."""
        await self._guests.drop(name)

    async def run(self) -> None:
        """Start it and keep it going until cancelled."""
        failures = 0
        while True:
            try:
                await self._start()
                failures = 0
                await self._watch()
            except VisemeError as error:
                _LOG.warning("triton is down", reason=error.reason, words=error.message, failures=failures)
            await self._set(TritonState.DOWN)
            if failures:
                delay = min(self._patience.backoff_s * 2 ** (failures - 1), self._patience.longest_s)
                await asyncio.sleep(delay)
            failures += 1
            self._on_reload("server")

    async def _start(self) -> None:
        begun = time.monotonic()
        await self._set(TritonState.STARTING)
        self._models.forget_server()
        self._guests.forget_server()
        if self._process is not None:
            await self._process.start()
        try:
            async with asyncio.timeout(self._patience.start_s):
                await self._until_live()
                for name in self._names:
                    await self._load_first(name)
                await self._check_known_answer()
                for name in self._names[1:]:
                    await self._models.ask(name, self._patience.start_s)
        except TimeoutError as error:
            raise EngineUnavailableError(f"Triton was not ready within {self._patience.start_s:.0f} s.") from error
        await self._set(TritonState.READY)
        _LOG.info("triton is ready", seconds=round(time.monotonic() - begun, 2), models=list(self._names))

    async def _until_live(self) -> None:
        while not await self._models.is_live():
            if self._process is None:  # nobody here starts it, so there is nothing to wait for
                raise EngineUnavailableError(f"{self._called} does not answer.")
            if not self._process.is_running:
                raise EngineUnavailableError("The Triton server ended while it started; its log stands above.")
            await asyncio.sleep(0.05)

    async def _load_first(self, name: str) -> None:
        if self._process is None:
            try:
                await self._models.ask(name, self._patience.answer_s)
            except (EngineUnavailableError, DeadlineError):
                _LOG.debug("network is not loaded", model=name)
            else:
                return  # others may be using it, and it may not be ours to load
        await self._models.load(name)

    async def _check_known_answer(self) -> None:
        """Both ways that tensors go, inline and by shared memory, must give exactly what arithmetic gives.

        A stub beside numpy 2 answers garbage without any error.
        """
        for length in (64, 65_536):
            question = np.arange(2 * length, dtype=np.uint32).astype(np.uint8).reshape(2, length)
            answer = await self._models.infer(PROBE_MODEL, {"INPUT": question}, ["BYTES", "FLOATS"])
            right = np.array_equal(answer["BYTES"], (question.astype(np.int32) * 3 + 7).astype(np.uint8))
            if not right or not np.array_equal(answer["FLOATS"], question.astype(np.float32) / 4):
                raise EngineUnavailableError("Triton gives wrong answers; its Python backend does not fit its numpy.")

    async def _watch(self) -> None:
        """Look at every network now and then; returns when the server itself must be started again."""
        # Whoever waits for the server to recover may wait for a guest; for one that hangs they wait no longer.
        with suppress(TimeoutError):
            async with asyncio.timeout(self._patience.answer_s):
                await self._guests.tend(urgent=False)
        self._round += 1
        await self._set(TritonState.READY)
        while True:
            try:
                async with asyncio.timeout(self._patience.period_s):
                    await self._suspected.wait()
            except TimeoutError:
                urgent = False
            else:
                urgent = True
                self._suspected.clear()
            if not await self._server_lives():
                return
            for name in self._names:
                if urgent or time.monotonic() - self._models.answered_at(name) > self._patience.period_s:
                    await self._look_at(name)
            await self._guests.tend(urgent=urgent)
            self._round += 1
            await self._set(TritonState.READY)

    async def _server_lives(self) -> bool:
        if self._process is not None and not self._process.is_running:
            return False
        return await self._models.is_live() or await self._models.is_live()

    async def _look_at(self, name: str) -> None:
        asked_at = time.monotonic()
        answer_s = min(self._patience.answer_s * 2 ** self._reloads[name], self._patience.longest_s)
        try:
            await self._models.ask(name, answer_s)
        except (EngineUnavailableError, DeadlineError) as error:
            if self._models.answered_at(name) > asked_at:
                return  # it answered others while our question waited behind theirs
            await self._reload(name, error)
        else:
            self._reloads[name] = 0

    async def _reload(self, name: str, error: VisemeError) -> None:
        await self._set(TritonState.STARTING)
        killed = self._process.kill_stubs(name) if self._process is not None else 0
        self._reloads[name] += 1
        _LOG.warning("network is loaded again", model=name, reason=error.reason, killed=killed)
        await self._models.load(name)
        await self._models.ask(name, self._patience.start_s)
        if self._process is not None:
            self._process.sweep()
        self._on_reload(name)

    async def _set(self, state: TritonState) -> None:
        async with self._changed:
            if state is not self._state:
                _LOG.info("triton", state=state.value)
            self._state = state
            self._changed.notify_all()


def _kill_nothing(name: str) -> int:
    """The processes of a server that runs elsewhere are not ours to kill."""
    del name
    return 0
