"""The process that sandboxed children are forked from.

It has the media libraries loaded and no threads, so a child is there within milliseconds and never shares the state of
a process that runs grpc. The parent hands it one end of a socket pair for every child; it answers through that very
socket with a pidfd, by which the parent can wait for and kill a process that is not its own child. When the parent
goes, however it goes, the control socket closes and every child is killed. (multiprocessing's fork server would import
the parent's main module, servers and all, into every child.)
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


def confine(limits: ChildLimits) -> None:
    """Give up what the child does not need; everything it runs is imported by then.

    The one place for further walls (file system, system calls).
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


def main(control_fd: int, preload: list[str]) -> None:
    """Load the libraries and fork until the control socket closes."""
    for name in _ONE_THREAD:
        os.environ[name] = "1"
    for module in preload:
        importlib.import_module(module)
    _quiet()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps; nobody asks for exit statuses
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
                poller.unregister(fd)
                living.discard(fd)
                os.close(fd)
                continue
            data, fds, _, _ = socket.recv_fds(control, 1, 1)
            if not data:
                for pidfd in living:
                    with contextlib.suppress(ProcessLookupError):
                        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
                return
            pidfd = _fork(control, living, fds[0])
            living.add(pidfd)
            poller.register(pidfd, select.POLLIN)


def _fork(control: socket.socket, living: set[int], channel_fd: int) -> int:
    """Fork a child on a channel; returns its pidfd, which the parent has by then, too."""
    pid = os.fork()
    if pid == 0:
        control.close()
        for pidfd in living:
            os.close(pidfd)
        _child(channel_fd)
    pidfd = os.pidfd_open(pid)
    with socket.socket(fileno=channel_fd) as channel:
        try:
            socket.send_fds(channel, [b"p"], [pidfd])
        except OSError:  # the parent has gone away again
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    return pidfd


def _child(channel_fd: int) -> None:
    """Run one task and exit without going back into the server."""
    status = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        with socket.socket(fileno=channel_fd) as connection:
            _run(Channel(connection))
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
    confine(ChildLimits(**first.header["limits"]))
    try:
        task(channel, arguments)
    except VisemeError as error:
        channel.fail(_describe(error))
    except MemoryError:
        channel.fail(_describe(InvalidMediaError(TOO_MUCH, field=str(arguments.get("field", "")))))
    except OSError as error:
        channel.fail(_describe_os_error(error))
    except Exception as error:  # noqa: BLE001 the boundary of a process: the parent must hear of every fault
        channel.fail(_describe_fault(error))
    else:
        channel.finish()


def _describe(error: VisemeError, details: str = "") -> dict[str, Any]:
    return {
        "reason": error.reason,
        "message": error.message,
        "field": error.field,
        "limit": error.limit,
        "details": details,
    }


def _describe_os_error(error: OSError) -> dict[str, Any]:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return _describe(DiskFullError("the disk of the edge has no room left for the job's files"))
    if error.errno == errno.EFBIG:
        return _describe(LimitExceededError("a file of the job grew beyond its limit", limit="file_bytes"))
    return _describe_fault(error)


def _describe_fault(error: BaseException) -> dict[str, Any]:
    details = "".join(traceback.format_exception(error))
    return _describe(InternalError("a media task failed; the log has the details"), details)


if __name__ == "__main__":
    main(int(sys.argv[1]), json.loads(sys.argv[2]))
