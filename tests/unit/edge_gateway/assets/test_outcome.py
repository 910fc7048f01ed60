"""How uploads end, as the figures have it."""

import asyncio
from contextlib import suppress

import pytest

from edge_gateway.assets.outcome import Outcome, watched
from shared.errors import (
    ConflictError,
    DeadlineError,
    DiskFullError,
    InternalError,
    InvalidInputError,
    InvalidMediaError,
    LimitExceededError,
    NotFoundError,
    TakenOverError,
)


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (InvalidInputError("x"), Outcome.REFUSED),
        (InvalidMediaError("x"), Outcome.REFUSED),
        (LimitExceededError("x"), Outcome.REFUSED),
        (TakenOverError("x"), Outcome.REPLACED),
        (DiskFullError("x"), Outcome.FAILED),
        (InternalError("x"), Outcome.FAILED),
        (ZeroDivisionError(), Outcome.FAILED),
        (DeadlineError("x"), Outcome.LEFT),
        (asyncio.CancelledError(), Outcome.LEFT),
        (GeneratorExit(), Outcome.LEFT),
        # The client is told how to go on.
        (ConflictError("x"), None),
        (NotFoundError("x"), None),
    ],
)
def test_what_an_upload_ends_with_says_whose_fault_it_is(error: BaseException, outcome: Outcome | None) -> None:
    told: list[Outcome] = []
    with suppress(type(error)), watched(lambda how, _: told.append(how)):
        raise error
    assert told == ([] if outcome is None else [outcome])


def test_one_that_stops_has_left_and_one_that_is_whole_is_complete() -> None:
    told: list[Outcome] = []
    with watched(lambda how, _: told.append(how)):
        pass
    with watched(lambda how, _: told.append(how)) as ending:
        ending.outcome = Outcome.COMPLETE
    assert told == [Outcome.LEFT, Outcome.COMPLETE]
