"""The inside of a mouth as a picture in the mouth's own axes: remembered from the person, or made up."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from inference_node.engine.face_axes import FaceAxes, Floats
from inference_node.engine.lips import smoothstep
from inference_node.engine.port import Pixels
from inference_node.engine.rig import LOWER_INNER, UPPER_INNER

SIDE = 0.5
"""The picture reaches this far to both sides of the middle, in distances of the eyes' outer corners."""
TOP = -0.08
"""Where the picture begins above the closed lip line, in heights of the face."""
BOTTOM = 0.24
"""Where it ends below."""
WIDTH_PX = 144
HEIGHT_PX = 88

_TONE_POINTS = (0, 37, 267, 17, 84, 314, 18, 200, 164, 206, 426, 205, 425, 57, 287, 212, 432)
_CAVITY = np.array([58.0, 26.0, 24.0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Inside:
    """What shows between the lips."""

    picture: Pixels
    """[HEIGHT_PX, WIDTH_PX, 3] RGB; outside the mouth it was taken from goes on the dark of the cavity."""
    tone: Floats
    """Mean colour of the skin around the mouth in the same light [3]."""
    aperture: float
    """How far the mouth was open."""
    jaw: float
    """0 to 1: how far the lower part of the picture belongs to the lower jaw and sinks with it."""
    made_up: bool


def skin_tone(crop: Pixels, landmarks: npt.NDArray[np.floating]) -> Floats:
    """Mean colour of lips and skin around the mouth, mean of 5x5 pixels at each of a few points."""
    height, width = crop.shape[:2]
    places = np.rint(landmarks[list(_TONE_POINTS)]).astype(int)
    right, down = np.clip(places[:, 0], 2, width - 3), np.clip(places[:, 1], 2, height - 3)
    shifts = np.arange(-2, 3)
    spots = crop[down[:, None, None] + shifts[:, None], right[:, None, None] + shifts]
    return np.asarray(spots.reshape(-1, 3).mean(axis=0), dtype=np.float64)


def remembered(crop: Pixels, landmarks: npt.NDArray[np.floating], axes: FaceAxes, origin: Floats) -> Inside:
    """Cut the inside of an open mouth; ``axes`` holds that one frame, ``origin`` is the middle of its closed lip line."""
    scale = np.array([2 * SIDE * axes.eyes[0] / (WIDTH_PX - 1), (BOTTOM - TOP) * axes.height[0] / (HEIGHT_PX - 1)])
    to_crop = axes.basis()[0] * scale
    start = origin - axes.basis()[0] @ np.array([SIDE * axes.eyes[0], -TOP * axes.height[0]])
    matrix = np.concatenate([to_crop, start[:, None]], axis=1)
    size = (WIDTH_PX, HEIGHT_PX)
    picture = cv2.warpAffine(
        crop, matrix, size, flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE
    )
    outline = np.concatenate([landmarks[list(UPPER_INNER)], landmarks[list(LOWER_INNER[::-1])]])
    mask = _polygon((outline - start) @ np.linalg.inv(to_crop).T)
    tone = skin_tone(crop, landmarks)
    aperture = float(axes.aperture[0])
    cavity = _cavity(picture, mask, tone)
    mixed = picture * mask[..., None] + cavity * (1.0 - mask[..., None])
    return Inside(
        picture=np.clip(np.rint(mixed), 0, 255).astype(np.uint8),
        tone=tone,
        aperture=aperture,
        jaw=float(smoothstep(0.07, 0.11, np.array(aperture))),
        made_up=False,
    )


def _polygon(outline: Floats) -> npt.NDArray[np.float32]:
    fine = 16
    mask = np.zeros((HEIGHT_PX, WIDTH_PX), dtype=np.uint8)
    cv2.fillPoly(mask, [np.rint(outline * fine).astype(np.int32)], 255, lineType=cv2.LINE_AA, shift=4)
    mask = cv2.erode(mask, np.ones((3, 3), dtype=np.uint8))
    return np.asarray(cv2.GaussianBlur(mask, (0, 0), 1.2), dtype=np.float32) / np.float32(255.0)


def _cavity(picture: Pixels, mask: npt.NDArray[np.float32], tone: Floats) -> Floats:
    """The dark behind the teeth: the mouth's own darkest where it has any."""
    inner = picture[mask > 0.9].astype(np.float64)
    made = _CAVITY * (tone.mean() / 160.0)
    if len(inner) < 50:
        return np.asarray(made)
    light = inner.sum(axis=1)
    dark = inner[light <= np.quantile(light, 0.1)].mean(axis=0)
    own = float(smoothstep(0.65, 0.35, np.array(dark.sum() / tone.sum()))) if False else 1.0
    return np.asarray(np.minimum(own * dark + (1 - own) * made, made * 1.3))


def made_up(tone: Floats) -> Inside:
    """Paint a plausible inside for a mouth that is never seen open: upper teeth in the shade, a tongue, the dark."""
    down = np.linspace(TOP, BOTTOM, HEIGHT_PX)[:, None]
    right = np.linspace(-SIDE, SIDE, WIDTH_PX)[None] * 0.555
    light = tone.mean() / 160.0
    picture = np.broadcast_to(_CAVITY * light, (HEIGHT_PX, WIDTH_PX, 3)).copy()

    tongue = np.exp(-((right / 0.10) ** 4)) * smoothstep(0.05, 0.11, down)
    picture += tongue[..., None] * (np.array([128.0, 62.0, 60.0]) * light - picture) * 0.8
    edge = 0.028 - 1.1 * right**2
    teeth = smoothstep(0.004, -0.004, down - edge) if False else 1.0 - smoothstep(-0.004, 0.004, down - edge)
    teeth = teeth * (1.0 - smoothstep(0.075, 0.14, np.abs(right)))
    ivory = np.array([214.0, 200.0, 186.0]) * light * 0.86
    between = 1.0 - 0.10 * np.exp(-(((right / 0.028 + 0.5) % 1.0 - 0.5) / 0.09) ** 2)
    round_off = 1.0 - 2.2 * np.abs(right) ** 1.2
    shaded = ivory * (between * round_off)[..., None] * np.ones_like(picture)
    picture += teeth[..., None] * (shaded - picture)
    picture = cv2.GaussianBlur(picture, (0, 0), 0.8)
    return Inside(
        picture=np.clip(np.rint(picture), 0, 255).astype(np.uint8), tone=tone, aperture=0.1, jaw=1.0, made_up=True
    )
