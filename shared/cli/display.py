"""What a run shows: bars on a terminal, lines in a pipe, JSON for machines."""

import asyncio
import dataclasses
import json
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractContextManager, asynccontextmanager
from typing import Any, Protocol, TextIO

from shared.cli.board import Board, Track
from shared.cli.local import PartNews, PartState
from shared.errors import VisemeError
from shared.sdk.model import (
    EdgeChange,
    Event,
    JobState,
    JobStatus,
    Notice,
    Progress,
    Severity,
    Stage,
    StateChanged,
    Transfer,
)

LINE_SECONDS = 3.0
"""A pipe gets a line at least this often."""


class Display(Protocol):
    """What a run tells."""

    def part(self, news: PartNews) -> None:
        """A part of this machine started, became ready, died."""

    def job(self, status: JobStatus) -> None:
        """A job was accepted or found."""

    def transfer(self, stage: Stage, transfer: Transfer) -> None:
        """An upload or download came further."""

    def event(self, event: Event) -> None:
        """Something happened to the job."""

    def edge(self, change: EdgeChange) -> None:
        """Of several edges another is used, or a file goes there again."""

    def note(self, words: str) -> None:
        """Words for a person alone."""

    def result(self, output: str, report: Mapping[str, Any], lines: list[str]) -> None:
        """It is done."""

    def running(self) -> AbstractContextManager[object]:
        """A context while things move."""

    def tick(self) -> None:
        """Called every ``LINE_SECONDS``."""


