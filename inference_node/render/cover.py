"""Whether there are lips to be seen, or something lies before them: a mask, a scarf, a cup.

FaceMesh lays its lips on a mask as well, and is sure of it. But lips have another colour than what is around them, and
the lower face that of the upper. Over the shared clips, in CIE Lab without the lightness: lips and their surroundings
are 3.6 or more apart (a painted mask: 0.7), upper and lower face at most 8 (a painted mask: 34; a drawing: 13).
Pictures without colour never count as covered.
"""

from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from inference_node.engine.port import Pixels, Points

_OUTER: Final = (0, 37, 267, 39, 269, 40, 270, 17, 84, 314, 181, 405, 91, 321)
_INNER: Final = (13, 82, 312, 81, 311, 80, 310, 14, 87, 317, 178, 402, 88, 318)
"""Of each lip the outer and the inner line; the lip lies between."""
_AROUND: Final = (164, 167, 393, 165, 391, 92, 322, 18, 83, 313, 182, 406, 106, 335)
_LOWER: Final = (164, 18, 83, 313, 92, 322, 200, 199)
_UPPER: Final = (168, 6, 197, 9, 8, 151)

_ALIKE: Final = 2.0
"""Lips that differ from their surroundings by less are not there."""
_UNLIKE: Final = 13.0
"""A lower face that differs from the upper by more is no skin."""
_REACH: Final = 2
_BLUR_PX: Final = 5


def covered(pictures: list[Pixels], points: Points, *, lead: int = 0, trail: int = 0) -> npt.NDArray[np.bool_]:
    """In which frames the mouth is covered, bool [N - lead - trail].

    Args:
        pictures: Crops of one face in order, uint8 [P, P, 3] RGB.
        points: Its FaceMesh points, float32 [N, 468, 2 or 3].
        lead: Frames at the beginning that are context only.
        trail: Frames at the end that are context only; with two on either side the answer does not depend on the cut.
    """
    told = np.stack([_contrasts(picture, found) for picture, found in zip(pictures, points, strict=True)])
    padded = np.pad(told, ((_REACH, _REACH), (0, 0)), mode="edge")
    calm = np.mean([padded[shift : shift + len(told)] for shift in range(2 * _REACH + 1)], axis=0)
    kept = calm[lead : len(calm) - trail]
    return np.asarray((kept[:, 0] < _ALIKE) & (kept[:, 1] > _UNLIKE))


def _contrasts(picture: Pixels, points: Points) -> npt.NDArray[np.float64]:
    """How far the lips' colour is from that around them, and the lower face's from the upper's."""
    calm = np.asarray(cv2.blur(picture, (_BLUR_PX, _BLUR_PX)), dtype=np.uint8)
    lips = _colour(calm, (points[list(_OUTER), :2] + points[list(_INNER), :2]) / np.float32(2))
    around, lower, upper = (_colour(calm, points[list(group), :2]) for group in (_AROUND, _LOWER, _UPPER))
    return np.array([np.linalg.norm(lips - around), np.linalg.norm(lower - upper)])


def _colour(picture: Pixels, places: Points) -> npt.NDArray[np.float64]:
    """The mean a* and b* at some places."""
    at = np.clip(np.nan_to_num(places), 0, np.array(picture.shape[1::-1]) - 1).astype(np.intp)
    unit = (picture[at[:, 1], at[:, 0]] / 255.0).astype(np.float32)
    return np.asarray(cv2.cvtColor(unit[None], cv2.COLOR_RGB2Lab)[0, :, 1:].mean(axis=0), dtype=np.float64)
