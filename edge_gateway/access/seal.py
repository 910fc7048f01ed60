"""Sealed words that a stranger carries and cannot change: sessions of the page, and links to results.

They are JWTs, signed by a secret that only this edge has.
"""

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import jwt

from shared.errors import UnauthenticatedError

_SECRET_BYTES: Final = 32
_ALGORITHM: Final = "HS256"


def own_seal(folder: Path) -> bytes:
    """The secret of an edge's seal, made at first; whoever removes the file ends all sessions and links."""
    path = folder / "seal.key"
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(os.urandom(_SECRET_BYTES))
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        pass
    return path.read_bytes()


class Seal:
    """Seals and opens.

    Args:
        secret: At least 32 bytes.
        clock: Seconds since 1970.
    """

    def __init__(self, secret: bytes, clock: Callable[[], float] = time.time) -> None:
        self._secret = secret
        self._clock = clock

    def seal(self, use: str, told: Mapping[str, Any], *, until: float) -> str:
        """Seal words for a use, until a time in seconds since 1970."""
        return jwt.encode({**told, "aud": use, "exp": round(until)}, self._secret, algorithm=_ALGORITHM)

    def open(self, use: str, text: str) -> dict[str, Any]:
        """What was sealed for this use.

        Raises:
            UnauthenticatedError: It was not sealed here, or its time is over.
        """
        try:
            told: dict[str, Any] = jwt.decode(
                text,
                self._secret,
                algorithms=[_ALGORITHM],
                audience=use,
                options={"require": ["exp", "aud"], "verify_exp": False},
            )
        except jwt.InvalidTokenError:
            raise UnauthenticatedError(f"this is no {use} of this edge", field=use) from None
        if told["exp"] <= self._clock():
            raise UnauthenticatedError(f"the {use} has expired", field=use)
        return told
