"""The tight box around a face: cutting it out of the crop for a network, and putting the painted face back."""

import math

import cv2
import numpy as np
import numpy.typing as npt

from inference_node.engine.port import Patch, Pixels, Points
from inference_node.own.card import FaceRule, PasteRule

Boxes = npt.NDArray[np.float64]
"""Left, top, right, bottom in pixels of the crop [N, 4]; the crop's first pixel reaches from 0 to 1."""

LEAST_PX = 24.0
"""A face whose box is smaller is left alone."""

_OFTEN = 2.2
"""Pixels of the crop for one of the network's beyond which it is sampled in between."""
_BORDER = 0.06
"""Of the box: over this share of its sides paint fades, so that no seam can show."""
_PATCH_BORDER_PX = 8.0
_COLOUR_BAND = 0.2
"""Of the box's height above the mask: where colours are compared."""
_COLOUR_SIDES = 0.15
_MOST_SHIFT = 24.0


def tight_boxes(landmarks: Points, rule: FaceRule) -> Boxes:
    """Boxes around faces; landmarks are [N, 468, 2]."""
    points = landmarks.astype(np.float64)
    low, high = points.min(axis=1), points.max(axis=1)
    size = high - low
    low = low - size * np.array([rule.pad_left, rule.pad_top])
    high = high + size * np.array([rule.pad_right, rule.pad_bottom])
    if rule.square:
        middle, half = (low + high) / 2.0, (high - low).max(axis=1, keepdims=True) / 2.0
        low, high = middle - half, middle + half
    return np.concatenate([low, high], axis=1)


def usable(boxes: Boxes) -> npt.NDArray[np.bool_]:
    """Whether there is a face of some size in each [N]."""
    sides = np.minimum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])
    return np.asarray(np.isfinite(boxes).all(axis=1) & (sides >= LEAST_PX))


def cut_face(crop: Pixels, box: npt.NDArray[np.float64], size: tuple[int, int]) -> Pixels:
    """The box out of a crop, as uint8 [height, width, 3] of the given size."""
    height, width = size
    per_pixel = max((box[2] - box[0]) / width, (box[3] - box[1]) / height)
    often = max(1, math.ceil(per_pixel / _OFTEN))
    often_size = (height * often, width * often)
    seen = _warped(crop, _way(box, often_size), often_size, cv2.INTER_LINEAR)
    if often == 1:
        return seen
    return np.asarray(cv2.resize(seen, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)


def same_colour(painted: Pixels, face: Pixels, mask_from: float) -> Pixels:
    """The painted face with the colour that the seen one has just above the mask, where both show the same skin."""
    height, width = face.shape[:2]
    rows = slice(max(0, round(height * (mask_from - _COLOUR_BAND))), max(1, round(height * mask_from)))
    columns = slice(round(width * _COLOUR_SIDES), round(width * (1.0 - _COLOUR_SIDES)))
    shift = face[rows, columns].astype(np.float32).mean(axis=(0, 1)) - painted[rows, columns].mean(axis=(0, 1))
    shifted = painted + np.clip(shift, -_MOST_SHIFT, _MOST_SHIFT).astype(np.float32)
    return np.asarray(np.clip(np.rint(shifted), 0, 255), dtype=np.uint8)


def put_back(crop: Pixels, painted: Pixels, box: npt.NDArray[np.float64], patch: Patch) -> Pixels:
    """The patch of a crop with a painted face in it; what lies outside the face's box is the crop's, bit for bit."""
    shown = np.array([patch.x, patch.y, patch.x, patch.y], np.float64)
    height, width = painted.shape[:2]
    moved = box - shown
    # The way from pixels of the patch to those of the painted face.
    scale = np.array([width / (moved[2] - moved[0]), height / (moved[3] - moved[1])])
    back = np.array(
        [[scale[0], 0.0, (0.5 - moved[0]) * scale[0] - 0.5], [0.0, scale[1], (0.5 - moved[1]) * scale[1] - 0.5]]
    )
    face = _warped(painted, back, (patch.height, patch.width), cv2.INTER_CUBIC).astype(np.float32)
    share = _share(moved, patch)[..., None]
    under = crop[patch.y : patch.y + patch.height, patch.x : patch.x + patch.width].astype(np.float32)
    return np.rint(under + (face - under) * share).astype(np.uint8)


def paste_masks(boxes: Boxes, rule: PasteRule, crop_px: int) -> npt.NDArray[np.float32]:
    """The soft ellipses that are put back into the frames, as in ``RenderedFrames.masks`` [N, 6]."""
    size = boxes[:, 2:] - boxes[:, :2]
    centre = boxes[:, :2] + size * np.array([rule.centre_x, rule.centre_y])
    half = size * np.array([rule.half_width, rule.half_height])
    rest = np.tile(np.array([0.0, rule.feather]), (len(boxes), 1))
    return np.concatenate([centre / crop_px, half / crop_px, rest], axis=1).astype(np.float32)


def _share(box: npt.NDArray[np.float64], patch: Patch) -> npt.NDArray[np.float32]:
    """How much of each pixel of the patch is painted: all in the box, nothing at its border and at the patch's."""
    across = _ramps(patch.width, box[0], box[2])
    down = _ramps(patch.height, box[1], box[3])
    return np.asarray(np.outer(down, across), np.float32)


def _ramps(count: int, low: float, high: float) -> npt.NDArray[np.float64]:
    at = np.arange(count) + 0.5
    to_box = np.minimum(at - low, high - at) / (_BORDER * (high - low))
    to_patch = np.minimum(at, count - at) / _PATCH_BORDER_PX
    ramp = np.clip(np.minimum(to_box, to_patch), 0.0, 1.0)
    return np.asarray(ramp * ramp * (3.0 - 2.0 * ramp))


def _way(box: npt.NDArray[np.float64], size: tuple[int, int]) -> npt.NDArray[np.float64]:
    """From pixels of a picture of the box to pixels of the crop."""
    across, down = (box[2] - box[0]) / size[1], (box[3] - box[1]) / size[0]
    return np.array([[across, 0.0, box[0] + 0.5 * across - 0.5], [0.0, down, box[1] + 0.5 * down - 0.5]])


def _warped(picture: Pixels, way: npt.NDArray[np.float64], size: tuple[int, int], how: int) -> Pixels:
    flags = how | cv2.WARP_INVERSE_MAP
    made = cv2.warpAffine(picture, way, (size[1], size[0]), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(made, np.uint8)
