"""The error tree."""

from collections.abc import Iterator

import pytest

from shared import errors


def every(kind: type[errors.VisemeError] = errors.VisemeError) -> Iterator[type[errors.VisemeError]]:
    yield kind
    for child in kind.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from every(child)


@pytest.mark.parametrize("kind", list(every()), ids=lambda kind: kind.__name__)
def test_a_class_is_found_by_its_reason_and_drawn_in_the_tree(kind: type[errors.VisemeError]) -> None:
    assert errors.by_reason(kind.reason) is kind
    assert kind is errors.VisemeError or f"─ {kind.__name__}" in (errors.__doc__ or "")


def test_an_unknown_reason_is_a_fault_of_ours() -> None:
    assert errors.by_reason("from a newer version") is errors.InternalError


def test_the_words_begin_with_the_field() -> None:
    assert str(errors.InvalidMediaError("it is empty", field="video")) == "video: it is empty"
    assert str(errors.NotFoundError("there is none")) == "there is none"


def test_what_may_pass_by_itself_is_retryable() -> None:
    retryable = {kind for kind in every() if kind.retryable}
    assert errors.NodeUnavailableError in retryable
    assert errors.QueueFullError in retryable
    assert errors.LimitExceededError not in retryable
