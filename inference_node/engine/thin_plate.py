"""Smooth displacement fields through scattered points: thin-plate splines."""

import numpy as np
import numpy.typing as npt

_SMOOTHING = 2e-4
_TINY = 1e-9


def _kernel(squared: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    return squared * np.log(squared + squared.dtype.type(_TINY))


def thin_plate(
    points: npt.NDArray[np.float64], values: npt.NDArray[np.float64], queries: npt.NDArray[np.float64]
) -> npt.NDArray[np.float32]:
    """Interpolate the values [K, C] given at points [K, 2] at the queries [Q, 2]; float32 [Q, C].

    Lengths are best scaled so that the points span about one unit: the smoothing is meant for that. It forgives points
    that lie nearly on each other, as landmarks of closed lips do.
    """
    count = len(points)
    squared = ((points[:, None] - points[None]) ** 2).sum(axis=-1)
    system = np.zeros((count + 3, count + 3))
    system[:count, :count] = _kernel(squared) + _SMOOTHING * np.eye(count)
    system[:count, count] = system[count, :count] = 1.0
    system[:count, count + 1 :] = points
    system[count + 1 :, :count] = points.T
    right = np.zeros((count + 3, values.shape[1]))
    right[:count] = values
    weights = np.linalg.solve(system, right).astype(np.float32)
    single, among = queries.astype(np.float32), points.astype(np.float32)
    across = single[:, 0, None] - among[None, :, 0]
    along = single[:, 1, None] - among[None, :, 1]
    bent = _kernel(across * across + along * along).astype(np.float32)
    return np.asarray(bent @ weights[:count] + weights[count] + single @ weights[count + 1 :], dtype=np.float32)
