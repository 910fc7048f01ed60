"""Children that open files which nobody trusts.

::

    async with Sandbox(preload=["edge_gateway.prepare"]) as sandbox:
        async with sandbox.spawn(prepare, {"path": ...}, ChildLimits(), Reach(reads=(...,))) as child:
            while message := await child.receive():
                ...

A task is a top-level function ``def task(channel: Channel, arguments: dict[str, Any]) -> None``. It runs in a process
of its own with hard limits, behind walls (:mod:`shared.media.walls`); errors of our tree that it raises are raised
again here.
"""

import asyncio
import contextlib
import dataclasses
import json
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from shared.errors import (
    DeadlineError,
    InternalError,
    InvalidMediaError,
    ResourceExhaustedError,
    VisemeError,
    by_reason,
)
from shared.media.forkserver import TOO_MUCH, ChildLimits, Task
from shared.media.walls import Reach
from shared.media.wire import PREFIX, Channel, FrameKind, Message, WireError, pack, unpack_header, unpack_prefix

__all__ = ["Channel", "Child", "ChildLimits", "Message", "Reach", "Sandbox", "Task", "call", "spawn"]

PRELOAD = ("numpy", "cv2", "av", "PIL.Image", "ai_edge_litert.interpreter", "shared.media.probe")
"""What every child has loaded that reads media."""

NOTHING = Reach()
"""For tasks that touch no file."""

_STREAM_BYTES = 256 << 10
_BOOT = (
    "import sys, json; sys.path[:] = json.loads(sys.argv[3]); "
    "from shared.media.forkserver import main; main(int(sys.argv[1]), json.loads(sys.argv[2]))"
)

_log = logging.getLogger(__name__)


class Child:
    """The parent's end of a running child."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, field: str) -> None:
        self._reader = reader
        self._writer = writer
        self._field = field
        self._reading = asyncio.Lock()
        self._ended = False
        self._error: VisemeError | None = None

    async def send(self, header: dict[str, Any], payload: bytes = b"") -> None:
        """Send one message; waits while the child does not read.

        Raises:
            VisemeError: what the child died of.
        """
        try:
            self._writer.write(pack(FrameKind.MESSAGE, header, len(payload)))
            if payload:
                self._writer.write(payload)
            await self._writer.drain()
        except (ConnectionError, RuntimeError):
            # The child is gone; what it said last tells why.
            while await self.receive() is not None:
                pass
            raise InternalError("a media task ended before it had read all that was sent to it") from None

    def send_end(self) -> None:
        """Say that nothing more will be sent: the child's ``receive`` gives None after the last message."""
        if self._writer.can_write_eof():
            self._writer.write_eof()

    async def receive(self) -> Message | None:
        """Wait for the child's next message; None when its task has returned.

        Raises:
            VisemeError: what the task raised; ``InvalidMediaError`` when the child was killed.
        """
        async with self._reading:
            if self._error is not None:
                raise self._error
            if self._ended:
                return None
            try:
                return await self._receive()
            except VisemeError as error:
                self._error = error
                raise

    async def _receive(self) -> Message | None:
        try:
            kind, header_bytes, payload_bytes = unpack_prefix(await self._reader.readexactly(PREFIX.size))
            header = unpack_header(await self._reader.readexactly(header_bytes))
            payload = await self._reader.readexactly(payload_bytes)
        except (asyncio.IncompleteReadError, ConnectionError):
            raise InvalidMediaError(TOO_MUCH, field=self._field) from None
        except WireError as error:
            raise InvalidMediaError(f"{TOO_MUCH} ({error})", field=self._field) from None
        if kind is FrameKind.MESSAGE:
            return Message(header=header, payload=payload)
        if kind is FrameKind.ERROR:
            raise self._raised(header)
        self._ended = True
        return None

    def _raised(self, header: dict[str, Any]) -> VisemeError:
        if details := header.get("details"):
            _log.error("a media task failed: %s", details)
        kind = by_reason(str(header.get("reason")))
        message, field = str(header.get("message", "")), str(header.get("field", ""))
        try:
            return kind(message, field=field or self._field, limit=str(header.get("limit", "")))
        except TypeError:  # a class with arguments of its own
            return InternalError(message, field=field)


