"""The real Triton, under its watchdog: started, asked, killed, hung, killed whole."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import pytest

from inference_node.engine import regions
from inference_node.engine.local import LocalTensors
from inference_node.engine.registry import MODEL_REPOSITORY
from inference_node.engine.triton import TritonTensors
from inference_node.triton.environment import TritonEnvironment, TritonEnvironmentError, find
from inference_node.triton.server import ServerOptions, TritonServer, triton_server
from inference_node.triton.watchdog import Patience, TritonState, Watchdog
from shared.errors import DeadlineError, EngineUnavailableError, InternalError

QUESTION = np.arange(4 * 40_000, dtype=np.uint32).astype(np.uint8).reshape(4, 40_000)
ANSWER = (QUESTION.astype(np.int32) * 3 + 7).astype(np.uint8)


@pytest.fixture(scope="session")
def environment() -> TritonEnvironment:
    try:
        return find()
    except TritonEnvironmentError as error:
        pytest.skip(str(error))


@dataclass
class Running:
    server: TritonServer
    tensors: TritonTensors
    watchdog: Watchdog
    calls: list[str]

    async def ask(self) -> np.ndarray:
        return (await self.tensors.infer("probe", {"INPUT": QUESTION}, ["BYTES"]))["BYTES"]


@asynccontextmanager
async def running(
    environment: TritonEnvironment, folder: Path, *, shares_memory: bool = True, deadline_s: float = 2.0
) -> AsyncIterator[Running]:
    options = ServerOptions(environment=environment, repository=MODEL_REPOSITORY, folder=folder)
    async with triton_server(options) as server:
        calls: list[str] = []
        tensors = TritonTensors(
            server.url, shares_memory=shares_memory, deadline_s=deadline_s, observe=lambda model, _: calls.append(model)
        )
        patience = Patience(period_s=0.3, answer_s=1.0, start_s=15.0)
        watchdog = Watchdog(tensors, server, [], patience=patience, on_reload=calls.append)
        task = asyncio.create_task(watchdog.run())
        try:
            async with asyncio.timeout(15):
                while watchdog.state is not TritonState.READY:
                    await watchdog.next_state(watchdog.state)
            yield Running(server, tensors, watchdog, calls)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await tensors.close()


def stub(server: TritonServer) -> psutil.Process:
    """The one living process that runs a network."""
    living = [psutil.Process(pid) for pid in server.children()]
    return next(one for one in living if one.status() != psutil.STATUS_ZOMBIE)


def shared_memory(server: TritonServer) -> list[str]:
    """What the server and we have in /dev/shm."""
    ours = (server.shm_prefix, f"viseme_{os.getpid()}_")
    return [path.name for path in Path("/dev/shm").iterdir() if path.name.startswith(ours)]  # noqa: S108 - not ours to name


@pytest.mark.parametrize("shares_memory", [True, False], ids=["shared memory", "inline"])
async def test_answers_are_exact(environment: TritonEnvironment, tmp_path: Path, *, shares_memory: bool) -> None:
    async with running(environment, tmp_path, shares_memory=shares_memory) as triton:
        answers = await asyncio.gather(*(triton.ask() for _ in range(8)))
        assert all(np.array_equal(answer, ANSWER) for answer in answers)
        assert "probe" in triton.calls


async def test_a_batch_beyond_the_networks_limit_is_split(environment: TritonEnvironment, tmp_path: Path) -> None:
    question = np.arange(150 * 8, dtype=np.uint32).astype(np.uint8).reshape(150, 8)
    async with running(environment, tmp_path) as triton:
        answer = await triton.tensors.infer("probe", {"INPUT": question}, ["BYTES", "FLOATS"])
    assert np.array_equal(answer["BYTES"], (question.astype(np.int32) * 3 + 7).astype(np.uint8))
    assert np.array_equal(answer["FLOATS"], question / np.float32(4))


async def test_in_process_gives_the_same(environment: TritonEnvironment, tmp_path: Path) -> None:
    local = LocalTensors(MODEL_REPOSITORY, observe=lambda *_: None)
    here = await local.infer("probe", {"INPUT": QUESTION}, ["BYTES"])
    async with running(environment, tmp_path) as triton:
        assert np.array_equal(here["BYTES"], await triton.ask())


async def test_errors_of_a_network_show_no_paths(environment: TritonEnvironment, tmp_path: Path) -> None:
    async with running(environment, tmp_path) as triton:
        with pytest.raises(InternalError) as wrong:
            await triton.tensors.infer("probe", {"INPUT": QUESTION.astype(np.float32)}, ["BYTES"])
        assert "/" not in wrong.value.message
        with pytest.raises(EngineUnavailableError) as unknown:
            await triton.tensors.infer("nothing", {"INPUT": QUESTION}, ["BYTES"])
        assert "/" not in unknown.value.message


async def test_a_killed_network_is_loaded_again(environment: TritonEnvironment, tmp_path: Path) -> None:
    async with running(environment, tmp_path) as triton:
        stub(triton.server).kill()
        with pytest.raises((EngineUnavailableError, DeadlineError)):
            await triton.ask()
        await triton.watchdog.recovered(10)
        assert np.array_equal(await triton.ask(), ANSWER)
        assert len(shared_memory(triton.server)) == 1


async def test_a_hung_network_is_an_error_in_time_and_comes_back(
    environment: TritonEnvironment, tmp_path: Path
) -> None:
    async with running(environment, tmp_path) as triton:
        hung = stub(triton.server)
        hung.suspend()
        async with asyncio.timeout(5):
            with pytest.raises((EngineUnavailableError, DeadlineError)):
                await triton.ask()
        await triton.watchdog.recovered(10)
        assert np.array_equal(await triton.ask(), ANSWER)
        assert not hung.is_running() or hung.status() == psutil.STATUS_ZOMBIE


async def test_a_killed_server_is_started_again(environment: TritonEnvironment, tmp_path: Path) -> None:
    async with running(environment, tmp_path) as triton:
        first = triton.server.pid
        os.kill(first, signal.SIGKILL)
        with pytest.raises((EngineUnavailableError, DeadlineError)):
            await triton.ask()
        await triton.watchdog.recovered(15)
        assert triton.server.pid != first
        assert np.array_equal(await triton.ask(), ANSWER)


async def test_nothing_stays_behind(environment: TritonEnvironment, tmp_path: Path) -> None:
    async with running(environment, tmp_path / ("long" * 30)) as triton:
        await triton.ask()
        pids = [triton.server.pid, *triton.server.children()]
    assert not shared_memory(triton.server)
    assert not [pid for pid in pids if psutil.pid_exists(pid)]


NODE = """
import asyncio, sys
from pathlib import Path
from inference_node.triton.environment import find
from inference_node.triton.server import ServerOptions, triton_server

