"""What a caller may do."""

from collections.abc import Iterable
from enum import Enum

from shared.errors import InvalidInputError


class Scope(Enum):
    """A kind of call. None of them implies another."""

    READ = "read"
    """Look at files, jobs and events, fetch results, and measure the way."""
    DUB = "dub"
    """Upload, submit and cancel jobs, and share their results."""
    DELETE = "delete"
    """Delete files and jobs."""


EVERYTHING = frozenset(Scope)


def read_scopes(names: Iterable[str], *, field: str) -> frozenset[Scope]:
    """Scopes by their names; none stands for all.

    Raises:
        InvalidInputError: One is unknown.
    """
    known = {scope.value: scope for scope in Scope}
    wanted = list(dict.fromkeys(names))
    for name in wanted:
        if name not in known:
            raise InvalidInputError(f"{name!r} is no scope; there are {', '.join(known)}", field=field)
    return frozenset(known[name] for name in wanted) or EVERYTHING
