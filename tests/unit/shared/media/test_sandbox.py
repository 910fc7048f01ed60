import asyncio
import gc
import os
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from shared.errors import (
    DeadlineError,
    DiskFullError,
    InternalError,
    InvalidMediaError,
    LimitExceededError,
    NoFaceError,
)
from shared.media.sandbox import Channel, ChildLimits, Reach, Sandbox

LIMITS = ChildLimits(address_space_bytes=2 << 30, cpu_seconds=20, open_files=32, file_bytes=1 << 20)
PROC = Reach(reads=("/proc",))


def echo(channel: Channel, _arguments: dict[str, Any]) -> None:
    while (message := channel.receive()) is not None:
        channel.send(message.header, message.payload)


def refuse(_channel: Channel, arguments: dict[str, Any]) -> None:
    if arguments.get("limit"):
        raise LimitExceededError("too much", field="video", limit=arguments["limit"])
    raise NoFaceError("nobody there", field="video")


def misbehave(channel: Channel, arguments: dict[str, Any]) -> None:
    match arguments["how"]:
        case "memory":
            bytearray(8 << 30)
        case "abort":
            os.abort()
        case "bug":
            raise ZeroDivisionError
        case "disk":
            raise OSError(28, "No space left on device")
        case "write":
            Path(arguments["path"]).write_bytes(bytes(2 << 20))
        case "rubbish":
            channel._outgoing.sendall(b"\xff" * 64)
        case "files":
            channel.send({"open": len([os.open("/dev/null", os.O_RDONLY) for _ in range(40)])})


def flood(channel: Channel, arguments: dict[str, Any]) -> None:
    for number in range(arguments["count"]):
        Path(arguments["path"]).write_text(str(number + 1), encoding="ascii")
        channel.send({"number": number}, bytes(1 << 20))


def surroundings(channel: Channel, _arguments: dict[str, Any]) -> None:
    process = psutil.Process()
    channel.send(
        {
            "threads": process.num_threads(),
            "one_thread": os.environ["OMP_NUM_THREADS"] == os.environ["OPENBLAS_NUM_THREADS"] == "1",
            "files": process.num_fds(),
        }
    )


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox(preload=["tests.unit.shared.media.test_sandbox"]) as sandbox:
        yield sandbox


async def test_messages_go_both_ways_whole(sandbox: Sandbox) -> None:
    async with sandbox.spawn(echo, {}, LIMITS) as child:
        for size in (0, 1, 3_000_000):
            await child.send({"size": size}, bytes(size))
            message = await child.receive()
            assert message is not None
            assert (message.header, len(message.payload)) == ({"size": size}, size)
        child.send_end()
        assert await child.receive() is None
        assert await child.receive() is None


async def test_errors_of_our_tree_arrive_as_they_were_raised(sandbox: Sandbox) -> None:
    with pytest.raises(NoFaceError, match="nobody there") as nobody:
        await sandbox.call(refuse, {}, LIMITS, 10)
    assert nobody.value.field == "video"
    with pytest.raises(LimitExceededError) as beyond:
        await sandbox.call(refuse, {"limit": "frame_pixels"}, LIMITS, 10)
    assert beyond.value.limit == "frame_pixels"


@pytest.mark.parametrize("how", ["memory", "abort", "rubbish"])
async def test_a_child_that_a_file_brings_down_is_an_error_of_the_file(sandbox: Sandbox, how: str) -> None:
    with pytest.raises(InvalidMediaError) as error:
        await sandbox.call(misbehave, {"how": how, "field": "speech"}, LIMITS, 10)
    assert error.value.field == "speech"


async def test_limits_hold_in_the_child(sandbox: Sandbox, tmp_path: Path) -> None:
    with pytest.raises(InternalError):
        await sandbox.call(misbehave, {"how": "files"}, LIMITS, 10)
    big = str(tmp_path / "big")
    with pytest.raises(LimitExceededError) as error:
        await sandbox.call(misbehave, {"how": "write", "path": big}, LIMITS, 10, Reach(writes=(big,)))
    assert error.value.limit == "file_bytes"


