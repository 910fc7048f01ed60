"""How uploads end, for the figures."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum

from shared.errors import (
    ConflictError,
    DeadlineError,
    InvalidInputError,
    LimitExceededError,
    NotFoundError,
    TakenOverError,
)


class Outcome(StrEnum):
    """How one try at an upload ended."""

    COMPLETE = "complete"
    LEFT = "left"
    """The client stopped, was cut off, or said nothing for too long: it goes on where it was, or does not."""
    REPLACED = "replaced"
    """A newer writer of the same file came."""
    REFUSED = "refused"
    """What came is not what it said, not media, or beyond a limit: the client's fault."""
    FAILED = "failed"
    """Anything else: the disk is full, a fault of ours."""


OnUpload = Callable[[Outcome, float], None]
"""Told how an upload ended, and the seconds that it took."""


def tell_nobody(outcome: Outcome, seconds: float) -> None:
    """Take no note."""


@dataclass(slots=True)
class Ending:
    """What is known of the end while the upload runs."""

    outcome: Outcome | None = Outcome.LEFT
    """What it is where no error says otherwise; None where more of it comes by another request."""


@contextmanager
def watched(tell: OnUpload) -> Iterator[Ending]:
    """Tell how what the block does has ended."""
    begun, ending = time.monotonic(), Ending()
    try:
        yield ending
    except TakenOverError:
        ending.outcome = Outcome.REPLACED
        raise
    except (ConflictError, NotFoundError):
        ending.outcome = None  # the client was told how to go on: from elsewhere, with the whole manifest, anew
        raise
    except (InvalidInputError, LimitExceededError):
        ending.outcome = Outcome.REFUSED
        raise
    except (DeadlineError, asyncio.CancelledError, GeneratorExit):
        raise  # the client left
    except BaseException:
        ending.outcome = Outcome.FAILED
        raise
    finally:
        if ending.outcome is not None:
            tell(ending.outcome, time.monotonic() - begun)
