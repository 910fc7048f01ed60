"""The mouth's shape over time, as the speech asks for it."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

TRACK_RATE = 100
"""Rows a second in a mouth track."""


class Shape(IntEnum):
    """The columns of a mouth track."""

    APERTURE = 0
    """Mean distance between the inner lips over the face's height (FaceMesh 10 to 152): 0 closed, 0.12 wide open."""
    WIDTH = 1
    """Distance between the mouth's corners over the same at rest, minus 1; about -0.3 (oo) to 0.2 (ee)."""
    ROUNDING = 2
    """How far the lips are pushed forward and rounded, 0 to 1."""
    PRESS = 3
    """How firmly the lips are pressed on each other, 0 to 1; 1 in the middle of /m b p/."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MouthTrack:
    """What a speech asks of the mouth.

    ``shapes`` is float32 [T, 4] with the columns of :class:`Shape`, ``TRACK_RATE`` rows a second, row 0 at the
    speech's beginning. Before the beginning and after the end the mouth is closed.
    """

    shapes: npt.NDArray[np.float32]

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        return self.shapes.nbytes

    def at(self, times_s: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
        """Shapes at given times in seconds, float32 [N, 4], interpolated linearly; closed outside the speech."""
        rows = np.arange(len(self.shapes)) / TRACK_RATE
        columns = [np.interp(times_s, rows, self.shapes[:, column], left=0.0, right=0.0) for column in Shape]
        return np.stack(columns, axis=1).astype(np.float32)
