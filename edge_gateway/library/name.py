"""Names of files in libraries: ``lib:LIBRARY/path/in/it``."""

import re
import unicodedata
from dataclasses import dataclass
from typing import Final

from shared.errors import InvalidInputError, LimitExceededError

SCHEME: Final = "lib:"
"""What every such name begins with; no asset's id does."""

PATH_BYTES: Final = 1024
"""Longest path in a library, in UTF-8; what S3 allows for a key."""

_LIBRARY = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
_STEP_BYTES = 255
_CONTROLS = frozenset({"Cc", "Cs", "Zl", "Zp"})
_UNFINISHED = (".part", ".partial", ".filepart", ".tmp", ".crdownload", "~")
"""How programs name what they have not finished; rsync puts a dot before the name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LibraryName:
    """One file in one library."""

    library: str
    path: str

    def __str__(self) -> str:
        return f"{SCHEME}{self.library}/{self.path}"


def is_library_name(text: str) -> bool:
    """Whether this is meant to be a name in a library."""
    return text.startswith(SCHEME)


def is_library(text: str) -> bool:
    """Whether a library may be called so."""
    return _LIBRARY.fullmatch(text) is not None


def is_visible(step: str) -> bool:
    """Whether a file or folder of this name belongs to a library: not hidden, not unfinished, no control characters."""
    if not step or step.startswith(".") or step.lower().endswith(_UNFINISHED):
        return False
    return not any(unicodedata.category(letter) in _CONTROLS for letter in step)


def read_name(text: str, field: str) -> LibraryName:
    """Read a name.

    Raises:
        InvalidInputError: it is none, or names what no library shows.
        LimitExceededError: it is too long.
    """
    library, slash, path = text.removeprefix(SCHEME).partition("/")
    if not is_library_name(text) or not slash or not is_library(library):
        raise InvalidInputError("a name in a library reads lib:LIBRARY/path/in/it", field=field)
    check_path(path, field)
    return LibraryName(library=library, path=path)


def check_path(path: str, field: str) -> None:
    """Refuse a path that leads out of its library or names what no library shows.

    Raises:
        InvalidInputError: it does.
        LimitExceededError: it is too long.
    """
    steps = path.split("/")
    if any(step in {"", ".", ".."} for step in steps):
        raise InvalidInputError("a path in a library has no empty part, no . and no ..", field=field)
    if not all(map(is_visible, steps)):
        message = "hidden and unfinished files, and names with control characters, are not part of a library"
        raise InvalidInputError(message, field=field)
    if len(path.encode()) > PATH_BYTES or any(len(step.encode()) > _STEP_BYTES for step in steps):
        message = f"a path in a library has at most {PATH_BYTES} bytes, and {_STEP_BYTES} in each part"
        raise LimitExceededError(message, field=field, limit="library_path_bytes")
