"""How well lips follow a speech, from 0 to 100.

Two curves are compared: how far apart the lips are in the finished pixels, as FaceMesh sees them, and how far apart the
speech asks them to be, as viseme's own speech network hears it. Both are less their moving mean of one second, at
``RATE`` values a second; the score goes by the peak of their correlation over lags of 0.4 s either way, by the lag of
that peak, and by how far the lips move.

The scale is that of real people. ``python -m tests.bench.sync`` prints what it rests on: the lips of the shared clips
v01, v03 and v05 with the sound that they were filmed with and with every other sound.

- *Correlation.* Real lips reach 0.66 (10 s), 0.46 (20 s) and 0.52 (6.6 s) with their own sound, as networks hear it
  that were not fitted to them; 0.73, 0.55 and 0.63 with the one that comes with viseme. With another sound,
  what is reached by chance shrinks with the square root of the time that is compared: the peak is below
  0.75 / sqrt(seconds) in three of four cases (score 0) and below 1.07 / sqrt(seconds) in 99 of 100; from there on, and
  from 0.40 in long results, lips are as good as real ones (75). 0.85, which only rendered lips reach, is 100.
- *Lag.* ITU-R BT.1359-1: viewers notice lips that come more than 45 ms late or 125 ms early, and put up with 90 and
  185. Up to the first pair the lag costs nothing, at the second half of the score, beyond twice the way all of it.
- *Amplitude.* Real lips move 0.65 to 1.1 times as far as the network asks. Below 0.4 the score falls; lips that do not
  move (0.1, which FaceMesh's own tremble reaches) have none.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from edge_gateway.jobs.job import SyncScore, Unscored

Curve = npt.NDArray[np.float64]

RATE: Final = 25
"""Values a second at which curves are compared."""
LEAST_SECONDS: Final = 2.0
"""Shorter results have no score: by chance anything could come of it."""

_LAGS: Final = 10
_CHANCE: Final = 0.75
_SURE: Final = 1.07
_REAL: Final = 0.40
_BEST: Final = 0.85
_STEP: Final = 0.1
_REAL_SCORE: Final = 75.0
_LATE_MS: Final = (45.0, 90.0)
_EARLY_MS: Final = (125.0, 185.0)
_FROZEN, _LIVELY = 0.1, 0.4
_SPEAKING: Final = 0.01
"""Aperture from which on the network hears somebody speak."""
_LEAST_SPEAKING: Final = 0.2
"""Seconds of it below which nothing was said at all."""
_NEAR_S: Final = 0.06
"""How far from a frame a value of its curve may be taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lips:
    """The lips of a whole result, one value a frame, in order.

    ``seen`` and ``asked`` are apertures over the face's height, negative where they are not known.
    """

    times_s: Curve
    seen: Curve
    asked: Curve


def is_silent(lips: Lips) -> bool:
    """Whether no speech was heard, as far as that is known."""
    known = lips.asked >= 0
    if not known.any() or len(lips.times_s) < 2:
        return False
    frame_s = float(np.median(np.diff(lips.times_s)))
    return float((lips.asked[known] >= _SPEAKING).sum()) * frame_s < _LEAST_SPEAKING


def sync_score(lips: Lips) -> SyncScore | Unscored:
    """Compare the lips with the speech; says why where that cannot be done."""
    measured = (lips.seen >= 0) & (lips.asked >= 0)
    if not (lips.asked >= 0).any():
        return Unscored.NOT_MEASURED
    if is_silent(lips):
        return Unscored.NO_SPEECH
    if measured.sum() < 2:
        return Unscored.TOO_SHORT
    grid = np.arange(lips.times_s[measured][0], lips.times_s[measured][-1], 1 / RATE)
    near = max(_NEAR_S, 0.6 * float(np.median(np.diff(lips.times_s))))
    known = _is_near(grid, lips.times_s[measured], near)
    seconds = float(known.sum()) / RATE
    if seconds < LEAST_SECONDS:
        return Unscored.TOO_SHORT
    seen, asked = (
        _lively(np.interp(grid, lips.times_s[measured], curve[measured]), known) for curve in (lips.seen, lips.asked)
    )
    return _score(seen, asked, known, seconds)


def _score(seen: Curve, asked: Curve, known: npt.NDArray[np.bool_], seconds: float) -> SyncScore:
    values = np.array([_correlation(seen, asked, known, lag) for lag in range(-_LAGS, _LAGS + 1)])
    best = int(np.argmax(values))
    peak, lag_ms = float(values[best]), (best - _LAGS + _between(values, best)) * 1000 / RATE
    amplitude = float(seen[known].std() / max(float(asked[known].std()), 1e-6))
    sure = max(_REAL, _SURE / seconds**0.5)
    worth = np.interp(peak, [_CHANCE / seconds**0.5, sure, max(_BEST, sure + _STEP)], [0.0, _REAL_SCORE, 100.0])
    moving = np.clip((amplitude - _FROZEN) / (_LIVELY - _FROZEN), 0.0, 1.0)
    return SyncScore(
        score=round(float(worth * _in_time(lag_ms) * moving)),
        lag_ms=round(lag_ms) if peak >= sure and moving > 0 else None,
        correlation=round(peak, 3),
        amplitude=round(amplitude, 3),
    )


def _in_time(lag_ms: float) -> float:
    """The share of a score that is left at a lag."""
    noticed, accepted = _LATE_MS if lag_ms > 0 else _EARLY_MS
    return float(np.clip(1.0 - 0.5 * (abs(lag_ms) - noticed) / (accepted - noticed), 0.0, 1.0))


def _is_near(grid: Curve, times: Curve, near: float) -> npt.NDArray[np.bool_]:
    after = np.searchsorted(times, grid).clip(1, len(times) - 1)
    return np.asarray(np.minimum(np.abs(grid - times[after - 1]), np.abs(times[after] - grid)) <= near)


def _lively(curve: Curve, known: npt.NDArray[np.bool_]) -> Curve:
    """The curve less its moving mean of one second, over what is known of it."""
    window = np.ones(RATE)
    count = np.convolve(known.astype(np.float64), window, mode="same")
    return curve - np.convolve(np.where(known, curve, 0.0), window, mode="same") / np.maximum(count, 1.0)


def _correlation(seen: Curve, asked: Curve, known: npt.NDArray[np.bool_], lag: int) -> float:
    """Of the lips with what was asked ``lag`` values before."""
    size = len(seen)
    later, earlier = slice(max(0, lag), size + min(0, lag)), slice(max(0, -lag), size + min(0, -lag))
    both = known[later] & known[earlier]
    ours, theirs = seen[later][both], asked[earlier][both]
    if len(ours) < RATE or not ours.std() or not theirs.std():
        return 0.0
    return float(np.corrcoef(ours, theirs)[0, 1])


def _between(values: Curve, at: int) -> float:
    """How far beside the largest value a parabola through it and its neighbours is highest, -0.5 to 0.5."""
    if not 0 < at < len(values) - 1:
        return 0.0
    before, there, after = values[at - 1 : at + 2]
    bend = before - 2 * there + after
    return 0.0 if bend >= 0 else float(0.5 * (before - after) / bend)