class JsonDisplay:
    """One JSON object a line on stdout, nothing else there."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout

    def put(self, kind: str, **fields: object) -> None:
        """Write one object."""
        print(json.dumps({"event": kind, **fields}), file=self._stream, flush=True)

    def part(self, news: PartNews) -> None:
        self.put("part", part=news.part, state=news.state, addresses=dict(news.addresses), message=news.words)

    def job(self, status: JobStatus) -> None:
        self.put("job", job_id=status.id, state=status.state)

    def transfer(self, stage: Stage, transfer: Transfer) -> None:
        self.put(
            "progress",
            stage=stage,
            file=transfer.name,
            done_bytes=transfer.done_bytes,
            total_bytes=transfer.size_bytes,
            skipped_bytes=transfer.skipped_bytes,
            bytes_per_s=round(transfer.bytes_per_s),
            left_s=None if transfer.left_s is None else round(transfer.left_s, 1),
            by_other=transfer.by_other,
        )

    def edge(self, change: EdgeChange) -> None:
        self.put("edge", **dataclasses.asdict(change))

    def event(self, event: Event) -> None:
        common = {"job_id": event.job_id, "sequence": event.sequence, "time": event.time.isoformat()}
        if isinstance(event, StateChanged):
            self.put("state", **common, state=event.state)
        elif isinstance(event, Progress):
            self.put(
                "progress",
                **common,
                stage=event.stage,
                done_frames=event.done_frames,
                total_frames=event.total_frames,
                done_bytes=event.done_bytes,
            )
        else:
            self.put("notice", **common, severity=event.severity, reason=event.reason, message=event.message)

    def note(self, words: str) -> None:
        print(words, file=sys.stderr, flush=True)

    def result(self, output: str, report: Mapping[str, Any], lines: list[str]) -> None:
        del lines
        self.put("result", output=output, report=dict(report))

    def running(self) -> AbstractContextManager[object]:
        return _Nothing()

    def tick(self) -> None:
        """Machines need no heartbeat."""


class _Nothing(AbstractContextManager[None]):
    def __exit__(self, *_: object) -> None:
        return None


class _WordsDisplay:
    """What bars and lines have in common; everything but the result goes to stderr."""

    def __init__(self) -> None:
        self.board = Board()

    def say(self, words: str) -> None:
        print(words, file=sys.stderr, flush=True)

    def part(self, news: PartNews) -> None:
        self.say(part_words(news))

    def job(self, status: JobStatus) -> None:
        self.say(f"job {status.id}: {status.state}")

    def transfer(self, stage: Stage, transfer: Transfer) -> None:
        self.shown(self.board.moved(stage, transfer))

    def event(self, event: Event) -> None:
        if isinstance(event, StateChanged):
            self.board.state = event.state
            self.state(event.state)
        elif isinstance(event, Progress):
            self.shown(self.board.progressed(event))
        else:
            self.say(notice_words(event))

    def edge(self, change: EdgeChange) -> None:
        self.say(f"note: {change.message}")

    def note(self, words: str) -> None:
        self.say(words)

    def result(self, output: str, report: Mapping[str, Any], lines: list[str]) -> None:
        del report
        for line in lines:
            self.say(line)
        print(output, flush=True)

    def shown(self, track: Track) -> None:
        """A stage came further."""

    def state(self, state: JobState) -> None:
        """The job moved on."""


class LinesDisplay(_WordsDisplay):
    """Lines, for pipes and logs."""

    def state(self, state: JobState) -> None:
        self.say(f"{state}")

    def running(self) -> AbstractContextManager[object]:
        return _Nothing()

    def tick(self) -> None:
        self.say(self.board.line())


class BarsDisplay(_WordsDisplay):
    """Bars, for terminals."""

    def __init__(self) -> None:
        super().__init__()
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        self._bars = Progress(
            TextColumn("{task.description:<10}"),
            BarColumn(bar_width=32),
            TextColumn("{task.fields[amount]:>18}"),
            TextColumn("{task.fields[speed]:>11}"),
            TextColumn("{task.fields[left]}"),
            TextColumn("{task.fields[spared]}"),
            console=Console(stderr=True, highlight=False),
        )
        self._tasks: dict[Stage, Any] = {}

    def say(self, words: str) -> None:
        from rich.markup import escape

        self._bars.console.print(escape(words), soft_wrap=True)

    def shown(self, track: Track) -> None:
        texts: dict[str, Any] = {"amount": track.amount(), "speed": track.speed(), "left": track.left()}
        texts["spared"] = track.spared()
        total = track.total or None
        if track.stage not in self._tasks:
            self._tasks[track.stage] = self._bars.add_task(str(track.stage), total=total, **texts)
        self._bars.update(self._tasks[track.stage], completed=track.done, total=total, **texts)

    def running(self) -> AbstractContextManager[object]:
        return self._bars

    def tick(self) -> None:
        """Bars move by themselves."""


def choose_display(*, as_json: bool) -> Display:
    """The display for where the output goes."""
    if as_json:
        return JsonDisplay()
    return BarsDisplay() if sys.stderr.isatty() else LinesDisplay()


@asynccontextmanager
async def moving(display: Display) -> AsyncIterator[None]:
    """Keep a display moving inside the block."""

    async def beat() -> None:
        while True:
            await asyncio.sleep(LINE_SECONDS)
            display.tick()

    beating = asyncio.create_task(beat())
    try:
        with display.running():
            yield
    finally:
        beating.cancel()
        await asyncio.gather(beating, return_exceptions=True)


def on_transfer(display: Display, stage: Stage) -> Callable[[Transfer], None]:
    """A progress callback for the SDK."""
    waited_for = ""

    def told(transfer: Transfer) -> None:
        nonlocal waited_for
        if transfer.waiting_for and transfer.waiting_for != waited_for:
            display.note(f"{transfer.name} waits for {transfer.waiting_for}")
        waited_for = transfer.waiting_for
        if not transfer.waiting_for:
            display.transfer(stage, transfer)

    return told


def part_words(news: PartNews) -> str:
    """News of a part, in words."""
    if news.state is PartState.READY:
        where = ", ".join(f"{use} {address}" for use, address in news.addresses.items())
        return f"{news.part} is ready after {news.seconds:.1f} s: {where}"
    if news.state is PartState.DIED:
        return f"{news.part}: {news.words}"
    return f"{news.part} is {news.state}"


def notice_words(notice: Notice) -> str:
    """A notice, in words."""
    return f"{'warning' if notice.severity is Severity.WARNING else 'note'}: {notice.message}"


def show_error(error: VisemeError, code: int, *, as_json: bool) -> None:
    """One clear line on stderr; for machines also an object on stdout."""
    limit = f" (limit: {error.limit})" if error.limit and error.limit not in error.message else ""
    again = f"; try again in {error.retry_after_s:.0f} s" if error.retry_after_s else ""
    print(f"viseme: {error}{limit}{again}", file=sys.stderr, flush=True)
    if as_json:
        reason = getattr(error, "cause_reason", "") or error.reason
        JsonDisplay().put(
            "error", reason=reason, field=error.field, limit=error.limit, message=error.message, exit_code=code
        )
