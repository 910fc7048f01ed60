"""Processes of a link: found by their namespace or by their mark, and ended.

A harness that was killed leaves nothing but perhaps processes; the mark in their environment says whose they were.
"""

import contextlib
import os
import select
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path

MARK = "VISEME_WAN"
PATIENCE_S = 3.0
"""How long a process may take over SIGTERM."""


def started(pid: int) -> str:
    """When a process started, in the kernel's ticks; empty where none runs. With the pid it names a process."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (OSError, ValueError):
        return ""
    return "" if state in {"Z", "X"} else fields[18]  # a zombie waits to be reaped, perhaps for long


def mark(pid: int) -> str:
    """The value of the mark for an emulator."""
    return f"{pid}-{started(pid)}"


def _mark_of(pid: int) -> str:
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return ""
    for entry in environment.split(b"\0"):
        name, _, value = entry.partition(b"=")
        if name == MARK.encode():
            return value.decode(errors="replace")
    return ""


def _namespace_of(pid: int) -> int:
    try:
        return Path(f"/proc/{pid}/ns/net").stat().st_ino
    except OSError:
        return 0


def _dead(value: str) -> bool:
    pid, _, ticks = value.partition("-")
    return bool(ticks) and pid.isdigit() and started(int(pid)) != ticks


def _open(belongs: Callable[[int], bool]) -> list[int]:
    """Open the processes that belong; a pid that is taken over meanwhile is seen, as it is asked twice."""
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid() or not belongs(int(entry.name)):
            continue
        with contextlib.suppress(ProcessLookupError):
            fd = os.pidfd_open(int(entry.name))
            if belongs(int(entry.name)):
                found.append(fd)
            else:
                os.close(fd)
    return found


def _send(fds: Iterable[int], what: signal.Signals) -> None:
    for fd in fds:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(fd, what)


def _end(belongs: Callable[[int], bool]) -> None:
    waiting = _open(belongs)
    _send(waiting, signal.SIGTERM)
    deadline = time.monotonic() + PATIENCE_S
    while waiting and (left := deadline - time.monotonic()) > 0:
        ended, _, _ = select.select(waiting, [], [], left)
        for fd in ended:
            waiting.remove(fd)
            os.close(fd)
    _send(waiting, signal.SIGKILL)
    for fd in waiting:
        os.close(fd)
    stubborn = _open(belongs)  # made while the others ended
    _send(stubborn, signal.SIGKILL)
    for fd in stubborn:
        os.close(fd)


def end_inside(namespaces: Iterable[int], own_mark: str) -> None:
    """End all that runs in these namespaces (open files) or carries this mark."""
    inodes = {os.fstat(fd).st_ino for fd in namespaces}
    _end(lambda pid: _namespace_of(pid) in inodes or _mark_of(pid) == own_mark)


def sweep() -> None:
    """End processes whose emulator is no more."""
    _end(lambda pid: _dead(_mark_of(pid)))
