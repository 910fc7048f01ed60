"""Starts a program that ends when its parent ends, however that ends: ``python -m shared.cli.leash PARENT -- COMMAND``.

The kernel sends SIGTERM when the parent is gone (Linux; elsewhere the program just starts). It is a program of its own
since code between fork and exec is not safe in a process with threads, as every process with gRPC is.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Put the leash on and become the command."""
    parent, separator, *command = arguments
    if separator != "--" or not command:
        raise SystemExit("usage: leash PARENT -- COMMAND")
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != int(parent):
            raise SystemExit("the parent is gone already")
    os.execv(command[0], command)  # noqa: S606 - no shell: that is the point


if __name__ == "__main__":
    main(sys.argv[1:])
