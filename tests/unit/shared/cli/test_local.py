"""The supervisor, with small programs in place of the parts."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from shared.cli import local
from shared.cli.local import Part, PartNews, PartState, Program, part_program
from shared.cli.state import find_edge, stated
from shared.errors import ConflictError, EdgeUnavailableError, NodeUnavailableError
from shared.lock import locked
from shared.sdk.testing import FakeEdge

SERVICE = """
import json, os, signal, sys, time
arguments = sys.argv[1:]
fd = int(arguments[arguments.index("--ready-fd") + 1])
listen = arguments[arguments.index("--listen") + 1]
{before}
with os.fdopen(fd, "w") as pipe:
    address = listen.replace(":0", ":4242")
    pipe.write(json.dumps({{"ready": "edge", "pid": os.getpid(), "addresses": {{"rpc": address}}}}) + "\\n")
print("serving", flush=True)
while True:
    signal.pause()
"""


class Heard:
    """Collects news and lets a test wait for some."""

    def __init__(self) -> None:
        self.news: list[PartNews] = []
        self._changed = asyncio.Event()

    def __call__(self, news: PartNews) -> None:
        self.news.append(news)
        self._changed.set()

    async def until(self, enough: Callable[[list[PartNews]], bool]) -> None:
        async with asyncio.timeout(20):
            while not enough(self.news):
                self._changed.clear()
                await self._changed.wait()

    def states(self) -> list[PartState]:
        return [news.state for news in self.news]


def make(tmp_path: Path, heard: Heard, before: str = "") -> Part:
    script = tmp_path / "service.py"
    script.write_text(SERVICE.format(before=before))
    program = Program(name="edge", command=(sys.executable, str(script)), listens={"rpc": "127.0.0.1:0"})
    return Part(program, log=tmp_path / "logs" / "edge.log", tell=heard)


async def test_a_part_is_ready_when_it_says_so_and_stops_when_told(tmp_path: Path) -> None:
    heard = Heard()
    part = make(tmp_path, heard)
    ready = await part.start()
    assert ready.addresses == {"rpc": "127.0.0.1:4242"}
    await part.stop()
    assert heard.states() == [PartState.STARTING, PartState.READY, PartState.STOPPED]
    with pytest.raises(ProcessLookupError):
        os.kill(ready.pid, 0)


async def test_a_part_that_dies_is_started_again_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "_FIRST_DELAY_S", 0.01)
    heard = Heard()
    part = make(tmp_path, heard)
    first = await part.start()
    watching = asyncio.create_task(part.watch())
    os.kill(first.pid, signal.SIGKILL)
    await heard.until(lambda news: [n.state for n in news].count(PartState.READY) == 2)
    died = next(news for news in heard.news if news.state is PartState.DIED)
    assert "killed by SIGKILL" in died.words
    assert part.ready is not None
    assert part.ready.addresses == first.addresses
    assert part.ready.pid != first.pid
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    await part.stop()


async def test_a_part_that_does_not_start_tells_its_last_words(tmp_path: Path) -> None:
    part = make(tmp_path, Heard(), before="sys.exit('listen: 127.0.0.1:7 is in use')")
    with pytest.raises(EdgeUnavailableError, match=r"127\.0\.0\.1:7 is in use"):
        await part.start()


async def test_a_part_that_never_becomes_ready_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "READY_SECONDS", 0.3)
    part = make(tmp_path, Heard(), before="signal.pause()")
    with pytest.raises(EdgeUnavailableError, match="did not start"):
        await part.start()


async def test_a_part_that_does_not_stop_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "STOP_SECONDS", 0.2)
    heard = Heard()
    part = make(tmp_path, heard, before="signal.signal(signal.SIGTERM, signal.SIG_IGN)")
    ready = await part.start()
    await part.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(ready.pid, 0)
    assert "killing" in heard.news[-2].words


@pytest.mark.skipif(sys.platform != "linux", reason="the leash is Linux's")
async def test_a_part_ends_with_its_parent() -> None:
    """Even when the parent is killed."""
    child = "import os, signal; print(os.getpid(), flush=True); signal.pause()"
    parent = (
        "import os, signal, subprocess, sys\n"
        "subprocess.Popen([sys.executable, '-m', 'shared.cli.leash', str(os.getpid()), '--',"
        f" sys.executable, '-c', {child!r}])\nsignal.pause()"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", parent, stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).resolve().parents[4]
    )
    assert process.stdout is not None
    pid = int(await process.stdout.readline())
    os.kill(pid, 0)
    process.kill()
    await process.wait()
    # The child held the other end of the pipe: its end is ours to see.
    assert await process.stdout.read() == b""


def test_parts_that_are_not_installed_say_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(local._NEEDED, "node", ("surely_not_installed",))
    with pytest.raises(NodeUnavailableError, match=r"pip install 'viseme\[all\]'"):
        part_program("node", data=tmp_path, listens={})


async def test_a_running_edge_is_found_and_a_dead_one_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.cli.state.DEFAULT_EDGE", "127.0.0.1:1")
    async with FakeEdge() as fake:
        with stated(tmp_path, {"rpc": fake.address}):
            assert await find_edge(tmp_path) == fake.address
            await fake.stop()
            assert await find_edge(tmp_path) is None
    assert not list(tmp_path.iterdir())
    (tmp_path / "up.json").write_text("[1")
    assert await find_edge(tmp_path) is None


def test_another_ones_state_is_left_alone(tmp_path: Path) -> None:
    with stated(tmp_path, {"rpc": "127.0.0.1:2"}):
        (tmp_path / "up.json").write_text(json.dumps({"pid": 1, "addresses": {}}))
    assert (tmp_path / "up.json").exists()


def test_a_data_folder_is_held_by_one(tmp_path: Path) -> None:
    with locked(tmp_path / "data"), pytest.raises(ConflictError), locked(tmp_path / "data"):
        pass
    with locked(tmp_path / "data"):
        pass
