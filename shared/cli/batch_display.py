"""What a batch shows: n of N on a terminal, lines in a pipe, JSON for machines."""

import dataclasses
import json
import sys
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

from shared.cli.board import duration
from shared.cli.display import part_words
from shared.cli.local import PartNews
from shared.sdk.model import EdgeChange, Transfer

_MIB: Final = 1 << 20


class BatchBoard:
    """How many of how many.

    Args:
        total: All of them.
        there: Those that were done before.
    """

    def __init__(self, total: int, there: int) -> None:
        self.total = total
        self.there = there
        self.done = 0
        self.failed = 0
        self._begun = time.monotonic()
        self._moved: dict[str, Transfer] = {}

    def moved(self, transfer: Transfer) -> None:
        """A file has come further on its way to the edge."""
        if transfer.done_bytes >= transfer.size_bytes:
            self._moved.pop(transfer.name, None)
        else:
            self._moved[transfer.name] = transfer

    @property
    def is_over(self) -> bool:
        """Whether nothing is left."""
        return self.there + self.done + self.failed >= self.total

    def line(self) -> str:
        """All of it in one line."""
        words = [f"{self.there + self.done} of {self.total} done"]
        if self.failed:
            words.append(f"{self.failed} failed")
        if self._moved:
            left = sum(one.size_bytes - one.done_bytes for one in self._moved.values())
            words.append(f"{left / _MIB:.1f} MiB of {len(self._moved)} files still to upload")
        over = self.done + self.failed
        if over and not self.is_over:
            seconds = (time.monotonic() - self._begun) / over * (self.total - self.there - over)
            words.append(f"about {duration(seconds)} left")
        return ", ".join(words)


class BatchDisplay:
    """Shows a batch.

    Args:
        as_json: One object a line on stdout, nothing else there.
    """

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._is_terminal = not as_json and sys.stderr.isatty()
        self.board = BatchBoard(0, 0)
        self._bar: Any = None
        self._task: Any = None

    def begin(self, board: BatchBoard) -> AbstractContextManager[object]:
        """A context while things move."""
        self.board = board
        if not self._is_terminal:
            return nullcontext()
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        console = Console(stderr=True, highlight=False)
        self._bar = Progress(
            TextColumn("batch"), BarColumn(bar_width=32), TextColumn("{task.fields[words]}"), console=console
        )
        self._task = self._bar.add_task("", total=board.total, words=board.line())
        self._show()
        bar: AbstractContextManager[object] = self._bar
        return bar

    def part(self, news: PartNews) -> None:
        """A part of this machine started, became ready, died."""
        if not self._as_json:
            self.note(part_words(news))

    def edge(self, change: EdgeChange) -> None:
        """Another edge is used, or a file goes there again."""
        if self._as_json:
            print(json.dumps({"event": "edge", **dataclasses.asdict(change)}), flush=True)
        else:
            self.note(f"note: {change.message}")

    def moved(self, transfer: Transfer) -> None:
        """A file has come further on its way to the edge."""
        self.board.moved(transfer)
        self._show()

    def item(self, output: str, state: str, *, job_id: str, error: Mapping[str, str] | None) -> None:
        """One is over."""
        if error is None:
            self.board.done += 1
        else:
            self.board.failed += 1
        if self._as_json:
            print(
                json.dumps({"event": "item", "output": output, "state": state, "job_id": job_id, "error": error}),
                flush=True,
            )
            return
        if error is None:
            self.note(f"{output} ({self.board.line()})" if self._bar is None else output)
        else:
            self.note(f"{output} failed: {error['message']}")
        self._show()

    def end(self, folder: str) -> None:
        """All are over."""
        board = self.board
        if self._as_json:
            told = {"done": board.done, "failed": board.failed, "there": board.there, "total": board.total}
            print(json.dumps({"event": "batch", "output": folder, **told}), flush=True)
        else:
            print(f"viseme: {board.line()} in {folder}", file=sys.stderr, flush=True)

    def note(self, words: str) -> None:
        """Words for a person alone."""
        if self._bar is not None:
            from rich.markup import escape

            self._bar.console.print(escape(words), soft_wrap=True)
        else:
            print(words, file=sys.stderr, flush=True)

    def tick(self) -> None:
        """Called every few seconds."""
        if not self._as_json and self._bar is None and not self.board.is_over:
            self.note(self.board.line())

    def _show(self) -> None:
        if self._bar is not None:
            done = self.board.there + self.board.done + self.board.failed
            self._bar.update(self._task, completed=done, words=self.board.line())
