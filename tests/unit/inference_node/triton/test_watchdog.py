import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import numpy as np
import numpy.typing as npt
import pytest

from inference_node.triton.watchdog import PROBE_MODEL, Patience, TritonState, Watchdog
from shared.errors import DeadlineError, EngineUnavailableError

QUICK = Patience(period_s=0.01, answer_s=1, start_s=2, backoff_s=0.001, longest_s=0.01)
Array = npt.NDArray[np.generic]


class Server:
    """Both a Triton and its process, whose networks die at will."""

    def __init__(self) -> None:
        self.is_running = False
        self.starts = 0
        self.fails_to_start = 0
        self.dead: set[str] = set()
        self.hung: set[str] = set()
        self.killed: list[str] = []
        self.loads: list[str] = []
        self.gives_garbage = False

    async def start(self) -> None:
        self.starts += 1
        self.is_running = self.starts > self.fails_to_start
        self.dead.clear()

    async def stop(self) -> None:
        self.is_running = False

    def kill_stubs(self, model: str) -> int:
        self.killed.append(model)
        self.hung.discard(model)
        return 1

    def sweep(self) -> None:
        pass

    async def is_live(self) -> bool:
        return self.is_running

    async def load(self, model: str) -> None:
        self.loads.append(model)
        self.dead.discard(model)

    async def ask(self, model: str, deadline_s: float) -> None:
        del deadline_s
        if model in self.hung:
            raise DeadlineError("hung")
        if model in self.dead or not self.is_running:
            raise EngineUnavailableError("dead")

    async def infer(self, model: str, inputs: Mapping[str, Array], outputs: Sequence[str]) -> dict[str, Array]:
        del model, outputs
        question = inputs["INPUT"].astype(np.int32)
        answer = (question * 3 + 7).astype(np.uint8)
        return {"BYTES": answer * 0 if self.gives_garbage else answer, "FLOATS": question.astype(np.float32) / 4}

    def answered_at(self, model: str) -> float:
        del model
        return time.monotonic() - 1

    def forget_server(self) -> None:
        pass


@asynccontextmanager
async def watched(server: Server, told: list[str] | None = None) -> AsyncIterator[Watchdog]:
    watchdog = Watchdog(server, server, ["warp"], patience=QUICK, on_reload=([] if told is None else told).append)
    task = asyncio.create_task(watchdog.run())
    try:
        yield watchdog
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def reach(watchdog: Watchdog, state: TritonState) -> None:
    async with asyncio.timeout(5):
        while watchdog.state is not state:
            await watchdog.next_state(watchdog.state)


async def test_it_is_ready_once_every_network_has_answered() -> None:
    server = Server()
    async with watched(server) as watchdog:
        assert watchdog.state is TritonState.STARTING
        await reach(watchdog, TritonState.READY)
    assert server.loads == [PROBE_MODEL, "warp"]


async def test_a_server_with_wrong_answers_is_never_ready() -> None:
    server = Server()
    server.gives_garbage = True
    async with watched(server) as watchdog:
        await reach(watchdog, TritonState.DOWN)
        with pytest.raises(EngineUnavailableError):
            await watchdog.recovered(0.1)


@pytest.mark.parametrize("illness", ["dead", "hung"])
async def test_a_network_that_does_not_answer_is_loaded_again(illness: str) -> None:
    server, told = Server(), list[str]()
    async with watched(server, told) as watchdog:
        await reach(watchdog, TritonState.READY)
        getattr(server, illness).add("warp")
        await watchdog.recovered(5)
        assert watchdog.state is TritonState.READY
    assert server.killed == ["warp"]
    assert told == ["warp"]
    assert server.starts == 1


async def test_a_server_that_ended_is_started_again() -> None:
    server, told = Server(), list[str]()
    async with watched(server, told) as watchdog:
        await reach(watchdog, TritonState.READY)
        server.is_running = False
        await watchdog.recovered(5)
    assert server.starts == 2
    assert told == ["server"]


async def test_it_tries_again_until_the_server_starts() -> None:
    server = Server()
    server.fails_to_start = 3
    async with watched(server) as watchdog:
        await reach(watchdog, TritonState.READY)
    assert server.starts == 4
