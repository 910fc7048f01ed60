"""What the edge wants of a place where files lie already."""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol


class ChangedError(Exception):
    """A file is not any more what it was when it was looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A file as it was when it was looked at."""

    path: str
    """Below the library's root, parts separated by ``/``."""
    size_bytes: int
    modified_us: int
    """When its content was last changed, as the place tells it, in microseconds since 1970."""
    stamp: str
    """Another one as soon as the content is another."""
    changed_us: int | None = None
    """When anything about it last changed; None where files appear whole."""


class OpenFile(Protocol):
    """A file of which one entry tells."""

    async def read(self, offset: int, length: int) -> bytes:
        """So many bytes.

        Raises:
            ChangedError: they are not those of the entry.
            UnavailableError: the place does not answer.
        """
        ...


class Place(Protocol):
    """A folder or a bucket."""

    async def look(self, path: str) -> Entry:
        """What is known of a file, without reading it.

        Raises:
            NotFoundError: there is no file of this name that a library shows.
            UnavailableError: the place does not answer.
        """
        ...

    def open(self, entry: Entry) -> AbstractAsyncContextManager[OpenFile]:
        """Open a file for reading.

        Raises:
            ChangedError: it is not what the entry says.
            UnavailableError: the place does not answer.
        """
        ...

    async def page(self, folder: str, after: str, count: int) -> list[Entry]:
        """The first ``count`` files below a folder (all for the empty one) that come after one.

        The order is the place's own and always the same; of a folder and of most stores it is that of the paths.

        Raises:
            LimitExceededError: a folder has more entries than the edge looks through.
            UnavailableError: the place does not answer.
        """
        ...