class Sandbox:
    """Starts children; owns the fork server that they come from, which starts with the first child.

    Args:
        preload: Modules that every child has loaded.
        media: Whether also what reads media; a child that does without needs none of it installed.
        walls: Whether children are kept behind walls; False where the machine has none, by the operator's wish.
    """

    def __init__(self, *, preload: Iterable[str] = (), media: bool = True, walls: bool = True) -> None:
        self._preload = [*(PRELOAD if media else ()), *preload]
        self._walls = walls
        self._server: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        server = self._stop()
        if server is not None:
            await asyncio.to_thread(server.wait)

    @contextlib.asynccontextmanager
    async def spawn(
        self, task: Task, arguments: dict[str, Any], limits: ChildLimits, reach: Reach = NOTHING
    ) -> AsyncIterator[Child]:
        """Run a task in a child; leaving the context kills the child where it still runs.

        Args:
            task: A top-level function.
            arguments: JSON values; ``field`` names the input in errors.
            limits: What the child may take.
            reach: Files that it may touch. Those to be written are made here where they are missing.
        """
        if reach.writes:
            await asyncio.to_thread(_make, reach.writes)
        async with contextlib.AsyncExitStack() as stack:
            incoming, outgoing = await self._fork(stack)
            reader, unused = await asyncio.open_unix_connection(sock=incoming, limit=_STREAM_BYTES)
            stack.callback(unused.transport.abort)
            _, writer = await asyncio.open_unix_connection(sock=outgoing, limit=_STREAM_BYTES)
            stack.callback(writer.transport.abort)
            child = Child(reader, writer, str(arguments.get("field", "")))
            name = f"{task.__module__}:{task.__qualname__}"
            allowed = dataclasses.asdict(reach) if self._walls else None
            told = {"task": name, "arguments": arguments, "limits": dataclasses.asdict(limits), "reach": allowed}
            await child.send(told)
            yield child

    async def call(
        self, task: Task, arguments: dict[str, Any], limits: ChildLimits, timeout_s: float, reach: Reach = NOTHING
    ) -> Message:
        """Run a task and return the first message that it sends.

        Raises:
            DeadlineError: it took longer than ``timeout_s``.
            VisemeError: what the task raised.
        """
        try:
            async with asyncio.timeout(timeout_s), self.spawn(task, arguments, limits, reach) as child:
                message = await child.receive()
        except TimeoutError:
            field = str(arguments.get("field", ""))
            raise DeadlineError(f"looking at the file took longer than {timeout_s:g} s", field=field) from None
        if message is None:
            raise InternalError("a media task gave no answer")
        return message

    async def _fork(self, stack: contextlib.AsyncExitStack) -> tuple[socket.socket, socket.socket]:
        """Have a child forked; returns the parent's ends of what comes from it and what goes to it."""
        incoming, its_outgoing = socket.socketpair()
        outgoing, its_incoming = socket.socketpair()
        for ours in (incoming, outgoing):
            ours.setblocking(False)
            stack.callback(ours.close)
        with its_incoming, its_outgoing:
            theirs = [its_incoming.fileno(), its_outgoing.fileno()]
            try:
                try:
                    socket.send_fds(self._running(), [b"f"], theirs)
                except ConnectionError:  # it has just ended; another one is started
                    self._stop()
                    socket.send_fds(self._running(), [b"f"], theirs)
            except BlockingIOError:
                raise ResourceExhaustedError("too many media tasks are being started", retry_after_s=1) from None
        await _readable(incoming.fileno())
        data, fds, _, _ = socket.recv_fds(incoming, 1, 1)
        if not data or not fds:
            raise InternalError("the process that media tasks come from has ended")
        stack.push_async_callback(_end, fds[0])
        return incoming, outgoing

    def _running(self) -> socket.socket:
        """The control socket of a fork server that lives."""
        if self._control is not None and self._server is not None and self._server.poll() is None:
            return self._control
        self._stop()
        ours, theirs = socket.socketpair(type=socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        with theirs:
            fd = theirs.fileno()
            command = [sys.executable, "-c", _BOOT, str(fd), json.dumps(self._preload), json.dumps(sys.path)]
            self._server = subprocess.Popen(
                command, pass_fds=[fd], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True
            )
        self._control = ours
        return ours

    def _stop(self) -> subprocess.Popen[bytes] | None:
        if self._control is not None:
            self._control.close()
            self._control = None
        server, self._server = self._server, None
        return server


def _make(paths: Iterable[str]) -> None:
    for path in paths:
        Path(path).touch()


async def _readable(fd: int) -> None:
    loop = asyncio.get_running_loop()
    ready = loop.create_future()

    def wake() -> None:
        if not ready.done():
            ready.set_result(None)

    loop.add_reader(fd, wake)
    try:
        await ready
    finally:
        loop.remove_reader(fd)


async def _end(pidfd: int) -> None:
    """Kill a child and wait until it is gone."""
    try:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        await _readable(pidfd)
    finally:
        os.close(pidfd)


_default = Sandbox()


def spawn(
    task: Task, arguments: dict[str, Any], limits: ChildLimits, reach: Reach = NOTHING
) -> contextlib.AbstractAsyncContextManager[Child]:
    """:meth:`Sandbox.spawn` of the process's own sandbox, for programs that keep none."""
    return _default.spawn(task, arguments, limits, reach)


async def call(
    task: Task, arguments: dict[str, Any], limits: ChildLimits, timeout_s: float, reach: Reach = NOTHING
) -> Message:
    """:meth:`Sandbox.call` of the process's own sandbox, for programs that keep none."""
    return await _default.call(task, arguments, limits, timeout_s, reach)
