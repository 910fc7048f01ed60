"""What a face can be learnt from: pairs of its own frames, one to paint on and one whose mouth it shall get.

The second frame is laid onto the first by the points that do not move with speech, so it is the very picture that the
painting should give. Pairs are chosen by the frames alone: the same frames always give the same pairs.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from inference_node.engine.face_axes import FaceAxes, Floats
from inference_node.engine.port import FaceFrames, Patch, Pixels
from inference_node.engine.rig import CHIN_PER_APERTURE
from inference_node.engine.sketch import Sketch, own_lips, sketch
from inference_node.speech.mouth import Shape

_STILL = (10, 109, 338, 67, 297, 33, 133, 362, 263, 168, 6, 197, 195, 5, 4, 98, 327, 127, 356)
"""Points that do not move with the jaw."""
_REACHES = (1, 3, 5, 8, 12, 18, 25)
"""How many frames apart a pair's frames may be."""
_APART_PX = 1.6
"""What may be left between the still points of two frames laid on each other, root mean square."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """Pairs, laid out to be painted, and what comes out if it is done well."""

    sketch: Sketch
    truth: Pixels
    """The patches [N, patch.height, patch.width, 3] RGB."""


def pairs_of(frames: FaceFrames, limit: int) -> list[tuple[int, int]]:
    """Choose pairs (painted on, wanted): near in time and in pose, and as different in the mouth as there are."""
    count = len(frames.crops)
    axes = FaceAxes.of(frames.landmarks)
    found: list[tuple[float, int, int]] = []
    for reach in _REACHES:
        for first in range(count - reach):
            for base, wanted in ((first, first + reach), (first + reach, first)):
                if _apart(frames.landmarks[base], frames.landmarks[wanted]) <= _APART_PX:
                    change = abs(float(axes.aperture[base] - axes.aperture[wanted]))
                    found.append((change + 0.5 * float(axes.aperture[wanted]), base, wanted))
    if len(found) <= limit:
        return [(base, wanted) for _, base, wanted in found]
    # A third of the pairs are those that change most; the others are spread over all.
    found.sort(key=lambda pair: (-pair[0], pair[1], pair[2]))
    most, rest = found[: limit // 3], found[limit // 3 :]
    step = len(rest) / (limit - len(most))
    spread = [rest[int(number * step)] for number in range(limit - len(most))]
    return [(base, wanted) for _, base, wanted in (*most, *spread)]


def lesson(frames: FaceFrames, pairs: Sequence[tuple[int, int]], rest_width: float, patch: Patch) -> Lesson:
    """Lay the wanted frame of every pair onto the one that is painted on."""
    bases, wanted = [base for base, _ in pairs], [other for _, other in pairs]
    others = FaceAxes.of(frames.landmarks[wanted])
    shapes = np.zeros((len(pairs), 4), dtype=np.float32)
    shapes[:, Shape.APERTURE] = others.aperture / (1.0 + CHIN_PER_APERTURE * others.aperture)
    shapes[:, Shape.WIDTH] = others.width / rest_width - 1.0
    drawn = sketch(frames.part(bases), shapes, rest_width)
    target, truth = drawn.move.target.copy(), []
    for row, (base, other) in enumerate(pairs):
        turn = _onto(frames.landmarks[other], frames.landmarks[base])
        target[row] = own_lips(frames.crops[other], frames.landmarks[other]) @ turn[:, :2].T + turn[:, 2]
        truth.append(_laid(frames.crops[other], turn, patch))
    return Lesson(sketch=replace(drawn, move=replace(drawn.move, target=target)), truth=np.stack(truth))


def _apart(points: npt.NDArray[np.floating], onto: npt.NDArray[np.floating]) -> float:
    turn = _onto(points, onto)
    left = points[list(_STILL)] @ turn[:, :2].T + turn[:, 2] - onto[list(_STILL)]
    return float(np.sqrt(np.square(left).sum(axis=1).mean()))


def _onto(points: npt.NDArray[np.floating], onto: npt.NDArray[np.floating]) -> Floats:
    """The similarity [2, 3] that lays a face's still points onto another's, by least squares (Umeyama, 1991)."""
    source, target = points[list(_STILL)].astype(np.float64), onto[list(_STILL)].astype(np.float64)
    middle, goal = source.mean(axis=0), target.mean(axis=0)
    near, far = source - middle, target - goal
    spread = float(np.square(near).sum())
    cosine = float((near * far).sum()) / spread
    sine = float((near[:, 0] * far[:, 1] - near[:, 1] * far[:, 0]).sum()) / spread
    turn = np.array([[cosine, -sine], [sine, cosine]])
    return np.concatenate([turn, (goal - turn @ middle)[:, None]], axis=1)


def _laid(crop: Pixels, turn: Floats, patch: Patch) -> Pixels:
    moved = turn.copy()
    moved[:, 2] -= (patch.x, patch.y)
    size = (patch.width, patch.height)
    laid = cv2.warpAffine(crop, moved, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(laid, dtype=np.uint8)
