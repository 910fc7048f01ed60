import pytest

from edge_gateway.jobs.job import Stage
from edge_gateway.jobs.patience import Patience
from edge_gateway.jobs.usage import Usage
from shared.errors import EngineUnavailableError, NodeUnavailableError, QueueFullError


class Clock:
    """Time that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_pauses_grow_to_a_limit_and_begin_anew_after_progress() -> None:
    patience = Patience(1000, jitter=lambda: 1.0, clock=Clock())
    error = NodeUnavailableError("gone")
    assert [patience.delay(error) for _ in range(5)] == [0.25, 0.5, 1.0, 1.0, 1.0]
    assert not patience.is_new
    patience.reset()
    assert patience.is_new
    assert patience.delay(error) == 0.25


def test_patience_ends_with_the_error_that_it_ended_on() -> None:
    clock = Clock()
    patience = Patience(120, jitter=lambda: 0.0, clock=clock)
    patience.delay(NodeUnavailableError("gone"))
    clock.now += 119
    assert patience.delay(EngineUnavailableError("no Triton")) <= 1.0
    assert patience.calm()
    clock.now += 1
    with pytest.raises(EngineUnavailableError, match="no Triton; given up after 120 s"):
        patience.delay(EngineUnavailableError("no Triton"))


def test_a_busy_node_is_waited_for_as_long_as_it_says() -> None:
    clock = Clock()
    patience = Patience(10, jitter=lambda: 0.0, clock=clock)
    for _ in range(100):
        assert patience.delay(QueueFullError("full", retry_after_s=3.0)) == 3.0
        clock.now += 5


def test_stages_that_overlap_with_themselves_count_once() -> None:
    clock = Clock()
    usage = Usage(clock)
    usage.add(Stage.QUEUE, 0.0, 2.0)
    usage.add(Stage.QUEUE, 1.0, 3.0)
    usage.add(Stage.QUEUE, 10.0, 11.0)
    with usage.at_work(Stage.SEND):
        clock.now += 5
    usage.ended(Stage.INFER, 2.0, ago=1.0)
    assert usage.stages[Stage.QUEUE] == 4.0
    assert usage.stages[Stage.SEND] == 5.0
    assert usage.stages[Stage.INFER] == 2.0


def test_making_a_face_does_not_count_while_it_waits_for_bytes() -> None:
    usage = Usage()
    usage.prepared(10.0, 20.0, [(1.0, 2.0), (9.0, 11.0), (13.0, 14.5), (19.0, 25.0)])
    assert usage.stages[Stage.PREPARE] == 6.5
    assert usage.stages[Stage.WAIT] == 3.5


def test_figures_go_on_after_a_restart() -> None:
    before = Usage(Clock())
    before.add(Stage.INFER, 0.0, 2.0)
    before.meter.up_bytes = 7
    after = Usage(Clock())
    after.take_up(before.to_json())
    after.add(Stage.INFER, 0.0, 1.0)
    assert after.stages[Stage.INFER] == 3.0
    assert after.meter.up_bytes == 7


def test_where_nobody_answers_patience_lasts_longer_and_begins_anew_once_somebody_does() -> None:
    clock = Clock()
    patience = Patience(10, 1000, jitter=lambda: 0.0, clock=clock)
    gone = NodeUnavailableError("gone")
    for _ in range(9):
        patience.delay(gone, is_absent=True)
        clock.now += 100
    patience.delay(gone)
    clock.now += 9
    patience.delay(gone)
    clock.now += 1
    with pytest.raises(NodeUnavailableError, match="given up after 10 s"):
        patience.delay(gone)
    patience.reset()
    patience.delay(gone, is_absent=True)
    clock.now += 1000
    with pytest.raises(NodeUnavailableError, match="given up after 1000 s"):
        patience.delay(gone, is_absent=True)
