"""The process between the node and its Triton: it ends the server and all its children when the node ends in any way.

Run as a script on the bare interpreter: ``guardian.py SHM_PREFIX COMMAND...``. Its standard input is a pipe from the
node that nobody writes to; when it closes, even because the node was killed, the server's process group is killed and
what it left in /dev/shm is removed. Its first line of output is the number of the server's process group.
"""

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def _die_with_parent() -> None:
    """Ask the kernel to kill this process when the guardian dies."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _reap_others() -> None:
    while True:
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def main(shm_prefix: str, command: list[str]) -> int:
    """Run the server until it ends or the node does."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    # The server's children become ours when it dies, so that none is left a zombie.
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)
    server = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=_die_with_parent,  # noqa: PLW1509 - this process has one thread, and only prctl is called
    )
    sys.stdout.write(f"{server.pid}\n")
    sys.stdout.flush()
    ended = os.pidfd_open(server.pid)
    try:
        select.select([sys.stdin.fileno(), ended], [], [])
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        code = server.wait()
        _reap_others()
        for path in Path("/dev/shm").glob(f"{shm_prefix}*"):  # noqa: S108 - POSIX shared memory lives nowhere else
            path.unlink(missing_ok=True)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
