"""How far a head is turned away, and how much of what was painted is shown then.

FaceMesh tells the depth of its points, but sees it flat: the deeper half of the angle is missing. Turned copies of four
people's frontal frames (the points moved in space, the pixels with them) were told as follows, in degrees:

| turned by | 20 | 30 | 40 | 45 | 50 | 60 | 75 |
|---|---|---|---|---|---|---|---|
| seen, mean of both sides | 15 | 21 | 28 | 31 | 34 | 40 | 43 |

Up to 45 degrees the points of the lips lie where the lips are; from 60 on the farther half lies beside the face.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

Angles = npt.NDArray[np.float32]

SHOWN_TO: Final = np.radians(31.0)
"""Seen angle up to which everything is shown: about 45 degrees."""
HIDDEN_FROM: Final = np.radians(37.0)
"""Seen angle from which nothing is painted: about 55 degrees."""

_ACROSS: Final = ((234, 454), (127, 356), (33, 263), (93, 323))
"""Pairs of FaceMesh points that lie on both sides of the head and do not move with speech: temples, eyes, cheeks."""


def seen_yaw(points: npt.NDArray[np.float32]) -> Angles:
    """How far heads are turned to the side as FaceMesh sees it, in radians, 0 from the front, never negative.

    Args:
        points: float32 [N, 468, 3], x and y in pixels, z in the same unit.
    """
    across = np.zeros((len(points), 3), dtype=np.float32)
    for left, right in _ACROSS:
        way = points[:, right] - points[:, left]
        across += way / np.maximum(np.linalg.norm(way, axis=-1, keepdims=True), 1e-6)
    return np.abs(np.arctan2(across[:, 2], np.hypot(across[:, 0], across[:, 1]))).astype(np.float32)


def shown_share(yaw: Angles) -> Angles:
    """How much of the paint is shown, 1 to 0; it goes softly, so that a head on the border does not flicker."""
    turned = np.clip((yaw - SHOWN_TO) / (HIDDEN_FROM - SHOWN_TO), 0.0, 1.0)
    return np.asarray(1.0 - turned * turned * (3.0 - 2.0 * turned), dtype=np.float32)
