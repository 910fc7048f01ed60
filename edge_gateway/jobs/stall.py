"""Jobs that can do nothing until more of an upload comes: they are told apart, and leave their place to others."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, NoReturn

from edge_gateway.assets.growth import Source, Want
from edge_gateway.jobs.job import Notice, Severity
from shared.errors import VisemeError

_LOOK_S: Final = 1.0
_MB: Final = 1e6


class StalledError(Exception):
    """A job can do nothing until more of an upload comes.

    Args:
        waits: What it waits for, by the name of the file.
    """

    def __init__(self, waits: Sequence[tuple[str, Source, Want]]) -> None:
        super().__init__("waiting for an upload")
        self._waits = waits

    @property
    def notice(self) -> Notice:
        """What a person is told."""
        told = dict.fromkeys(f"the rest of the {name}: {here_of(source)} are here" for name, source, _ in self._waits)
        message = f"Waiting for {' and for '.join(told)}."
        return Notice(severity=Severity.WARNING, reason="upload_stalled", message=message)

    async def until_more(self) -> None:
        """Wait until something of it is there, or never will be."""
        tasks = [asyncio.create_task(_until(source, want)) for _, source, want in self._waits]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()


def here_of(source: Source) -> str:
    """How much of a file is here, in words."""
    held = source.asset.size_bytes if source.growth is None else source.growth.held_bytes
    return f"{held / _MB:.1f} of {source.asset.size_bytes / _MB:.1f} MB"


async def watch(
    sources: Callable[[], Sequence[tuple[str, Source]]],
    stall_s: float,
    *,
    absent_s: float | None = None,
    is_idle: Callable[[], bool] = lambda: True,
) -> NoReturn:
    """Watch until a job can do nothing but wait.

    Args:
        sources: What it reads, each with the name of the file.
        stall_s: Seconds of silence after which an upload counts as stalled.
        absent_s: The same where no client uploads at all.
        is_idle: Whether there is nothing else to do.

    Raises:
        StalledError: it is so.
    """
    absent_s = stall_s if absent_s is None else min(absent_s, stall_s)
    while True:
        waits = [
            (name, source, source.want)
            for name, source in sources()
            if source.want is not None and source.silent_s >= (stall_s if source.is_coming else absent_s)
        ]
        if waits and is_idle():
            raise StalledError(waits)
        await asyncio.sleep(min(_LOOK_S, absent_s / 4))


async def _until(source: Source, want: Want) -> None:
    if source.growth is None:
        return
    try:
        await source.growth.until(want)
    except VisemeError:
        return  # whoever takes the job up again finds out
