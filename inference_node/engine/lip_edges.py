"""Where lips really begin: FaceMesh often lays the inner line of an open mouth onto teeth.

Teeth that count as lip would be carried along with it and show below a closed mouth. Lips are redder than teeth and
lighter than the dark between them; a frame is asked along short lines from each lip's inner edge to its outer one.
"""

import cv2
import numpy as np
import numpy.typing as npt

from inference_node.engine.face_axes import Floats
from inference_node.engine.lips import smoothstep
from inference_node.engine.port import Pixels
from inference_node.engine.rig import LOWER_INNER, LOWER_OUTER, UPPER_INNER, UPPER_OUTER

_STEP = 0.1
_LINE = np.arange(-4, 9) * _STEP  # of the lip's thickness; 0 at the inner line
_ZERO, _DEEPEST = 4, 10
_LIT = 0.45
_RED_ENOUGH = (0.03, 0.07)  # lips must be so much redder than what lies inside them, or colour tells nothing
_NEIGHBOURS = np.array([1.0, 2.0, 3.0, 2.0, 1.0])


def beyond_inner_line(crop: Pixels, landmarks: npt.NDArray[np.floating]) -> Floats:
    """Share of each lip's thickness that is not lip, at the nine places between the corners [2, 9]; upper lip first."""
    return np.stack(
        [
            _share(crop, landmarks[list(inner[1:-1])], landmarks[list(outer[1:-1])])
            for inner, outer in ((UPPER_INNER, UPPER_OUTER), (LOWER_INNER, LOWER_OUTER))
        ]
    )


def _share(crop: Pixels, inner: npt.NDArray[np.floating], outer: npt.NDArray[np.floating]) -> Floats:
    places = (inner[:, None] + (outer - inner)[:, None] * _LINE[None, :, None]).astype(np.float32)
    colours = cv2.remap(crop, places[..., 0], places[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    colours = colours.astype(np.float64)
    light = colours.sum(axis=2) + 1.0
    red = (colours[..., 0] - colours[..., 1]) / light
    # FaceMesh's outer line may lie on skin: what is reddest along the lines, and not dark, is lip.
    lit = light > _LIT * np.quantile(light[:, _ZERO:], 0.9)
    lip_red = np.quantile(red[:, _ZERO:][lit[:, _ZERO:]], 0.8) if lit[:, _ZERO:].any() else 0.0
    lip_light = np.median(light[lit & (red > 0.85 * lip_red)]) if (lit & (red > 0.85 * lip_red)).any() else light.mean()
    pale = red[:, : _ZERO + 2].min(axis=1, keepdims=True)
    contrast = np.maximum(lip_red - pale, 1e-3)
    teeth = (1.0 - smoothstep(0.35, 0.65, (red - pale) / contrast)) * smoothstep(*_RED_ENOUGH, contrast)
    dark = 1.0 - smoothstep(0.5, 0.7, light / lip_light)
    other = np.maximum(teeth, dark)[:, _ZERO:_DEEPEST]
    share = np.cumprod(other, axis=1).sum(axis=1) * _STEP
    padded = np.pad(share, 2, mode="edge")
    return np.asarray(np.convolve(padded, _NEIGHBOURS / _NEIGHBOURS.sum(), mode="valid"))
