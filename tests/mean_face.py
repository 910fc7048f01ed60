"""A face that nobody has: FaceMesh's mean shape, with painted lips, teeth and skin."""

import json
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from inference_node.engine.port import FaceFrames
from inference_node.engine.rig import LOWER_INNER, PER_APERTURE, POINTS, UPPER_INNER
from inference_node.engine.warp import PATCH

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


def mouth(patch: npt.NDArray[np.uint8]) -> npt.NDArray[np.int_]:
    """The part of a painted patch between nose, chin and the mouth's corners."""
    left, right, top, bottom = MEAN_FACE[61, 0], MEAN_FACE[291, 0], MEAN_FACE[0, 1] - 8, MEAN_FACE[152, 1] - 8
    return patch[int(top) - PATCH.y : int(bottom) - PATCH.y, int(left) - PATCH.x : int(right) - PATCH.x].astype(int)


def hole(patch: npt.NDArray[np.uint8], dark: int) -> int:
    """Pixels around the mouth that are as dark as a cavity or as white as teeth."""
    area = mouth(patch)
    pale = area[..., 0] - area[..., 1] < 25
    return int(((area.sum(axis=2) < dark) | pale).sum())


def outside(mask: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    """Which pixels of a painted patch lie outside of its mask."""
    down, right = np.mgrid[PATCH.y : PATCH.y + PATCH.height, PATCH.x : PATCH.x + PATCH.width]
    centre_x, centre_y, along, across = mask[:4] * 320
    away_x, away_y = right - centre_x, down - centre_y
    u = (away_x * np.cos(mask[4]) + away_y * np.sin(mask[4])) / along
    v = (away_y * np.cos(mask[4]) - away_x * np.sin(mask[4])) / across
    return np.asarray(np.hypot(u, v) >= 1.0)
