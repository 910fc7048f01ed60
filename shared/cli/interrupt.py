"""Ctrl-C and SIGTERM: the first cancels what runs and lets it clean up, the second does not wait for that."""

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine
from typing import Any

from shared.cli.exits import ExitCode


class Interrupted(Exception):  # noqa: N818 - nothing went wrong
    """Somebody stopped it."""

    def __init__(self, number: signal.Signals) -> None:
        super().__init__(number.name)
        self.code = ExitCode.INTERRUPTED if number is signal.SIGINT else ExitCode.TERMINATED


def run_interruptible(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run to the end or until interrupted.

    Raises:
        Interrupted: By a signal, after cleaning up.
    """
    asyncio.run(_supervise(work))


async def _supervise(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    loop = asyncio.get_running_loop()
    caught: list[signal.Signals] = []
    task = asyncio.ensure_future(work())

    def stop(number: signal.Signals) -> None:
        if caught:
            # The parts of this run are on a leash and end with this process.
            os._exit(ExitCode.INTERRUPTED if number is signal.SIGINT else ExitCode.TERMINATED)
        caught.append(number)
        task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop, number)
    try:
        await task
    except asyncio.CancelledError:
        if caught:
            raise Interrupted(caught[0]) from None
        raise
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
