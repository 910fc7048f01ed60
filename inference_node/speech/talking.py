"""Nobody speaks, no mouth moves: music and noise have sounds like vowels, but do not go on as speech does.

The network tells for each row how likely it is that somebody speaks; that is judged over a second, in one go for the
whole speech, so it does not depend on the pieces that the network was given.
"""

import numpy as np
import numpy.typing as npt

Track = npt.NDArray[np.float32]

_SURE = 4.0
"""Log odds count up to here either way, so that a few odd rows decide nothing."""
_SMOOTHING_ROWS = 60
_READY_ROWS = 8
"""The mouth is free to move so long before and after the judgement, which is slow to change."""
_SILENT, _SPEAKING = -1.0, 0.2
"""Mean log odds up to the first keep the mouth shut, from the second on they leave it alone,"""
_DOUBTFUL, _CERTAIN = 1.5, 2.5
_NEAR_ROWS = 150
"""if only they rise over these so near: who speaks is certain to be heard now and then, music only seems to speak."""


def hushed(shapes: Track, log_odds: Track) -> Track:
    """Shapes [T, 4] at rest where nobody speaks, by the log odds [T] that somebody does."""
    window = np.hanning(2 * _SMOOTHING_ROWS + 1)[1:-1]
    odds = np.clip(log_odds.astype(np.float64), -_SURE, _SURE)
    mean = _sum(odds, window) / _sum(np.ones(len(odds)), window)
    free = _rising(_largest(mean, _READY_ROWS), _SILENT, _SPEAKING)
    free *= _rising(_largest(mean, _NEAR_ROWS), _DOUBTFUL, _CERTAIN)
    return (shapes * free[:, np.newaxis]).astype(np.float32)


def _largest(values: npt.NDArray[np.float64], rows: int) -> npt.NDArray[np.float64]:
    """The largest value so many rows around each."""
    padded = np.pad(values, rows, mode="edge")
    return np.asarray(np.lib.stride_tricks.sliding_window_view(padded, 2 * rows + 1).max(axis=1))


def _rising(values: npt.NDArray[np.float64], low: float, high: float) -> npt.NDArray[np.float64]:
    """From 0 at ``low`` smoothly to 1 at ``high``."""
    part = np.clip((values - low) / (high - low), 0.0, 1.0)
    return np.asarray(part * part * (3.0 - 2.0 * part))


def _sum(values: npt.NDArray[np.float64], window: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.convolve(np.pad(values, len(window) // 2), window, mode="valid")
