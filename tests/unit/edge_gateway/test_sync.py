import numpy as np
import pytest

from edge_gateway.jobs.job import SyncScore, Unscored
from edge_gateway.sync import Lips, sync_score


def speaking(seed: int, seconds: float, rate: float = 30.0) -> tuple[np.ndarray, np.ndarray]:
    """Times and an aperture that opens and closes about four times a second, as somebody's who speaks does."""
    times = np.arange(0, seconds, 1 / rate)
    rng = np.random.default_rng(seed)
    beats = np.cumsum(rng.uniform(0.12, 0.35, round(seconds * 8)))
    heights = rng.uniform(0.0, 0.09, len(beats))
    return times, np.interp(times, beats, heights)


def lips(seconds: float = 10.0, *, late_s: float = 0.0, size: float = 1.0, noise: float = 0.0) -> Lips:
    times, asked = speaking(1, seconds)
    seen = size * np.interp(times - late_s, times, asked)
    return Lips(times_s=times, seen=seen + noise * np.random.default_rng(2).random(len(times)), asked=asked)


def score(given: Lips) -> SyncScore:
    found = sync_score(given)
    assert isinstance(found, SyncScore)
    return found


def test_lips_that_do_what_is_asked_have_all_of_it() -> None:
    found = score(lips(noise=0.01))
    assert found.score == 100
    assert found.lag_ms is not None
    assert abs(found.lag_ms) <= 3
    assert found.amplitude == pytest.approx(1.0, abs=0.05)


def test_lips_that_speak_something_else_have_nothing() -> None:
    for seconds in (4, 10, 30):
        times, asked = speaking(1, seconds)
        scores = [
            score(Lips(times_s=times, seen=speaking(seed, seconds)[1], asked=asked)).score for seed in range(10, 30)
        ]
        assert np.mean(scores) < 10
        assert sum(value >= 50 for value in scores) <= 1


def test_lips_that_hardly_move_have_nothing_even_where_they_follow() -> None:
    assert score(lips(size=0.05)).score == 0
    assert score(lips(size=0.0)) == SyncScore(score=0, lag_ms=None, correlation=0.0, amplitude=0.0)
    assert 0 < score(lips(size=0.25)).score < 60 < score(lips(size=0.4)).score


@pytest.mark.parametrize(
    ("late_ms", "low", "high"),
    [(0, 100, 100), (40, 95, 100), (90, 40, 60), (200, 0, 0), (-120, 95, 100), (-185, 40, 60), (-300, 0, 0)],
)
def test_a_lag_is_told_and_costs_what_a_viewer_notices(late_ms: int, low: int, high: int) -> None:
    found = score(lips(late_s=late_ms / 1000))
    assert found.lag_ms == pytest.approx(late_ms, abs=6)
    assert low <= found.score <= high


def test_frames_that_were_not_measured_do_not_count() -> None:
    whole = lips(12.0, noise=0.01)
    seen = whole.seen.copy()
    seen[::2] = -1
    seen[100:200] = -1
    found = score(Lips(times_s=whole.times_s, seen=seen, asked=whole.asked))
    assert found.score >= 95


def test_what_cannot_be_scored_is_said_as_such() -> None:
    assert sync_score(lips(1.5)) is Unscored.TOO_SHORT
    times, asked = speaking(1, 5)
    nothing = np.full(len(times), -1.0)
    assert sync_score(Lips(times_s=times, seen=nothing, asked=asked)) is Unscored.TOO_SHORT
    assert sync_score(Lips(times_s=times, seen=asked, asked=np.zeros(len(times)))) is Unscored.NO_SPEECH
    assert sync_score(Lips(times_s=times, seen=nothing, asked=nothing)) is Unscored.NOT_MEASURED
    assert sync_score(Lips(times_s=times[:0], seen=nothing[:0], asked=nothing[:0])) is Unscored.NOT_MEASURED
    assert sync_score(Lips(times_s=times[:1], seen=asked[:1], asked=asked[:1])) is Unscored.TOO_SHORT
