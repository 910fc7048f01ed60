"""Verifying files: the part that runs outside of the sandbox."""

from pathlib import Path

from shared.errors import InvalidInputError, LimitExceededError
from shared.media.forkserver import ChildLimits
from shared.media.sandbox import Reach, Sandbox
from shared.media.walls import check_walls
from shared.provenance.examine import examine
from shared.provenance.finding import Finding

MOST_TRUST_BYTES = 4 << 20
"""Of a file of authorities."""
PATIENCE_S = 300.0
"""For which one file is looked at."""
_LIMITS = ChildLimits(address_space_bytes=4 << 30, cpu_seconds=300, open_files=32, file_bytes=0)


async def verify(path: Path, trust: Path | None, *, walls: bool = True) -> Finding:
    """Find out what a file claims and whether it holds.

    Args:
        path: The file.
        trust: Certificates in PEM of authorities; a signer for whom none of them vouches is then no good.
        walls: Whether the file is opened behind Landlock and seccomp, or with bounded memory and time alone.

    Raises:
        InvalidInputError: a file is not there or no media, or the machine has no walls.
        LimitExceededError: it is beyond what is read.
        DeadlineError: it took too long.
    """
    if walls:
        check_walls()
    name = _absolute(path)
    arguments = {"path": name, "trust": "" if trust is None else _authorities(trust), "field": "file"}
    async with Sandbox(preload=[examine.__module__], media=False, walls=walls) as sandbox:
        message = await sandbox.call(examine, arguments, _LIMITS, PATIENCE_S, Reach(reads=(name,)))
    return Finding.of(message.header)


def _absolute(path: Path) -> str:
    if not path.is_file():
        raise InvalidInputError(f"{path} is no file", field="file")
    return str(path.resolve())


def _authorities(path: Path) -> str:
    try:
        with path.open("rb") as file:
            text = file.read(MOST_TRUST_BYTES + 1).decode("ascii")
    except (OSError, UnicodeDecodeError):
        raise InvalidInputError(f"{path} cannot be read as certificates in PEM", field="trust") from None
    if len(text) > MOST_TRUST_BYTES:
        raise LimitExceededError(f"{path} is longer than {MOST_TRUST_BYTES} bytes", field="trust", limit="trust")
    if "-----BEGIN CERTIFICATE-----" not in text:
        raise InvalidInputError(f"{path} has no certificate in PEM", field="trust")
    return text
