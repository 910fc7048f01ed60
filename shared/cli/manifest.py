"""What a folder of results knows of its batch: what is done, and under which keys the rest is asked for."""

import errno
import hashlib
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from shared.cli.batch_list import Line
from shared.errors import DiskFullError, InvalidInputError

NAME: Final = "viseme-batch.json"
_VERSION: Final = 1


class ItemState(StrEnum):
    """How far one result is."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One result."""

    print: str
    """What it is made of: changes with its files and options."""
    state: ItemState = ItemState.WAITING
    attempt: int = 0
    """Jobs that ended without a result."""
    job_id: str = ""
    error: Mapping[str, str] | None = None


class Manifest:
    """The file that says so. Every change is on disk before anything is done that rests on it.

    Args:
        folder: Where results and the file lie.
        options: What jobs are asked for beyond their files.

    Raises:
        InvalidInputError: The file is something else.
    """

    def __init__(self, folder: Path, options: Mapping[str, Any]) -> None:
        self._folder = folder
        self._path = folder / NAME
        self._options = json.dumps(options, sort_keys=True, default=str)
        self._batch = secrets.token_hex(8)
        self._items: dict[str, Item] = {}
        self._read()

    def item(self, line: Line) -> Item:
        """What is known of a result; one whose files or options have changed begins anew."""
        made_of = self._print(line)
        known = self._items.get(line.output)
        if known is None or known.print != made_of:
            attempt = 0 if known is None else known.attempt
            return Item(print=made_of, attempt=attempt)
        return known

    def is_done(self, line: Line) -> bool:
        """Whether the result is there and nothing has changed since."""
        return self.item(line).state is ItemState.DONE and (self._folder / line.output).is_file()

    def is_begun(self, line: Line) -> bool:
        """Whether a run that was broken off may have asked for it."""
        return line.output in self._items and self.item(line).state in {ItemState.RUNNING, ItemState.WAITING}

    def key(self, line: Line) -> str:
        """The idempotency key of the job: a run that was killed finds it again, one that failed gets a new one."""
        item = self.item(line)
        name = hashlib.sha256(f"{line.output}\n{item.print}".encode()).hexdigest()[:20]
        return f"batch-{self._batch}-{name}-{item.attempt}"

    def note(self, line: Line, state: ItemState, *, job_id: str = "", error: Mapping[str, str] | None = None) -> None:
        """Write down how far a result is."""
        item = self.item(line)
        is_lost = state in {ItemState.FAILED, ItemState.CANCELLED}
        attempt = item.attempt + (1 if is_lost else 0)
        self._items[line.output] = replace(item, state=state, attempt=attempt, job_id=job_id, error=error)
        self._write()

    def _print(self, line: Line) -> str:
        told = [self._options]
        for given in (line.video, line.speech):
            told.append(str(given))
            if isinstance(given, Path):
                try:
                    found = given.stat()
                    told.append(f"{found.st_size} {found.st_mtime_ns}")
                except OSError:
                    told.append("missing")
        return hashlib.sha256("\n".join(told).encode()).hexdigest()

    def _read(self) -> None:
        try:
            told = json.loads(self._path.read_text(encoding="utf-8"))
            if told["version"] != _VERSION:
                raise InvalidInputError(f"{self._path} was written by a newer version of viseme", field="output")
            self._batch = told["batch"]
            for output, item in told["items"].items():
                self._items[output] = Item(**item | {"state": ItemState(item["state"])})
        except FileNotFoundError:
            return
        except OSError as error:
            raise InvalidInputError(f"{self._path} cannot be read: {error.strerror}", field="output") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            message = f"{self._path} is no manifest of a batch; name another folder, or remove it to begin anew"
            raise InvalidInputError(message, field="output") from error

    def _write(self) -> None:
        told = {
            "version": _VERSION,
            "batch": self._batch,
            "items": {output: asdict(item) for output, item in self._items.items()},
        }
        fresh = self._path.with_suffix(".new")
        try:
            with fresh.open("w", encoding="utf-8") as file:
                json.dump(told, file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self._path)
        except OSError as error:
            if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                raise DiskFullError(f"no room left for {self._path}", field="output") from error
            raise InvalidInputError(f"{self._path} cannot be written: {error.strerror}", field="output") from error
