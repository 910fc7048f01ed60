"""Learning a face: the part of the painting network's last layer that belongs to one person.

Ridge regression finds it in closed form from the face's own frames (Bertinetto et al., 2019, adapt a network so): no
gradient, no chance, a second or two on one core. The same frames give the same head.
"""

import numpy as np
import numpy.typing as npt

Sums = npt.NDArray[np.float64]

PAIRS = 64
"""Pairs of frames that a face is learnt from."""
LEAST_PAIRS = 12
"""Fewer tell too little: the face is painted as any other."""
_RIDGE = 3e-3
"""Of the mean variance of the variables: how much evidence it takes to leave what the network paints by itself."""


def solve(gram: Sums, right: Sums) -> npt.NDArray[np.float32]:
    """The head [HEAD_OUTPUTS, VARIABLES] that explains best what is left, from the sums over all frames.

    Cholesky's way, in steps whose order is ours: BLAS shares matrices of this size out to as many threads as happen to
    be free, and the last bits would depend on what else a node does.
    """
    size = len(gram)
    ridge = _RIDGE * float(np.trace(gram)) / size + 1e-9
    lower = gram + ridge * np.eye(size)
    found = right.astype(np.float64)
    for at in range(size):
        lower[at:, at] -= _weighed(lower[at:, :at], lower[at, :at])
        lower[at:, at] /= np.sqrt(lower[at, at])
    for at in range(size):
        found[at] = (found[at] - _weighed(found[:at].T, lower[at, :at])) / lower[at, at]
    for at in reversed(range(size)):
        found[at] = (found[at] - _weighed(found[at + 1 :].T, lower[at + 1 :, at])) / lower[at, at]
    return np.ascontiguousarray(found.T, dtype=np.float32)


def _weighed(rows: Sums, weights: Sums) -> Sums:
    """Sum of each row [N, K] by weights [K], not by BLAS."""
    return np.asarray(np.einsum("nk,k->n", rows, weights, optimize=False))
