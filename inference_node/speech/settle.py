"""The last touch on a mouth track: lips that meet are seen to meet, and a mouth at rest is still."""

import numpy as np
import numpy.typing as npt

from inference_node.speech.mouth import Shape

Track = npt.NDArray[np.float32]

_PRESSED, _SURELY_PRESSED = 0.6, 0.85
"""Where the press rises above the first the lips come nearer, where above the second they meet."""
_CLOSURE_ROWS = 5
"""Lips stay together for at least 50 ms, so that a video of 25 frames a second shows it."""
_RAMP_ROWS = 4
_STILL_BELOW = 0.004
_SMOOTHING = np.array([0.25, 0.5, 0.25])


def settled(shapes: Track) -> Track:
    """A track with columns of ``Shape``, made calm, with its closures carried out; looks 60 ms around each row."""
    calm = np.stack([_smoothed(shapes[:, column]) for column in Shape], axis=1)
    aperture = np.maximum(0.0, calm[:, Shape.APERTURE] - _STILL_BELOW) + np.minimum(
        _STILL_BELOW, calm[:, Shape.APERTURE]
    ) * _smooth_step(calm[:, Shape.APERTURE] / (2 * _STILL_BELOW))
    closed = _together(calm[:, Shape.PRESS], shapes[:, Shape.PRESS])
    calm[:, Shape.APERTURE] = aperture * (1.0 - closed)
    calm[:, Shape.PRESS] = np.maximum(calm[:, Shape.PRESS], closed)
    return calm.astype(np.float32)


def _together(press: npt.NDArray[np.float64], told: Track) -> npt.NDArray[np.float64]:
    """1 while the lips are together, falling to 0 on either side; less where that is in doubt."""
    pressed = press > _PRESSED
    if not pressed.any():
        return np.zeros(len(pressed))
    edges = np.flatnonzero(np.diff(np.concatenate([[0], pressed.view(np.int8), [0]])))
    together = np.zeros(len(pressed))
    rows = np.arange(len(pressed))
    for first, end in edges.reshape(-1, 2):
        sure = _smooth_step((told[first:end].max() - _PRESSED) / (_SURELY_PRESSED - _PRESSED))
        missing = max(0, _CLOSURE_ROWS - (end - first))
        low, high = first - (missing + 1) // 2, end - 1 + missing // 2
        near = slice(max(0, low - _RAMP_ROWS), high + _RAMP_ROWS + 1)
        distance = np.maximum(0, np.maximum(low - rows[near], rows[near] - high))
        together[near] = np.maximum(together[near], sure * (1.0 - _smooth_step(distance / _RAMP_ROWS)))
    return together


def _smoothed(values: Track) -> npt.NDArray[np.float64]:
    return np.convolve(np.pad(values, 1, mode="edge"), _SMOOTHING, mode="valid")


def _smooth_step(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    y = np.clip(x, 0.0, 1.0)
    return y * y * (3.0 - 2.0 * y)
