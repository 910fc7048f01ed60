"""A face that nobody has: FaceMesh's mean shape, with painted lips, teeth and skin."""

import json
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from inference_node.engine.port import FaceFrames
from inference_node.engine.rig import LOWER_INNER, PER_APERTURE, POINTS, UPPER_INNER

MEAN_FACE = np.array(json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8")), dtype=np.float32)
"""Its points in a crop of 320 pixels [468, 2]; its mouth is closed."""
_HEIGHT_PX = 197.0


def landmarks(aperture: float) -> npt.NDArray[np.float32]:
    """The points with the jaw dropped."""
    points = MEAN_FACE.copy()
    points[POINTS] += (PER_APERTURE * aperture * _HEIGHT_PX).astype(np.float32)
    return points


def picture(points: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Grainy skin, red lips, and between open ones white teeth above the dark."""
    grain = np.random.default_rng(5).normal(0.0, 4.0, (320, 320, 3))
    crop = np.clip(np.array([196.0, 150.0, 130.0]) + grain, 0, 255).astype(np.uint8)
    outer = points[[61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146]]
    inner = points[[*UPPER_INNER, *LOWER_INNER[::-1]]]
    cv2.fillPoly(crop, [np.rint(outer * 16).astype(np.int32)], (170, 80, 80), cv2.LINE_AA, 4)
    if points[14, 1] - points[13, 1] < 4.0:
        return crop
    hole = np.zeros((320, 320), dtype=np.uint8)
    cv2.fillPoly(hole, [np.rint(inner * 16).astype(np.int32)], 255, cv2.LINE_8, 4)
    teeth = hole.copy()
    teeth[int(points[13, 1]) + 7 :] = 0
    crop[hole > 0] = (40, 15, 15)
    crop[teeth > 0] = (225, 215, 200)
    return crop


def frames(*apertures: float) -> FaceFrames:
    """One frame for each aperture."""
    points = np.stack([landmarks(aperture) for aperture in apertures])
    return FaceFrames(crops=np.stack([picture(one) for one in points]), landmarks=points)
