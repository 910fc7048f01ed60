"""The process that sandboxed children are forked from.

It has the media libraries loaded and no threads, so a child is there within milliseconds and never shares the state of
a process that runs grpc. The parent hands it two sockets for every child, one for each direction (so that what a
child said last can be read although it no longer listens); it answers through the second with a pidfd, by which the
parent can wait for and kill a process that is not its own child. When the parent goes, however it goes, the control
socket closes and every child is killed. (multiprocessing's fork server would import the parent's main module, servers
and all, into every child.)
"""

import contextlib
import errno
import importlib
import json
import os
import resource
import select
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from shared.errors import DiskFullError, InternalError, InvalidMediaError, LimitExceededError, VisemeError
from shared.media.walls import Reach, close_walls, program_folders
from shared.media.wire import Channel, WireError

Task = Callable[[Channel, dict[str, Any]], None]

TOO_MUCH = "the file asks for more than the sandbox gives (memory, time or files), or it breaks the decoder"

_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildLimits:
    """What one child may take from the machine."""

    address_space_bytes: int = 4 << 30
    """Virtual memory; the libraries alone map about 1 GiB."""
    cpu_seconds: int = 3600
    open_files: int = 64
    file_bytes: int = 8 << 30
    """Largest file that it may write."""


def confine(limits: ChildLimits, reach: Reach | None) -> None:
    """Give up what the child does not need; everything it runs is imported by then.

    Args:
        limits: What it may take.
        reach: What of the file system it may touch; None for all that its user may.
    """
    for kind, value in (
        (resource.RLIMIT_AS, limits.address_space_bytes),
        (resource.RLIMIT_CPU, limits.cpu_seconds),
        (resource.RLIMIT_NOFILE, limits.open_files),
        (resource.RLIMIT_FSIZE, limits.file_bytes),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(kind)
        wanted = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (wanted, wanted))
    if reach is not None:
        close_walls(reach, program_folders())


def main(control_fd: int, preload: list[str]) -> None:
    """Load the libraries and fork until the control socket closes."""
    for name in _ONE_THREAD:
        os.environ[name] = "1"
    for module in preload:
        importlib.import_module(module)
    _quiet()
    with socket.socket(fileno=control_fd) as control:
        _serve(control)


def _quiet() -> None:
    if "cv2" in sys.modules:
        sys.modules["cv2"].setNumThreads(1)
    if "av" in sys.modules:
        importlib.import_module("av.logging").set_level(None)


def _serve(control: socket.socket) -> None:
    poller = select.poll()
    poller.register(control, select.POLLIN)
    living: set[int] = set()
    while True:
        for fd, _ in poller.poll():
            if fd != control.fileno():
                os.waitid(os.P_PIDFD, fd, os.WEXITED)
                poller.unregister(fd)
                living.discard(fd)
                os.close(fd)
                continue
            data, fds, _, _ = socket.recv_fds(control, 1, 2)
            if not data:
                for pidfd in living:
                    with contextlib.suppress(ProcessLookupError):
                        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
                return
            pidfd = _fork(control, living, fds[0], fds[1])
            living.add(pidfd)
            poller.register(pidfd, select.POLLIN)


def _fork(control: socket.socket, living: set[int], incoming_fd: int, outgoing_fd: int) -> int:
    """Fork a child with its two sockets; returns its pidfd, which the parent has by then, too."""
    pid = os.fork()
    if pid == 0:
        control.close()
        for pidfd in living:
            os.close(pidfd)
        _child(incoming_fd, outgoing_fd)
    pidfd = os.pidfd_open(pid)  # even of one that has ended already: only the loop reaps
    os.close(incoming_fd)
    with socket.socket(fileno=outgoing_fd) as outgoing:
        try:
            socket.send_fds(outgoing, [b"p"], [pidfd])
        except OSError:  # the parent has gone away again
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    return pidfd


def _child(incoming_fd: int, outgoing_fd: int) -> None:
    """Run one task and exit without going back into the server."""
    status = 1
    try:
        with socket.socket(fileno=incoming_fd) as incoming, socket.socket(fileno=outgoing_fd) as outgoing:
            _run(Channel(incoming, outgoing))
        status = 0
    except (OSError, WireError):  # the parent no longer listens
        status = 2
    finally:
        os._exit(status)


def _run(channel: Channel) -> None:
    first = channel.receive()
    if first is None:
        return
    module, _, name = first.header["task"].partition(":")
    arguments: dict[str, Any] = first.header["arguments"]
    task: Task = getattr(importlib.import_module(module), name)
    _quiet()
    reach = first.header["reach"]
    confine(ChildLimits(**first.header["limits"]), None if reach is None else _reach(reach))
    try:
        task(channel, arguments)
    except Exception as error:  # noqa: BLE001 the boundary of a process: the parent must hear of every fault
        channel.fail(_described(error, str(arguments.get("field", ""))))
    else:
        channel.finish()


def _reach(told: dict[str, list[str]]) -> Reach:
    return Reach(reads=tuple(told["reads"]), writes=tuple(told["writes"]))


def _described(error: Exception, field: str) -> dict[str, Any]:
    """What the parent is told of an error; faults of ours come with their traceback, for its log."""
    known, details = _known(error, field), ""
    if known is None:
        known = InternalError("a media task failed; the log has the details")
        details = "".join(traceback.format_exception(error))
    return {
        "reason": known.reason,
        "message": known.message,
        "field": known.field,
        "limit": known.limit,
        "details": details,
    }


def _known(error: Exception, field: str) -> VisemeError | None:
    """The error of our own tree that another one stands for; libav's carry an errno, too, and are no OSErrors."""
    if isinstance(error, VisemeError):
        return error
    if isinstance(error, MemoryError):
        return InvalidMediaError(TOO_MUCH, field=field)
    code = getattr(error, "errno", None)
    if code in {errno.ENOSPC, errno.EDQUOT}:
        return DiskFullError("the edge's disk has no room for the job's files; free some and try again", limit="disk")
    if code == errno.EFBIG:
        return LimitExceededError("a file of the job grew beyond what a media task may write", limit="file_bytes")
    return None


if __name__ == "__main__":
    main(int(sys.argv[1]), json.loads(sys.argv[2]))
