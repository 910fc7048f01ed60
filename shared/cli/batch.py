"""``viseme batch``: many pairs in, a folder of results out; run again, only what is missing is done."""

import asyncio
import shlex
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import typer

from shared.cli.batch_display import BatchBoard, BatchDisplay
from shared.cli.batch_list import Line, read_list
from shared.cli.display import LINE_SECONDS
from shared.cli.dub import own_parts
from shared.cli.edges import Given, edges_of, open_edge
from shared.cli.exits import ExitCode, exit_code
from shared.cli.manifest import ItemState, Manifest
from shared.cli.places import Places
from shared.errors import CancelledByUserError, ConflictError, InvalidInputError, VisemeError
from shared.lock import locked
from shared.sdk.batch import Dubbed, DubOptions, Pair
from shared.sdk.client import Edge
from shared.sdk.library import is_edge_name

_SAVES: Final = 4
"""Results on their way here at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchOrder:
    """What the user asked for."""

    source: Path
    output: Path
    speech: Path | str | None
    video: Path | str | None
    edge: Given
    concurrency: int
    options: DubOptions
    rate_limit: float
    as_json: bool
    words: tuple[str, ...]
    """The command as it was written, to be written again."""


async def batch(order: BatchOrder, places: Places) -> None:
    """Do it.

    Raises:
        InvalidInputError: The list or the folder is not right.
        typer.Exit: Some could not be done; why was said of each.
        asyncio.CancelledError: Interrupted; what ran was cancelled and the user told how to go on.
    """
    display = BatchDisplay(as_json=order.as_json)
    listed = await asyncio.to_thread(read_list, order.source, speech=order.speech, video=order.video)
    if listed.alone:
        display.note(f"left out, as they have no partner of the same name: {_some(listed.alone)}")
    async with AsyncExitStack() as stack:
        _claim(stack, order.output)
        manifest = Manifest(order.output, order.options)
        todo = [line for line in listed.lines if not manifest.is_done(line)]
        board = BatchBoard(len(listed.lines), len(listed.lines) - len(todo))
        code = ExitCode.OK
        if todo:
            addresses = await edges_of(order.edge, places)
            if not addresses:
                _check_no_names(todo)
                addresses = [await stack.enter_async_context(own_parts(places, display))]
            edge = await stack.enter_async_context(open_edge(addresses, places, display.edge))
            await stack.enter_async_context(_moving(display, board))
            code = await _Run(order, edge, manifest, display).run(todo)
    display.board = board
    display.end(str(order.output))
    if code is not ExitCode.OK:
        raise typer.Exit(code)


class _Run:
    def __init__(self, order: BatchOrder, edge: Edge, manifest: Manifest, display: BatchDisplay) -> None:
        self._order = order
        self._edge = edge
        self._manifest = manifest
        self._display = display
        self._saves = asyncio.Semaphore(_SAVES)
        self._codes: dict[str, ExitCode] = {}
        self._again: list[Line] = []

    async def run(self, todo: list[Line]) -> ExitCode:
        """Do what is missing; gives the exit code of the first in the list that could not be done."""
        try:
            taken_up = {line for line in todo if self._manifest.is_begun(line)}
            await self._round(todo, taken_up)
            # Jobs of a run that was broken off were found by their keys, and had been cancelled with it.
            await self._round(self._again, set())
        except asyncio.CancelledError:
            again = shlex.join(self._order.words)
            self._display.note(
                f"Interrupted: {self._display.board.line()}. What ran was cancelled; to go on:\n  {again}"
            )
            raise
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from group
        codes = [self._codes[line.output] for line in todo if line.output in self._codes]
        return codes[0] if codes else ExitCode.OK

    async def _round(self, todo: list[Line], taken_up: set[Line]) -> None:
        many = self._edge.dub_many(
            self._pairs(todo),
            concurrency=self._order.concurrency,
            on_progress=self._display.moved,
            rate_limit=self._order.rate_limit,
            **self._order.options,
        )
        async with aclosing(many), asyncio.TaskGroup() as tasks:
            async for dubbed in many:
                line = todo[dubbed.index]
                tasks.create_task(self._save(line, dubbed, is_taken_up=line in taken_up))

    def _pairs(self, todo: list[Line]) -> Iterator[Pair]:
        for line in todo:
            # Written down before the job is asked for: should this program be killed, the key finds it again.
            self._manifest.note(line, ItemState.RUNNING)
            yield Pair(video=line.video, speech=line.speech, idempotency_key=self._manifest.key(line))

    async def _save(self, line: Line, dubbed: Dubbed, *, is_taken_up: bool) -> None:
        job_id = "" if dubbed.job is None else dubbed.job.id
        try:
            async with self._saves:
                await dubbed.result().save(self._order.output / line.output)
        except VisemeError as error:
            told = _told(error)
            # Without an answer from the edge the job may still succeed: the next run asks by the same key.
            is_lost = dubbed.job is not None and dubbed.job.state.is_final and dubbed.error is not None
            state = ItemState.CANCELLED if isinstance(error, CancelledByUserError) else ItemState.FAILED
            self._manifest.note(line, state if is_lost else ItemState.WAITING, job_id=job_id, error=told)
            if is_taken_up and is_lost:
                self._again.append(line)
                return
            self._codes[line.output] = exit_code(error)
            self._display.item(line.output, state, job_id=job_id, error=told)
        else:
            self._manifest.note(line, ItemState.DONE, job_id=job_id)
            self._display.item(line.output, ItemState.DONE, job_id=job_id, error=None)


def _claim(stack: AsyncExitStack, folder: Path) -> None:
    try:
        stack.enter_context(locked(folder))
    except ConflictError as error:
        raise ConflictError(f"another batch works in {folder}", field="output") from error
    except InvalidInputError as error:
        raise InvalidInputError(error.message, field="output") from error


def _check_no_names(lines: list[Line]) -> None:
    for line in lines:
        for given in (line.video, line.speech):
            if is_edge_name(given):
                message = f"{given} lies at an edge, and none runs here; name one with --edge HOST:PORT"
                raise InvalidInputError(message, field="list")


def _told(error: VisemeError) -> Mapping[str, str]:
    reason = getattr(error, "cause_reason", "") or error.reason
    return {"reason": reason, "field": error.field, "limit": error.limit, "message": error.message}


def _some(names: tuple[str, ...]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


@asynccontextmanager
async def _moving(display: BatchDisplay, board: BatchBoard) -> AsyncIterator[None]:
    async def beat() -> None:
        while True:
            await asyncio.sleep(LINE_SECONDS)
            display.tick()

    beating = asyncio.create_task(beat())
    try:
        with display.begin(board):
            yield
    finally:
        beating.cancel()
        await asyncio.wait({beating})
