"""``--preview``: the result as it grows, into a file, a pipe, or a player behind one."""

import asyncio
import contextlib
import errno
import os
import stat
import sys
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import BinaryIO

from shared.cli.display import Display
from shared.errors import CancelledByUserError, InvalidInputError, JobFailedError, VisemeError
from shared.sdk.download import check_target
from shared.sdk.jobs import Job

STDOUT = "-"

_FIFO_PAUSE_S = 0.2


class PreviewTarget:
    """Where a preview goes.

    Args:
        where: A path, or ``-`` for standard output, where nothing else is written from then on.
        begun: When the run began, on the monotonic clock.
    """

    def __init__(self, where: str, begun: float) -> None:
        self._where = where
        self._begun = begun
        self.first_s: float | None = None
        """Seconds from the run's beginning to the first fragment here; None while there is none."""

    @asynccontextmanager
    async def watching(self, job: Job, display: Display) -> AsyncIterator[None]:
        """Write inside the block, and after it until all of it is written; errors of the block end it."""
        writing = asyncio.create_task(self._write(job, display))
        try:
            yield
            await writing
        finally:
            writing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await writing

    async def _write(self, job: Job, display: Display) -> None:
        try:
            with await _opened(self._where) as file:
                await self._write_to(file, job)
        except (JobFailedError, CancelledByUserError):
            return  # whoever follows the job says so
        except BrokenPipeError:
            display.note("preview: nobody reads it any longer; the job goes on")
        except OSError as error:
            display.note(f"preview: {self._where} cannot be written: {error.strerror}; the job goes on")
        except VisemeError as error:
            display.note(f"preview: {error.message}; the job goes on")

    async def _write_to(self, file: BinaryIO, job: Job) -> None:
        async with aclosing(job.preview()) as parts:
            async for part in parts:
                if self.first_s is None and hasattr(part, "index"):
                    self.first_s = time.monotonic() - self._begun
                await _put(file, part.data)


def check_preview(where: str, *, as_json: bool) -> None:
    """Find out whether a preview can be written there.

    Raises:
        InvalidInputError: It cannot.
    """
    if where == STDOUT:
        if as_json:
            raise InvalidInputError("the output is either JSON or the preview; name a file for one", field="preview")
        if sys.stdout.isatty():
            raise InvalidInputError("this is a terminal; send it on: --preview - | mpv -", field="preview")
        return
    path = Path(where)
    if not path.exists() or path.is_file() or path.is_dir():
        try:
            check_target(path)
        except InvalidInputError as error:
            raise InvalidInputError(error.message, field="preview") from error


async def _opened(where: str) -> BinaryIO:
    if where != STDOUT and await asyncio.to_thread(Path(where).is_fifo):
        return os.fdopen(await _open_fifo(where), "wb", buffering=0)
    if where != STDOUT:
        return await asyncio.to_thread(Path(where).open, "wb", buffering=0)
    sys.stdout.flush()
    file = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what is said from now on is for people
    return file


async def _open_fifo(where: str) -> int:
    """Wait for somebody who reads a named pipe."""
    while True:
        try:
            return os.open(where, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
        await asyncio.sleep(_FIFO_PAUSE_S)


async def _put(file: BinaryIO, data: bytes) -> None:
    """Write all of it; a pipe that nobody reads is waited for without a thread that could not be stopped."""
    left = memoryview(data)
    if not stat.S_ISFIFO(os.fstat(file.fileno()).st_mode):
        while left:
            left = left[await asyncio.to_thread(os.write, file.fileno(), left) :]
        return
    os.set_blocking(file.fileno(), False)
    while left:
        try:
            left = left[os.write(file.fileno(), left) :]
        except BlockingIOError:
            await _writable(file.fileno())


async def _writable(handle: int) -> None:
    loop = asyncio.get_running_loop()
    ready = loop.create_future()

    def wake() -> None:
        if not ready.done():
            ready.set_result(None)

    loop.add_writer(handle, wake)
    try:
        await ready
    finally:
        loop.remove_writer(handle)
