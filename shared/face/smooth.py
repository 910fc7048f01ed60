"""Calmer landmarks: a window of two frames to each side and no further.

So few frames are enough because they only have to take the network's own tremble away; and a segment that carries two
frames of context on each side is smoothed exactly as the whole video would be. Points that move with speech are fitted
by a parabola (Savitzky-Golay), which keeps the height of quick openings; the others, which move slowly, by a binomial.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from shared.face.mesh import POINT_COUNT, Points, face_height

REACH: Final = 2
"""Frames that are looked at before and after each frame."""

_PARABOLA: Final = np.array([-3, 12, 17, 12, -3]) / 35
_BINOMIAL: Final = np.array([1, 4, 6, 4, 1]) / 16
_CUT_SHARE: Final = 0.12
"""Points that move by more than this share of the face's height between two frames lie on two sides of a cut. Shaking
heads stay below 0.11; in a crop, which follows the face, even a cut moves them little."""

# Lips (outer and inner), then the jaw's line from ear to ear and the skin between: what speech moves.
_SPEAKING: Final = (
    *(61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 185, 40, 39, 37, 0, 267, 269, 270, 409),
    *(78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 191, 80, 81, 82, 13, 312, 311, 310, 415),
    *(76, 77, 90, 180, 85, 16, 315, 404, 320, 307, 306, 184, 74, 73, 72, 11, 302, 303, 304, 408),
    *(62, 96, 89, 179, 86, 15, 316, 403, 319, 325, 292, 183, 42, 41, 38, 12, 268, 271, 272, 407),
    *(58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288, 215, 138, 135, 169, 170, 140, 171),
    *(175, 396, 369, 395, 394, 364, 367, 435, 199, 208, 428, 32, 262, 211, 431, 210, 430, 214, 434, 192, 416),
    *(200, 201, 421, 194, 418, 204, 424, 202, 422, 212, 432, 18, 83, 313, 182, 406, 106, 335, 43, 273, 57, 287),
    *(186, 410, 92, 322, 165, 391, 167, 393, 164, 216, 436, 207, 427, 187, 411, 213, 433, 147, 376),
)


def smooth(points: Points, *, lead: int = 0, trail: int = 0) -> Points:
    """Smooth one face's points over consecutive frames.

    Args:
        points: float32 [N, 468, 2 or 3], frames in order.
        lead: Frames at the beginning that are context only.
        trail: Frames at the end that are context only.

    Returns:
        float32 [N - lead - trail, 468, 2 or 3]. Nothing is smoothed across a cut; with at least two frames of
        context a frame's points do not depend on where the segment begins or ends.
    """
    kept = slice(lead, len(points) - trail)
    if len(points) == 0:
        return points[kept]
    runs = np.split(points.astype(np.float64), _cuts(points))
    return np.concatenate([_smooth_run(run) for run in runs]).astype(np.float32)[kept]


def _cuts(points: Points) -> npt.NDArray[np.intp]:
    moved = np.linalg.norm(np.diff(points[..., :2], axis=0), axis=-1).mean(axis=1)
    heights = face_height(points)
    return np.flatnonzero(moved > _CUT_SHARE * np.minimum(heights[1:], heights[:-1])) + 1


def _smooth_run(run: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    # Mirrored through its end point a steady motion goes on steadily, so the ends lag no more than the middle.
    padded = np.pad(run, ((REACH, REACH), (0, 0), (0, 0)), mode="reflect", reflect_type="odd")
    weights = np.tile(_BINOMIAL[:, np.newaxis], (1, POINT_COUNT))
    weights[:, list(_SPEAKING)] = _PARABOLA[:, np.newaxis]
    windows = np.stack([padded[shift : shift + len(run)] for shift in range(2 * REACH + 1)])
    smoothed: npt.NDArray[np.float64] = np.einsum("snpk,sp->npk", windows, weights)
    return smoothed
