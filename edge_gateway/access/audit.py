"""The audit log: one JSON object a line of everything that was changed or refused, and by whom."""

import json
import logging
import logging.handlers
import time
from pathlib import Path
from typing import Final

from edge_gateway.access.caller import Caller

_FILES: Final = 10
_REFUSALS_S: Final = 20.0
"""Refusals of strangers that are written down a second; of more, only how many."""


class Audit:
    """Writes it.

    Args:
        path: The file; where it is full, it is kept as ``.1`` to ``.10``.
        limit_bytes: How large one file may be.
    """

    def __init__(self, path: Path, *, limit_bytes: int) -> None:
        self._handler = logging.handlers.RotatingFileHandler(
            path, maxBytes=limit_bytes, backupCount=_FILES, encoding="utf-8"
        )
        self._since = time.monotonic()
        self._refused = 0
        self._dropped = 0

    def done(self, caller: Caller, what: str, subject: str, outcome: str, peer: str) -> None:
        """Somebody who is known did something, or was refused it."""
        self._write(tenant=caller.tenant, caller=caller.name, what=what, subject=subject, outcome=outcome, peer=peer)

    def refused(self, what: str, outcome: str, peer: str) -> None:
        """A stranger was refused."""
        now = time.monotonic()
        if now - self._since >= 1:
            if self._dropped:
                self._write(what="", outcome="refused", dropped=self._dropped)
            self._since, self._refused, self._dropped = now, 0, 0
        self._refused += 1
        if self._refused > _REFUSALS_S:
            self._dropped += 1
            return
        self._write(tenant="", caller="", what=what, subject="", outcome=outcome, peer=peer)

    def close(self) -> None:
        """Close the file."""
        self._handler.close()

    def _write(self, **told: object) -> None:
        line = json.dumps({"time": time.time(), **told}, ensure_ascii=False)
        self._handler.emit(logging.makeLogRecord({"msg": line, "levelno": logging.INFO}))
