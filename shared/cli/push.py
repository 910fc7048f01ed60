"""``viseme push``: files to the edge ahead of any job."""

import asyncio
import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import typer

from shared.cli.display import Display, moving
from shared.cli.edges import Given, say_change, some_edge
from shared.cli.exits import ExitCode, exit_code
from shared.cli.places import Places
from shared.errors import EdgeUnavailableError, VisemeError
from shared.sdk.client import Edge
from shared.sdk.model import Stage, Transfer
from shared.sdk.pace import Throttle
from shared.sdk.source import check_file

_AT_ONCE: Final = 4
"""Files on their way at once: enough to fill a link with small ones, few enough that each is seen to move."""

_MIB: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """How one file ended."""

    path: str
    asset_id: str
    size_bytes: int
    skipped_bytes: int
    """Bytes that the edge had already."""
    seconds: float
    error: dict[str, str] | None


class _Push:
    def __init__(self, edge: Edge, display: Display, *, rate_limit: float, as_json: bool) -> None:
        self._edge = edge
        self._display = display
        self._as_json = as_json
        self._throttle = Throttle(rate_limit)
        self._room = asyncio.Semaphore(_AT_ONCE)
        self._lost: EdgeUnavailableError | None = None

    async def run(self, paths: list[str]) -> ExitCode:
        """Push every file that can be; gives the exit code of the first in the list that could not."""
        async with moving(self._display):
            codes = await asyncio.gather(*map(self._one, paths))
        return next((code for code in codes if code is not ExitCode.OK), ExitCode.OK)

    async def _one(self, path: str) -> ExitCode:
        last = Transfer(name=path, done_bytes=0, size_bytes=0)

        def told(transfer: Transfer) -> None:
            nonlocal last
            last = transfer
            if not self._as_json:  # there is one object a file, when it ends
                self._display.transfer(Stage.UPLOAD, transfer)

        try:
            size = await asyncio.to_thread(check_file, Path(path), field="file")
            told(Transfer(name=path, done_bytes=0, size_bytes=size))  # so that the whole is known from the start
            async with self._room:
                if self._lost is not None:
                    raise self._lost
                begun = time.monotonic()
                asset = await self._edge.upload(path, on_progress=told, throttle=self._throttle)
        except VisemeError as error:
            if isinstance(error, EdgeUnavailableError):
                self._lost = error  # the others need not find that out one by one
            return self._failed(path, last, error)
        self._say(
            Pushed(
                path=path,
                asset_id=asset.id,
                size_bytes=asset.size_bytes,
                skipped_bytes=last.skipped_bytes,
                seconds=round(time.monotonic() - begun, 3),
                error=None,
            )
        )
        return ExitCode.OK

    def _say(self, pushed: Pushed) -> None:
        if self._as_json:
            print(json.dumps(asdict(pushed)), flush=True)
            return
        print(f"{pushed.asset_id}  {pushed.path}", flush=True)
        there = f", {pushed.skipped_bytes / _MIB:.1f} MiB were there" if pushed.skipped_bytes else ""
        self._display.note(f"{pushed.path}: {pushed.size_bytes / _MIB:.1f} MiB in {pushed.seconds:.1f} s{there}")

    def _failed(self, path: str, last: Transfer, error: VisemeError) -> ExitCode:
        named = "" if error.message.startswith(path) else f"{path}: "
        print(f"viseme: {named}{error.message}", file=sys.stderr, flush=True)
        if self._as_json:
            words = {"reason": error.reason, "field": error.field, "limit": error.limit, "message": error.message}
            self._say(
                Pushed(
                    path=path,
                    asset_id="",
                    size_bytes=last.size_bytes,
                    skipped_bytes=last.skipped_bytes,
                    seconds=0.0,
                    error=words,
                )
            )
        return exit_code(error)


async def push(
    paths: list[str], given: Given, where: Places, display: Display, *, rate_limit: float, as_json: bool
) -> None:
    """Bring files to the edge, several at once.

    Raises:
        EdgeUnavailableError: No edge was named and none runs.
        typer.Exit: Some files could not be brought; why was said of each.
    """
    async with some_edge(given, where, say_change if as_json else display.edge) as edge:
        try:
            code = await _Push(edge, display, rate_limit=rate_limit, as_json=as_json).run(paths)
        except asyncio.CancelledError:
            display.note("Interrupted. What was uploaded need not be sent again: push the same files to go on.")
            raise
    if code is not ExitCode.OK:
        raise typer.Exit(code)
