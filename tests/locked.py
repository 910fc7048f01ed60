"""Runs a program as in production: as nobody in particular, on a root that is read-only, behind a unit's walls.

``prefix()`` gives what stands before a program's command. As root it makes a name space of its own in which everything
is read-only but the program's folder and an empty ``/tmp``, becomes another user without any capability, forbids the
calls of the system that the unit's ``SystemCallFilter`` does not allow, and becomes the program.
"""

import errno
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pyseccomp

USER = 10001
"""As in the images."""

_SCRIPT = """
set -e
folder=$1 python=$2; shift 2
exec 8<"$folder" 9<"$python"
mount -t tmpfs -o mode=1777 tmp /tmp
mkdir -p "$folder"
mount --no-canonicalize --bind /proc/self/fd/8 "$folder"
if ! setpriv --reuid $USER --clear-groups test -x "$python/bin"; then
  mount -t tmpfs -o mode=755 home "/$(echo "$python" | cut -d/ -f2)"
  mkdir -p "$python"
  mount --no-canonicalize --bind /proc/self/fd/9 "$python"
fi
exec 8<&- 9<&-
cut -d' ' -f5 /proc/self/mountinfo | while read -r at; do
  case "$at" in /proc*|/sys*|/dev*|/tmp|"$folder") ;; *) mount -o remount,bind,ro "$at" ;; esac
done
exec setpriv --reuid $USER --regid $USER --clear-groups --bounding-set=-all --inh-caps=-all --no-new-privs "$@"
"""


def prefix(folder: Path, unit: Path) -> tuple[str, ...]:
    """What stands before a program's command.

    Args:
        folder: What it may write to; made, and given to the user.
        unit: Whose ``SystemCallFilter`` holds for it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    os.chown(folder, USER, USER)
    script = _SCRIPT.replace("$USER", str(USER))
    spaces = ("unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh")
    return (*spaces, str(folder), sys.base_prefix, sys.executable, "-m", "tests.locked", str(unit))


def values(unit: Path, name: str) -> list[str]:
    """What a unit says under a name, in all lines."""
    lines = (line.partition("=") for line in unit.read_text().splitlines())
    return [word for key, _, value in lines if key == name for word in value.split()]


@cache
def _calls(name: str) -> frozenset[str]:
    if not name.startswith("@"):
        return frozenset([name])
    told = subprocess.run(
        ["systemd-analyze", "--no-pager", "syscall-filter", name], capture_output=True, text=True, check=True
    )
    members = (line.strip() for line in told.stdout.splitlines()[1:])
    return frozenset().union(*(_calls(member) for member in members if member and not member.startswith("#")))


def _allow_only(names: list[str]) -> None:
    rules = pyseccomp.SyscallFilter(pyseccomp.ERRNO(errno.EPERM))
    # systemd allows these always.
    for call in frozenset().union(*(_calls(name) for name in [*names, "@default"])):
        try:
            number = pyseccomp.resolve_syscall(pyseccomp.Arch.NATIVE, call)
        except ValueError:
            continue
        if number >= 0:  # one that this kind of processor has
            rules.add_rule(pyseccomp.ALLOW, call)
    rules.load()


if __name__ == "__main__":
    _allow_only(values(Path(sys.argv[1]), "SystemCallFilter"))
    os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606 - there is no shell, and none is wanted