async def test_a_full_disk_and_a_fault_of_ours_are_told_apart(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(DiskFullError):
        await sandbox.call(misbehave, {"how": "disk"}, LIMITS, 10)
    assert not caplog.records
    with pytest.raises(InternalError) as error:
        await sandbox.call(misbehave, {"how": "bug"}, LIMITS, 10)
    assert "ZeroDivisionError" in caplog.text
    assert "ZeroDivisionError" not in str(error.value)


async def test_sending_to_a_child_that_died_tells_what_of(sandbox: Sandbox) -> None:
    async def send_for_ever(child: Any) -> None:
        while True:
            await child.send({}, bytes(1 << 20))

    async with sandbox.spawn(refuse, {}, LIMITS) as child:
        with pytest.raises(NoFaceError):
            await send_for_ever(child)


async def test_a_parent_that_does_not_read_holds_its_child_up(sandbox: Sandbox, tmp_path: Path) -> None:
    written = tmp_path / "count"
    async with sandbox.spawn(
        flood, {"count": 64, "path": str(written)}, LIMITS, Reach(writes=(str(written),))
    ) as child:
        first = await child.receive()
        assert first is not None
        process = _children(sandbox)[0]
        before = -1.0
        while process.cpu_times().user + process.cpu_times().system != before:  # until it stands still
            before = process.cpu_times().user + process.cpu_times().system
            await asyncio.to_thread(process.status)
        assert int(written.read_text(encoding="ascii")) < 16
        numbers = [first.header["number"]]
        while (message := await child.receive()) is not None:
            numbers.append(message.header["number"])
        assert numbers == list(range(64))


async def test_a_task_that_takes_too_long_is_stopped(sandbox: Sandbox) -> None:
    with pytest.raises(DeadlineError) as error:
        await sandbox.call(echo, {"field": "video"}, LIMITS, 0.3)
    assert error.value.field == "video"
    assert not _children(sandbox)


async def test_nothing_is_left_behind(sandbox: Sandbox) -> None:
    await _crowd(sandbox)
    gc.collect()
    files, threads = psutil.Process().num_fds(), psutil.Process().num_threads()
    for _ in range(3):
        await _crowd(sandbox)
    assert not _children(sandbox)
    gc.collect()
    assert psutil.Process().num_fds() <= files
    assert psutil.Process().num_threads() <= threads


async def test_cancelling_kills_the_child(sandbox: Sandbox) -> None:
    started = asyncio.Event()

    async def wait() -> None:
        async with sandbox.spawn(echo, {}, LIMITS) as child:
            started.set()
            await child.receive()

    task = asyncio.create_task(wait())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not _children(sandbox)


async def test_children_are_single_threaded_and_inherit_nothing(sandbox: Sandbox) -> None:
    async with sandbox.spawn(echo, {}, LIMITS):
        message = await sandbox.call(surroundings, {}, LIMITS, 10, PROC)
    assert message.header["threads"] == 1
    assert message.header["one_thread"]
    assert message.header["files"] <= 6  # the standard three, two sockets, and the folder in which they are counted


async def test_a_fork_server_that_died_is_started_again(sandbox: Sandbox) -> None:
    await sandbox.call(surroundings, {}, LIMITS, 10, PROC)
    server = sandbox._server
    assert server is not None
    server.kill()
    await asyncio.to_thread(server.wait)
    await sandbox.call(surroundings, {}, LIMITS, 10, PROC)


async def test_children_die_with_the_server_of_a_parent_that_went(sandbox: Sandbox) -> None:
    async with sandbox.spawn(echo, {}, LIMITS) as child:
        victims = _children(sandbox)
        server = sandbox._stop()  # closes the control socket, as the kernel does for a parent that was killed
        assert server is not None
        await asyncio.to_thread(server.wait)
        with pytest.raises(InvalidMediaError):
            await child.receive()
        assert not [victim for victim in victims if victim.is_running() and victim.status() != psutil.STATUS_ZOMBIE]


async def test_a_second_child_is_there_at_once(sandbox: Sandbox) -> None:
    await sandbox.call(surroundings, {}, LIMITS, 10, PROC)
    begin = time.perf_counter()
    await sandbox.call(surroundings, {}, LIMITS, 10, PROC)
    assert time.perf_counter() - begin < 0.5  # a fresh interpreter with these libraries takes longer


async def _crowd(sandbox: Sandbox) -> None:
    async def one(kind: int) -> None:
        async with sandbox.spawn(echo, {}, LIMITS) as child:
            if kind:
                await child.send({}, bytes(100_000))
                await child.receive()

    async with asyncio.TaskGroup() as tasks:
        for kind in (0, 1, 1):
            tasks.create_task(one(kind))


def _children(sandbox: Sandbox) -> list[psutil.Process]:
    """Every child that the sandbox's fork server has."""
    if sandbox._server is None:
        return []
    return [child for child in psutil.Process(sandbox._server.pid).children() if _alive(child)]


def _alive(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


async def test_parents_that_go_away_at_once_harm_nobody(sandbox: Sandbox) -> None:
    """A child that ends before anybody knows it by name must not take the server along."""
    await sandbox.call(surroundings, {}, LIMITS, 20, PROC)
    assert sandbox._server is not None
    assert sandbox._control is not None
    server = sandbox._server.pid
    sandbox._control.setblocking(True)
    for _ in range(200):
        ends = [socket.socketpair() for _ in range(2)]
        for ours, _ in ends:
            ours.close()
        socket.send_fds(sandbox._control, [b"f"], [theirs.fileno() for _, theirs in ends])
        for _, theirs in ends:
            theirs.close()
    sandbox._control.setblocking(False)
    await sandbox.call(surroundings, {}, LIMITS, 20, PROC)
    assert sandbox._server.pid == server
    while psutil.Process(server).children():
        await asyncio.to_thread(psutil.wait_procs, psutil.Process(server).children(), 1)
