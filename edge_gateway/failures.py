"""Task groups fail with groups of errors; whoever answers for the work wants the one that says why."""

from collections.abc import Iterator
from contextlib import contextmanager

from shared.errors import VisemeError


@contextmanager
def one_error() -> Iterator[None]:
    """Raise the gravest error of a group in place of the group."""
    try:
        yield
    except BaseExceptionGroup as group:
        raise gravest(group) from group


def gravest(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error that says most: one that trying again does not mend, before one that it may mend."""
    errors: list[BaseException] = []
    waiting: list[BaseException] = [group]
    while waiting:
        error = waiting.pop(0)
        if isinstance(error, BaseExceptionGroup):
            waiting.extend(error.exceptions)
        else:
            errors.append(error)
    lasting = [error for error in errors if not (isinstance(error, VisemeError) and error.retryable)]
    return (lasting or errors)[0]
