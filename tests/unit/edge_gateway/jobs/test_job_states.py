from itertools import product

import pytest

from edge_gateway.jobs.job import TRANSITIONS, UNFINISHED, JobState, check_change, check_engine, check_job_id, check_key
from shared.errors import ConflictError, InvalidInputError, LimitExceededError

S = JobState
ALLOWED = {
    (S.QUEUED, S.PREPARING),
    (S.PREPARING, S.RENDERING),
    (S.RENDERING, S.FINISHING),
    (S.FINISHING, S.SUCCEEDED),
    *((state, S.QUEUED) for state in (S.PREPARING, S.RENDERING, S.FINISHING)),
    *product((S.QUEUED, S.PREPARING, S.RENDERING, S.FINISHING), (S.FAILED, S.CANCELLED)),
}


@pytest.mark.parametrize(("before", "after"), list(product(JobState, JobState)))
def test_every_pair_of_states_is_allowed_or_refused_as_drawn(before: JobState, after: JobState) -> None:
    if (before, after) in ALLOWED:
        check_change(before, after)
    else:
        with pytest.raises(ConflictError):
            check_change(before, after)


def test_every_state_is_in_the_table_and_three_are_final() -> None:
    assert set(TRANSITIONS) == set(JobState)
    assert {state for state in JobState if state.is_final} == {S.SUCCEEDED, S.FAILED, S.CANCELLED}
    assert set(UNFINISHED) == {state for state in JobState if not state.is_final}


@pytest.mark.parametrize(
    "wrong", ["", "job-", "job-" + "0" * 19, "job-" + "G" * 20, "../../etc/passwd", "job-" + "0" * 21]
)
def test_an_id_that_is_none_never_reaches_a_path(wrong: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        check_job_id(wrong)
    assert caught.value.field == "job_id"


def test_keys_and_engine_names_have_limits() -> None:
    assert check_key("k" * 128)
    with pytest.raises(LimitExceededError):
        check_key("k" * 129)
    assert check_engine("") == ""
    assert check_engine("warp-2.0") == "warp-2.0"
    with pytest.raises(InvalidInputError) as caught:
        check_engine("Warp; DROP")
    assert caught.value.field == "options.engine"
