"""The secret that webhooks are signed with: the operator's, or one that the edge makes at its first start."""

import contextlib
import os
from pathlib import Path
from typing import Annotated, Final

from pydantic import AfterValidator

from shared.errors import InvalidInputError
from shared.webhook import SECRET_FILE, check_secret, new_secret

_MODE: Final = 0o600


def own_secret(folder: Path) -> str:
    """The edge's own secret, made where there is none.

    Raises:
        InvalidInputError: the file holds something else.
    """
    path = folder / SECRET_FILE
    if not path.exists():
        fresh = path.with_suffix(".new")
        with contextlib.suppress(FileNotFoundError):
            fresh.unlink()  # of a start that was cut off
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE), "w", encoding="ascii") as file:
            file.write(new_secret() + "\n")
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    return check_secret(path.read_text(encoding="utf-8", errors="replace").strip(), field=str(path))


def _checked(secrets: tuple[str, ...]) -> tuple[str, ...]:
    try:
        return tuple(check_secret(secret) for secret in secrets)
    except InvalidInputError as error:
        raise ValueError(error.message) from None


SecretSetting = Annotated[tuple[str, ...], AfterValidator(_checked)]
"""The setting: faults are told at the start."""
