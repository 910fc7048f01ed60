"""How a service tells its supervisor that it is ready: one JSON line on a pipe, then the pipe is closed.

The supervisor gives the number of an open file descriptor (``--ready-fd``); a pipe that closes without a line means
that the service ended before it was ready.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from shared.errors import InternalError


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """A service that is ready.

    Args:
        part: ``edge``, ``node``, ...
        addresses: Where it listens, by use: ``rpc``, ``web``, ``metrics``.
        pid: Its process.
    """

    part: str
    addresses: Mapping[str, str]
    pid: int = field(default_factory=os.getpid)


def announce(ready: Ready, fd: int | None) -> None:
    """Tell a supervisor, where there is one; closes the descriptor."""
    if fd is None:
        return
    line = json.dumps({"ready": ready.part, "pid": ready.pid, "addresses": dict(ready.addresses)})
    with os.fdopen(fd, "w", encoding="utf-8") as pipe:
        pipe.write(line + "\n")


def parse(line: str) -> Ready:
    """Read what ``announce`` wrote.

    Raises:
        InternalError: It is something else.
    """
    try:
        said = json.loads(line)
        return Ready(part=said["ready"], pid=int(said["pid"]), addresses=dict(said["addresses"]))
    except (ValueError, KeyError, TypeError) as error:
        raise InternalError(f"a service said {line!r} where it should say that it is ready") from error
