"""Frames of a face with their lips laid out anew: what both engines paint from."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from inference_node.engine.face_axes import FaceAxes, Floats
from inference_node.engine.lip_edges import beyond_inner_line
from inference_node.engine.lips import LipMove, move_lips, openness, rows
from inference_node.engine.port import FaceFrames, Pixels
from inference_node.engine.rig import LOWER_INNER, LOWER_OUTER, POINTS, UPPER_INNER, UPPER_OUTER

_SEEN_CLOSED = 0.009
"""FaceMesh sees this aperture between closed lips."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sketch:
    """N frames and where their lips go."""

    frames: FaceFrames
    shapes: npt.NDArray[np.float32]
    """What was asked [N, 4], columns as in ``Shape``."""
    axes: FaceAxes
    move: LipMove


def sketch(frames: FaceFrames, shapes: npt.NDArray[np.float32], rest_width: float) -> Sketch:
    """Lay the lips out as the shapes [N, 4] ask; ``rest_width`` is the person's ``FaceAxes.width`` at rest."""
    axes = FaceAxes.of(frames.landmarks)
    pairs = zip(frames.crops, frames.landmarks, strict=True)
    beyond = np.stack([beyond_inner_line(crop, points) for crop, points in pairs])
    move = move_lips(frames.landmarks, axes, shapes, rest_width, beyond)
    return Sketch(frames=frames, shapes=shapes, axes=axes, move=move)


def own_lips(crop: Pixels, landmarks: npt.NDArray[np.floating]) -> Floats:
    """Where a frame's own lips are: rows as in ``rig.POINTS`` [K, 2], inner lines where lips really begin."""
    axes = FaceAxes.of(landmarks[None])
    found = landmarks[POINTS].astype(np.float64)
    parted = float(openness(axes.aperture)[0])
    share = beyond_inner_line(crop, landmarks) * parted
    for side, (outers, inners) in enumerate(((UPPER_OUTER, UPPER_INNER), (LOWER_OUTER, LOWER_INNER))):
        inner, outer = rows(inners[1:-1]), rows(outers[1:-1])
        found[inner] += share[side][:, None] * (found[outer] - found[inner])
    # FaceMesh puts the inner lines of lips that touch into the lips.
    upper, lower = rows(UPPER_INNER[1:-1]), rows(LOWER_INNER[1:-1])
    gap = found[lower] - found[upper]
    length = np.maximum(np.linalg.norm(gap, axis=1, keepdims=True), 1e-6)
    closing = gap * np.minimum(1.0, _SEEN_CLOSED * float(axes.height[0]) * (1.0 - parted) / length) / 2.0
    found[upper] += closing
    found[lower] -= closing
    return found
