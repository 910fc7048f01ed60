"""Downloads: resumed from what is on disk, verified by the digest that the edge sends, renamed when whole."""

import asyncio
import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final

import grpc

from shared.errors import DiskFullError, EdgeUnavailableError, InternalError, InvalidInputError
from shared.pb.viseme.gateway.v1 import asset_pb2
from shared.rpc.channel import END
from shared.sdk import model
from shared.sdk.link import Attempts, Link, read_within
from shared.sdk.upload import ProgressCallback
from shared.telemetry import tracing

_READ_BYTES: Final = 1 << 20
_TRIES: Final = 2
"""How often a file is fetched when its digest is wrong."""


def part_path(target: Path, asset_id: str) -> Path:
    """Where a download lies until it is whole: beside its target, named by its content so that it can be taken up."""
    return target.with_name(f".{target.name}.{asset_id[:16]}.part")


class Download:
    """One file on its way to disk."""

    def __init__(self, link: Link, asset_id: str, target: Path, on_progress: ProgressCallback | None) -> None:
        self._link = link
        self._asset_id = asset_id
        self._target = target
        self._part = part_path(target, asset_id)
        self._on_progress = on_progress
        self._attempts = Attempts(link)
        self._hash = hashlib.sha256()
        self._offset = 0
        self._skipped = 0
        self._size: int | None = None
        self._sha256 = b""

    async def run(self) -> Path:
        """Download, over as many connections as it takes.

        Raises:
            EdgeUnavailableError: The edge stayed silent for too long.
            InvalidInputError: The target cannot be written.
            DiskFullError: The disk here is full.
            InternalError: What came is not what the edge keeps.
        """
        for _ in range(_TRIES):
            with _local_faults(self._target):
                await asyncio.to_thread(self._take_up)
                await self._link.persist(self._attempt, self._attempts)
                if self._hash.digest() == self._sha256:
                    await asyncio.to_thread(self._finish)
                    return self._target
                await asyncio.to_thread(self._part.unlink)
        raise InternalError(f"what the edge at {self._link.address} sent does not have the digest that it gave")

    def _take_up(self) -> None:
        self._hash = hashlib.sha256()
        self._offset = 0
        with self._part.open("ab+") as file:
            file.seek(0)
            while block := file.read(_READ_BYTES):
                self._hash.update(block)
                self._offset += len(block)
        self._skipped = self._offset

    def _restart(self) -> None:
        os.truncate(self._part, 0)
        self._take_up()

    async def _attempt(self) -> None:
        call = self._link.media.Download(
            asset_pb2.DownloadRequest(asset_id=self._asset_id, offset_bytes=self._offset), metadata=tracing.metadata()
        )
        file = await asyncio.to_thread(self._part.open, "ab")
        try:
            await self._receive(call, file)
        except grpc.RpcError as error:
            if not isinstance(self._link.error(error), InvalidInputError) or self._offset == 0:
                raise
            # What lay here is longer than the file.
            await asyncio.to_thread(self._restart)
            raise EdgeUnavailableError("begun anew") from error
        finally:
            call.cancel()
            await asyncio.to_thread(file.close)

    async def _receive(self, call: Any, file: BinaryIO) -> None:
        begun = asyncio.get_running_loop().time()
        while (answer := await read_within(call, self._link, lambda: begun)) is not END:
            if self._size is None or answer.sha256:
                self._size, self._sha256 = answer.size_bytes, answer.sha256
            if answer.data:
                if answer.offset_bytes != self._offset:
                    raise EdgeUnavailableError("the edge sent another part than the one that was asked for")
                await asyncio.to_thread(file.write, answer.data)
                self._hash.update(answer.data)
                self._offset += len(answer.data)
            self._attempts.progress()
            self._tell()
        if self._size is None or self._offset < self._size:
            raise EdgeUnavailableError(f"the edge at {self._link.address} ended the download before it was complete")

    def _finish(self) -> None:
        with self._part.open("rb") as file:
            os.fsync(file.fileno())
        self._part.replace(self._target)

    def _tell(self) -> None:
        if self._on_progress is not None:
            self._on_progress(
                model.Transfer(
                    name=str(self._target),
                    done_bytes=self._offset,
                    size_bytes=self._size or 0,
                    skipped_bytes=self._skipped,
                )
            )


def check_target(target: Path) -> None:
    """Make sure that a file can be written there, before anything is done for it.

    Raises:
        InvalidInputError: It cannot.
    """
    if target.is_dir():
        raise InvalidInputError(f"{target} is a folder; name a file in it", field="output")
    if target.exists() and not target.is_file():
        # What is downloaded takes its target's place: /dev/null would be a video from then on.
        raise InvalidInputError(f"{target} is a device or a pipe; name a file", field="output")
    folder = target.parent
    if not folder.is_dir():
        raise InvalidInputError(f"there is no folder {folder}", field="output")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InvalidInputError(f"nothing may be written in {folder} by this user", field="output")


@contextmanager
def _local_faults(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            raise DiskFullError(f"no room left for {target}", field="output") from error
        raise InvalidInputError(f"{target} cannot be written: {error.strerror}", field="output") from error
