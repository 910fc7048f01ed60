"""How far the lips are apart in what was painted: looked at, not believed."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from inference_node.engine.port import Patch, Pixels, Points
from shared.face.mesh import GOOD_SCORE, FaceMesh, face_height, roi_from_points
from shared.media.crop import Mask

UNSEEN: Final = -1.0
"""Stands for an aperture that was not measured."""

_UPPER: Final = (82, 13, 312)
_LOWER: Final = (87, 14, 317)

_SLOT_US: Final = 40_000
_RARE_US: Final = 45_000


def looked_at(times_us: Sequence[int]) -> npt.NDArray[np.bool_]:
    """Which frames are looked at, bool [N].

    Those in every other 40 ms, which tell enough at half the price; of videos with fewer than 22 frames a second all.
    It goes by each frame's time, not by where a segment begins.
    """
    times = np.asarray(times_us, dtype=np.int64)
    if len(times) > 1 and np.median(np.diff(times)) > _RARE_US:
        return np.ones(len(times), dtype=np.bool_)
    return np.asarray((times + _SLOT_US // 2) // _SLOT_US % 2 == 0)


def aperture(points: Points) -> float:
    """Mean distance of the inner lips (82-87, 13-14, 312-317) over the face's height, of points [468, 2 or 3]."""
    gaps = np.linalg.norm(points[list(_UPPER), :2] - points[list(_LOWER), :2], axis=-1)
    return float(gaps.mean() / max(float(face_height(points)), 1e-6))


def shown(crop: Pixels, patch: Pixels, mask: npt.NDArray[np.float32], place: Patch) -> Pixels:
    """A crop (uint8 [P, P, 3] RGB) with a patch blended into it through its mask, as the edge will blend it."""
    picture = crop.copy()
    side = crop.shape[0]
    xs = ((np.arange(place.x, place.x + place.width) + 0.5) / side).astype(np.float32)
    ys = ((np.arange(place.y, place.y + place.height) + 0.5) / side).astype(np.float32)
    share = Mask.of([float(value) for value in mask]).weights(xs, ys)[..., None]
    under = picture[place.y : place.y + place.height, place.x : place.x + place.width]
    under[:] = np.rint(under + (patch.astype(np.float32) - under) * share)
    return picture


def lips_seen(mesh: FaceMesh, picture: Pixels, landmarks: Points) -> float:
    """The aperture of the face in a picture, given where its points were before anything was painted.

    ``UNSEEN`` where the mesh finds no face there any more. Takes one pass of the mesh, about 2 ms.
    """
    found = mesh.landmarks(picture, roi_from_points(landmarks))
    return aperture(found.points) if found.score >= GOOD_SCORE else UNSEEN
