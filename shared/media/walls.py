"""Walls around a process that opens files nobody trusts: Landlock for the file system, seccomp for everything else.

Behind them a process computes, talks over the sockets that it has, reads the files that it was told of and its own
program, and writes the files that it was told of. It can neither open another file nor a connection, start a program,
nor look at or signal another process. Root is bound by them, too, and nothing takes them away again.
"""

import errno
import os
import sys
import sysconfig
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import landlock
import pyseccomp
from landlock import FSAccess

from shared.errors import InvalidInputError

_READ = FSAccess.READ_FILE | FSAccess.READ_DIR
_MACHINE: Final = ("/dev/null", "/dev/urandom", "/proc/cpuinfo", "/sys/devices/system/cpu", "/etc/localtime")
"""What libraries look at before they compute."""

_CLONE_THREAD: Final = 0x0001_0000
_FIONREAD: Final = 0x541B

_CALLS: Final = (
    # files, of which Landlock says which
    "access", "close", "close_range", "dup", "dup2", "dup3", "faccessat", "faccessat2", "fadvise64", "fallocate",
    "fcntl", "fdatasync", "flock", "fstat", "fstatfs", "fsync", "ftruncate", "getcwd", "getdents64", "lseek", "lstat",
    "newfstatat", "open", "openat", "pread64", "preadv", "preadv2", "pwrite64", "pwritev", "pwritev2", "read",
    "readahead", "readlink", "readlinkat", "readv", "stat", "statfs", "statx", "sync_file_range", "write", "writev",
    # the sockets that it has
    "epoll_create1", "epoll_ctl", "epoll_pwait", "epoll_wait", "eventfd2", "getpeername", "getsockname", "getsockopt",
    "pipe2", "poll", "ppoll", "pselect6", "recvfrom", "recvmsg", "select", "sendmsg", "sendto", "setsockopt",
    "shutdown",
    # memory
    "brk", "get_mempolicy", "madvise", "membarrier", "mincore", "mmap", "mprotect", "mremap", "munmap",
    # threads, of which it may start some, and time
    "arch_prctl", "clock_getres", "clock_gettime", "clock_nanosleep", "exit", "exit_group", "futex", "get_robust_list",
    "getcpu", "gettid", "getrusage", "gettimeofday", "nanosleep", "prlimit64", "getrlimit", "restart_syscall", "rseq",
    "sched_getaffinity", "sched_getparam", "sched_getscheduler", "sched_setaffinity", "sched_yield", "set_robust_list",
    "set_tid_address", "time", "times", "getitimer", "setitimer", "getpriority",
    # signals to itself
    "rt_sigaction", "rt_sigpending", "rt_sigprocmask", "rt_sigreturn", "rt_sigtimedwait", "sigaltstack",
    # who and where it is
    "getegid", "geteuid", "getgid", "getpgrp", "getpid", "getppid", "getrandom", "getuid", "sysinfo", "uname",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """What of the file system a process may touch beside its own program."""

    reads: tuple[str, ...] = ()
    """Files, and folders with all that is in them; those that are not there are left out."""
    writes: tuple[str, ...] = ()
    """Files that are there, which it may also empty and read. It can make none."""


def check_walls() -> None:
    """See whether this machine has what the walls are made of.

    Raises:
        InvalidInputError: it has not; says what to do.
    """
    try:
        landlock.landlock_abi_version()
        pyseccomp.get_api()
    except (landlock.LandlockError, OSError, RuntimeError) as error:
        message = (
            f"media is opened behind Landlock (Linux 5.13 or newer, enabled) and seccomp (libseccomp 2), and this "
            f"machine lacks one of them: {error}. With sandbox=limits only memory, time and files are bounded"
        )
        raise InvalidInputError(message, field="sandbox") from error


def program_folders() -> list[str]:
    """Where the code and the data of this program lie: Python, its packages, and the packages that are loaded."""
    named = (sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib"))
    loaded = [list(sys.modules[name].__path__) for name in ("shared", "edge_gateway") if name in sys.modules]
    return sorted({str(Path(folder).resolve()) for folder in [*named, *(folder for some in loaded for folder in some)]})


def close_walls(reach: Reach, program: Iterable[str]) -> None:
    """Go behind the walls, for good. Children and threads that are started later are behind them, too.

    Args:
        reach: What may be touched.
        program: The program's own folders.
    """
    _bind_files(reach, program)
    _bind_calls()


def _bind_files(reach: Reach, program: Iterable[str]) -> None:
    rules = landlock.Ruleset()
    for path in (*_MACHINE, *program, *reach.reads):
        with suppress(FileNotFoundError):
            rules.allow(path, rules=_READ if Path(path).is_dir() else FSAccess.READ_FILE)
    for path in reach.writes:
        rules.allow(path, rules=FSAccess.READ_FILE | FSAccess.WRITE_FILE | FSAccess.TRUNCATE)
    rules.apply()
    os.close(rules._fd)  # noqa: SLF001 - its owner never does


def _bind_calls() -> None:
    rules = pyseccomp.SyscallFilter(pyseccomp.ERRNO(errno.EPERM))
    for name in _CALLS:
        rules.add_rule(pyseccomp.ALLOW, name)
    is_thread = pyseccomp.Arg(0, pyseccomp.MASKED_EQ, _CLONE_THREAD, _CLONE_THREAD)
    rules.add_rule(pyseccomp.ALLOW, "clone", is_thread)
    # Its flags lie in memory, where no filter sees them; told that there is none, the C library takes `clone`.
    rules.add_rule(pyseccomp.ERRNO(errno.ENOSYS), "clone3")
    rules.add_rule(pyseccomp.ALLOW, "ioctl", pyseccomp.Arg(1, pyseccomp.EQ, _FIONREAD))
    # abort() after a failed check in a library; to others it cannot send.
    own = pyseccomp.Arg(0, pyseccomp.EQ, os.getpid())
    for name in ("kill", "tgkill"):
        rules.add_rule(pyseccomp.ALLOW, name, own)
    rules.load()
