"""Files whose bytes are still coming, as a sandboxed child reads them.

A file that is being uploaded lies on disk at its full size, with holes. The child knows which of its bytes are there,
since its parent tells it; where it comes to others it asks and waits. So a hole is never read, whatever a file makes a
decoder do, and a decoder that wants the file's end first gets it.
"""

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from shared.errors import InternalError
from shared.media.wire import Channel

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

WANT: Final = "want"
"""The kind of the child's question: ``offset``, ``length`` and whether to ``wait``."""
HAVE: Final = "have"
"""The kind of the answer: the run of bytes around that ``offset``, up to ``end``; empty where they are not there."""

_READ_BYTES: Final = 64 << 10


class GrowingMedia:
    """A file of which not every byte may be there.

    Args:
        path: Where it lies.
        size_bytes: Its size once it is whole.
        channel: Where the parent is asked.
    """

    def __init__(self, path: Path, size_bytes: int, channel: Channel) -> None:
        self.path = path
        self.size_bytes = size_bytes
        self._channel = channel
        self._safe: list[tuple[int, int]] = []
        self._handle = -1
        self._identity = (0, 0)

    def open(self) -> "GrowingFile":
        """Open it; any number of times."""
        return GrowingFile(self)

    def has(self, offset: int, length: int) -> bool:
        """Whether some bytes are there; does not wait for them."""
        last = min(offset + length, self.size_bytes)
        if self._end_of(offset) < last:
            self._ask(offset, length, wait=False)
        return self._end_of(offset) >= last

    def read_into(self, offset: int, buffer: memoryview) -> int:
        """Read what is there at an offset, at least one byte; waits for that one."""
        end = self._end_of(offset)
        if end <= offset:
            self._ask(offset, len(buffer), wait=True)
            end = self._end_of(offset)
        count = os.preadv(self._handle, [buffer[: end - offset]], offset) if end > offset else 0
        if not count:
            raise InternalError("a file that is being uploaded lost bytes that were there")
        return count

    def _end_of(self, offset: int) -> int:
        """Where the bytes end that are there from an offset on."""
        return next((end for begin, end in self._safe if begin <= offset < end), offset)

    def _ask(self, offset: int, length: int, *, wait: bool) -> None:
        self._channel.send({"kind": WANT, "offset": offset, "length": length, "wait": wait})
        answer = self._channel.receive(HAVE)
        if answer is None:
            raise ConnectionAbortedError("the parent no longer answers")
        begin, end = int(answer.header["offset"]), int(answer.header["end"])
        if end > begin:
            self._look()
            self._add(begin, end)

    def _look(self) -> None:
        """Open the file that is there now: another one may have taken its place, with bytes of its own."""
        told = self.path.stat()
        if self._handle >= 0 and (told.st_dev, told.st_ino) == self._identity:
            return
        if self._handle >= 0:
            os.close(self._handle)
        self._handle = os.open(self.path, os.O_RDONLY)
        opened = os.fstat(self._handle)
        self._identity = (opened.st_dev, opened.st_ino)
        self._safe.clear()

    def _add(self, begin: int, end: int) -> None:
        apart = [run for run in self._safe if run[1] < begin or run[0] > end]
        joined = [run for run in self._safe if run not in apart]
        begin = min([begin, *(run[0] for run in joined)])
        end = max([end, *(run[1] for run in joined)])
        self._safe = sorted([*apart, (begin, end)])


class GrowingFile(io.RawIOBase):
    """A reader of a growing file. Reads are short rather than late."""

    def __init__(self, media: GrowingMedia) -> None:
        super().__init__()
        self._media = media
        self._at = 0

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is: bytes that are not there yet are waited for."""
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        """Read at least one byte, but for the end of the file."""
        view = memoryview(buffer).cast("B")[: max(0, self._media.size_bytes - self._at)]
        if not view:
            return 0
        count = self._media.read_into(self._at, view)
        self._at += count
        return count

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go elsewhere; beyond the end is allowed."""
        origin = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._media.size_bytes}[whence]
        if origin + offset < 0:
            raise OSError("a file has nothing before its beginning")
        self._at = origin + offset
        return self._at

    def tell(self) -> int:
        """Where the next byte is read."""
        return self._at


Media = Path | GrowingMedia
"""A file that is whole, or one that is not yet."""


def media_of(channel: Channel, path: str, growing_bytes: int) -> Media:
    """The file that a task is told of: a whole one where ``growing_bytes`` is 0, else its size at the end."""
    return GrowingMedia(Path(path), growing_bytes, channel) if growing_bytes else Path(path)


def media_size(media: Media) -> int:
    """The size of the whole file in bytes."""
    return media.stat().st_size if isinstance(media, Path) else media.size_bytes


def open_media(media: Media) -> BinaryIO:
    """Open a file for reading in Python."""
    return media.open("rb") if isinstance(media, Path) else io.BufferedReader(media.open(), _READ_BYTES)