async def main():
    options = ServerOptions(environment=find(), repository=Path(sys.argv[1]), folder=Path(sys.argv[2]))
    async with triton_server(options) as server:
        await server.start()
        print("pid", server.pid, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


def test_it_dies_with_a_node_that_is_killed(environment: TritonEnvironment, tmp_path: Path) -> None:
    del environment
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-c", NODE, str(MODEL_REPOSITORY), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=root) as node:
        assert node.stdout is not None
        said = next(line for line in node.stdout if line.startswith(b"pid "))
        server = psutil.Process(int(said.split()[1]))
        assert server.is_running()
        node.kill()
    server.wait(timeout=5)
    assert not server.is_running()


async def test_a_triton_that_runs_elsewhere_is_used_as_it_is(environment: TritonEnvironment, tmp_path: Path) -> None:
    async with running(environment, tmp_path) as triton:
        worker = stub(triton.server).pid
        tensors = TritonTensors(triton.server.url, deadline_s=2.0, observe=lambda *_: None)
        watchdog = Watchdog(tensors, None, ["probe"], patience=Patience(period_s=0.1), on_reload=lambda _: None)
        task = asyncio.create_task(watchdog.run())
        try:
            await asyncio.wait_for(watchdog.recovered(10), 10)
            answer = await tensors.infer("probe", {"INPUT": QUESTION}, ["BYTES"])
            assert np.array_equal(answer["BYTES"], ANSWER)
            assert stub(triton.server).pid == worker
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await tensors.close()


async def test_a_triton_that_does_not_see_our_memory_gets_tensors_inline(
    environment: TritonEnvironment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "shm"
    elsewhere.mkdir()
    monkeypatch.setattr(regions, "SHARED_MEMORY", elsewhere)
    async with running(environment, tmp_path) as triton:
        assert np.array_equal(await triton.ask(), ANSWER)
        assert not list(elsewhere.iterdir())
