"""Pictures of a person's own mouth, open and closed, in the mouth's own axes, to be warped to any other shape.

A picture is told apart into lips and inside by four curves along the mouth: the outer and the inner edge of either lip.
The network stretches it so that its curves lie on those of the frame that is painted.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from inference_node.engine.face_axes import Floats
from inference_node.engine.field import KNOTS, curves_of
from inference_node.engine.inside import skin_tone
from inference_node.engine.port import FaceFrames, Pixels
from inference_node.engine.sketch import own_lips, sketch

WIDTH_PX = 128
HEIGHT_PX = 96
SIDE = 0.32
"""A picture reaches this far to both sides of the middle, in heights of the face."""
TOP = -0.16
"""Where it begins above the closed lip line, in heights of the face."""
BOTTOM = 0.32
"""Where it ends below."""
NUMBERS = 4
"""Of a likeness for one frame: gain of red, green and blue, and whether it was seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Likeness:
    """One look at a mouth."""

    picture: Pixels
    """[HEIGHT_PX, WIDTH_PX, 3] RGB."""
    curves: npt.NDArray[np.float32]
    """[4, KNOTS], as ``curves_of`` gives them."""
    ends: npt.NDArray[np.float32]
    """Where the mouth ends to the left and to the right, in reaches [2]."""
    tone: Floats
    """Mean colour of the skin around the mouth [3]."""

    def numbers(self, tones: Floats) -> npt.NDArray[np.float32]:
        """What the network is told of it for frames whose skin has these colours [N, 3]: [N, NUMBERS]."""
        gains = np.clip(tones / np.maximum(self.tone, 1.0), 0.5, 1.8)
        return np.concatenate([gains, np.full((len(tones), 1), float(self is not NOTHING))], axis=1).astype(np.float32)

    def laid_along(self, ends: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Its curves laid along mouths that end elsewhere [N, 2]: [N, 5, KNOTS].

        First which of its places, in reaches, belongs to each knot: within the mouth in proportion, beside it as far
        from the corner; then its four curves there.
        """
        knots = np.linspace(-1.0, 1.0, KNOTS)[None]
        left, right = ends[:, :1].astype(np.float64), ends[:, 1:].astype(np.float64)
        part = np.clip((knots - left) / np.maximum(right - left, 0.1), 0.0, 1.0)
        there = self.ends[0] + part * (self.ends[1] - self.ends[0])
        there = there + np.minimum(knots - left, 0.0) + np.maximum(knots - right, 0.0)
        curves = [np.interp(there, knots[0], curve) for curve in self.curves]
        return np.stack([there, *curves], axis=1).astype(np.float32)


def likeness(frames: FaceFrames, index: int, rest_width: float) -> Likeness:
    """Cut the mouth out of one of the frames, as it is."""
    drawn = sketch(frames.part([index]), np.zeros((1, 4), dtype=np.float32), rest_width)
    crop, points, axes = frames.crops[index], frames.landmarks[index], drawn.axes
    move = replace(drawn.move, target=own_lips(crop, points)[None])
    height = float(axes.height[0])
    scale = np.array([2 * SIDE * height / (WIDTH_PX - 1), (BOTTOM - TOP) * height / (HEIGHT_PX - 1)])
    start = move.origin[0] - axes.basis()[0] @ (np.array([SIDE, -TOP]) * height)
    matrix = np.concatenate([axes.basis()[0] * scale, start[:, None]], axis=1)
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    picture = cv2.warpAffine(crop, matrix, (WIDTH_PX, HEIGHT_PX), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    curves, ends = curves_of(move, axes)
    return Likeness(
        picture=np.asarray(picture, dtype=np.uint8), curves=curves[0], ends=ends[0], tone=skin_tone(crop, points)
    )


NOTHING = Likeness(
    picture=np.zeros((HEIGHT_PX, WIDTH_PX, 3), dtype=np.uint8),
    curves=np.repeat(np.array([-0.02, 0.0, 0.0, 0.02], dtype=np.float32)[:, None], KNOTS, axis=1),
    ends=np.array([-0.4, 0.4], dtype=np.float32),
    tone=np.full(3, 128.0),
)
"""Stands where a person was never seen so."""
