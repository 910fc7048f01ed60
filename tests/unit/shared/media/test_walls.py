"""What a child can do behind its walls, and what it cannot, whatever takes it over."""

import ctypes
import errno
import os
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shared.media.sandbox import Channel, ChildLimits, Reach, Sandbox

LIMITS = ChildLimits(address_space_bytes=2 << 30, cpu_seconds=20, open_files=64, file_bytes=1 << 20)
REFUSED = (errno.EACCES, errno.EPERM)
LIBC = ctypes.CDLL(None, use_errno=True)
PTRACE_SEIZE, CLONE_NEWUSER, BPF_PROG_LOAD = 0x4206, 0x1000_0000, 5
NR_BPF, NR_IO_URING_SETUP, NR_PTRACE, NR_UNSHARE, NR_PIDFD_OPEN, NR_KEYCTL = 321, 425, 101, 272, 434, 250


def attempt(channel: Channel, arguments: dict[str, Any]) -> None:
    """Do it; answer with the error's number, 0 where there was none."""
    channel.send({"errno": _try(str(arguments["what"]), str(arguments["path"]), int(arguments["victim"]))})


def _try(what: str, path: str, victim: int) -> int:
    try:
        return _do(what, path, victim)
    except OSError as error:
        return error.errno or -1


def _do(what: str, path: str, victim: int) -> int:
    acts = {
        "read": lambda: Path(path).read_bytes(),
        "write": lambda: Path(path).write_bytes(b"x"),
        "make": lambda: Path(path, "new").write_bytes(b"x"),
        "delete": lambda: Path(path).unlink(),
        "rename": lambda: os.rename(path, path + "2"),  # noqa: PTH104
        "link": lambda: os.symlink("/etc/passwd", path + "2"),  # noqa: PTH211
        "list": lambda: os.listdir(path),  # noqa: PTH208
        "truncate": lambda: os.truncate(path, 0),
        "chmod": lambda: Path(path).chmod(0o777),
        "connect": lambda: socket.create_connection(("127.0.0.1", 9)),
        "unix": lambda: socket.socket(socket.AF_UNIX).bind("\0viseme-escape"),
        "pair": socket.socketpair,
        "fork": os.fork,
        "run": lambda: subprocess.run([sys.executable, "-c", ""], check=True),
        "exec": lambda: os.execv("/bin/true", ["true"]),  # noqa: S606
        "kill": lambda: os.kill(victim, 0),
        "memory": lambda: os.open(f"/proc/{victim}/mem", os.O_RDONLY),
        "chroot": lambda: os.chroot("/"),
        "thread": _thread,
        "compute": lambda: np.linalg.svd(np.ones((64, 64))),
    }
    if what in acts:
        acts[what]()
        return 0
    calls = {
        "bpf": (NR_BPF, BPF_PROG_LOAD, 0, 0),
        "io_uring": (NR_IO_URING_SETUP, 1, 0, 0),
        "ptrace": (NR_PTRACE, PTRACE_SEIZE, victim, 0),
        "namespace": (NR_UNSHARE, CLONE_NEWUSER, 0, 0),
        "pidfd": (NR_PIDFD_OPEN, victim, 0, 0),
        "keys": (NR_KEYCTL, 0, 0, 0),
    }
    return 0 if LIBC.syscall(*calls[what]) >= 0 else ctypes.get_errno()


def _thread() -> None:
    thread = threading.Thread(target=lambda: None)
    thread.start()
    thread.join()


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox(preload=[__name__]) as sandbox:
        yield sandbox


async def tried(sandbox: Sandbox, what: str, path: Path, reach: Reach) -> int:
    arguments = {"what": what, "path": str(path), "victim": os.getpid()}
    return int((await sandbox.call(attempt, arguments, LIMITS, 20, reach)).header["errno"])


async def test_nothing_is_opened_that_was_not_named(sandbox: Sandbox, tmp_path: Path) -> None:
    named, secret = tmp_path / "named", tmp_path / "secret"
    named.write_bytes(b"named")
    secret.write_bytes(b"secret")
    reach = Reach(reads=(str(named),), writes=(str(tmp_path / "out"),))
    for what in ("read", "write", "truncate", "list"):
        refused = await tried(sandbox, what, tmp_path if what == "list" else secret, reach)
        assert refused in REFUSED, what
    assert secret.read_bytes() == b"secret"


async def test_what_was_named_is_read_and_written(sandbox: Sandbox, tmp_path: Path) -> None:
    named, output = tmp_path / "named", tmp_path / "out"
    named.write_bytes(b"named")
    reach = Reach(reads=(str(named),), writes=(str(output),))
    assert await tried(sandbox, "read", named, reach) == 0
    assert await tried(sandbox, "write", output, reach) == 0
    assert output.read_bytes() == b"x"
    assert await tried(sandbox, "write", named, reach) == errno.EACCES
    assert named.read_bytes() == b"named"


async def test_folders_stay_as_they_are(sandbox: Sandbox, tmp_path: Path) -> None:
    output = tmp_path / "out"
    reach = Reach(reads=(str(tmp_path),), writes=(str(output),))
    for what in ("make", "delete", "rename", "link", "chmod"):
        assert await tried(sandbox, what, tmp_path if what == "make" else output, reach) in REFUSED, what
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


async def test_there_are_no_network_no_programs_no_other_processes_and_no_side_doors(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    network, programs = ("connect", "unix", "pair"), ("fork", "run", "exec")
    others, doors = ("kill", "memory", "ptrace", "pidfd"), ("bpf", "io_uring", "namespace", "keys", "chroot")
    for what in (*network, *programs, *others, *doors):
        assert await tried(sandbox, what, tmp_path, Reach()) in REFUSED, what


async def test_it_may_still_compute(sandbox: Sandbox, tmp_path: Path) -> None:
    for what in ("thread", "compute"):
        assert await tried(sandbox, what, tmp_path, Reach()) == 0, what


async def test_without_walls_the_file_system_is_open_where_the_operator_wants_it(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    async with Sandbox(preload=[__name__], walls=False) as sandbox:
        assert await tried(sandbox, "read", secret, Reach()) == 0
