"""The inside of a mouth as a picture in the mouth's own axes: remembered from the person, or made up."""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from inference_node.engine.face_axes import FRONTAL_EYES, FaceAxes, Floats
from inference_node.engine.lip_edges import beyond_inner_line
from inference_node.engine.lips import smoothstep
from inference_node.engine.port import Pixels
from inference_node.engine.rig import LOWER_INNER, LOWER_OUTER, UPPER_INNER, UPPER_OUTER

SIDE = 0.5
"""The picture reaches this far to both sides of the middle, in distances of the eyes' outer corners."""
TOP = -0.08
"""Where the picture begins above the closed lip line, in heights of the face."""
BOTTOM = 0.24
"""Where it ends below."""
WIDTH_PX = 144
HEIGHT_PX = 88

_TONE_POINTS = (0, 37, 267, 17, 84, 314, 18, 200, 164, 206, 426, 205, 425, 57, 287, 212, 432)
_LOWER_MIDDLE = 16  # of the outline: point 14
_WHOLE = 127
_FADES_PX = 12.0
_CALM = 13
_BESIDE = 0.8  # what was hidden behind a lip lies in its shade
_RED_ENOUGH = 0.03
_DARK = np.array([46.0, 20.0, 20.0])
_TONGUE = np.array([128.0, 66.0, 66.0])
_TOOTH_ENDS = np.array([0.0, 0.034, 0.060, 0.086, 0.108, 0.128])  # from the middle, in heights of the face
_TOOTH_LENGTHS = np.array([0.030, 0.026, 0.027, 0.021, 0.015])  # below the closed lip line
_IVORY = np.array([208.0, 184.0, 166.0])
_WITHIN = 0.01  # of the height: stay so far above the lower lip that the picture was taken with


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
    lower: float
    """Where the lower lip began below the closed lip line, in heights."""
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
    """Cut the inside of an open mouth.

    ``axes`` holds that one frame, ``origin`` is the middle of its closed lip line.
    """
    scale = np.array([2 * SIDE * axes.eyes[0] / (WIDTH_PX - 1), (BOTTOM - TOP) * axes.height[0] / (HEIGHT_PX - 1)])
    to_crop = axes.basis()[0] * scale
    start = origin - axes.basis()[0] @ np.array([SIDE * axes.eyes[0], -TOP * axes.height[0]])
    matrix = np.concatenate([to_crop, start[:, None]], axis=1)
    size = (WIDTH_PX, HEIGHT_PX)
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    picture = _bytes(cv2.warpAffine(crop, matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE))
    outline = _outline(crop, landmarks)
    tone = skin_tone(crop, landmarks)
    aperture = float(axes.aperture[0])
    jaw = float(smoothstep(0.07, 0.11, np.array(aperture)))
    lower = (np.linalg.inv(axes.basis()[0]) @ (outline[_LOWER_MIDDLE] - origin))[1] / axes.height[0]
    return Inside(
        picture=_spread(picture, _polygon((outline - start) @ np.linalg.inv(to_crop).T), _cavity(tone), jaw),
        tone=tone,
        aperture=aperture,
        jaw=jaw,
        lower=float(lower) - _WITHIN,
        made_up=False,
    )


def _outline(crop: Pixels, landmarks: npt.NDArray[np.floating]) -> Floats:
    lines = []
    for inner, outer, share in zip(
        (UPPER_INNER, LOWER_INNER), (UPPER_OUTER, LOWER_OUTER), beyond_inner_line(crop, landmarks), strict=True
    ):
        line = landmarks[list(inner)].astype(np.float64)
        line[1:-1] += share[:, None] * (landmarks[list(outer[1:-1])] - line[1:-1])
        lines.append(line)
    return np.concatenate([lines[0], lines[1][::-1]])


def _polygon(outline: Floats) -> npt.NDArray[np.uint8]:
    mask = np.zeros((HEIGHT_PX, WIDTH_PX), dtype=np.uint8)
    cv2.fillPoly(mask, [np.rint(outline * 16).astype(np.int32)], 255, lineType=cv2.LINE_AA, shift=4)
    return np.asarray(cv2.erode(mask, np.ones((5, 3), dtype=np.uint8)))


def _spread(picture: Pixels, mask: npt.NDArray[np.uint8], cavity: Floats, jaw: float) -> Pixels:
    """Lengthen what is seen upwards, and downwards as far as it belongs to the jaw; the rest is dark.

    Lips come to lie elsewhere than in the frame that this was cut from, and must never show in it.
    """
    spread = np.where((mask > _WHOLE)[..., None], picture, cavity).astype(np.float32)
    share = np.zeros(mask.shape, dtype=np.float32)
    columns, firsts, lasts = _extent(picture, mask)
    for column, first, last in zip(columns, firsts, lasts, strict=True):
        spread[:first, column] = spread[first : first + 3, column].mean(axis=0) * _BESIDE
        spread[last + 1 :, column] = spread[last - 2 : last + 1, column].mean(axis=0) * _BESIDE
        share[: last + 2, column] = 1.0
        below = np.arange(HEIGHT_PX - last - 2)
        share[last + 2 :, column] = jaw * np.exp(-below / _FADES_PX)
    smeared = np.asarray(cv2.GaussianBlur(spread, (0, 0), sigmaX=4.0, sigmaY=1.0))
    down = np.arange(HEIGHT_PX)[:, None]
    seen = np.zeros(mask.shape, dtype=np.float32)
    seen[:, columns] = (down >= firsts) & (down <= lasts)
    kept = np.asarray(cv2.GaussianBlur(seen, (0, 0), 0.8))[..., None]
    soft = np.asarray(cv2.GaussianBlur(share, (0, 0), 1.3))[..., None]
    return _bytes((spread * kept + smeared * (1.0 - kept)) * soft + cavity * (1.0 - soft))


def _bytes(picture: npt.NDArray[Any]) -> Pixels:
    return np.asarray(np.clip(np.rint(picture), 0, 255), dtype=np.uint8)


def _extent(
    picture: Pixels, mask: npt.NDArray[np.uint8]
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Columns that show the inside, and the first and last row of each that is surely no lip."""
    lips = _like_lips(picture, mask)
    tall = (mask > _WHOLE).sum(axis=0)
    columns = np.flatnonzero(tall >= max(6, 0.2 * int(tall.max(initial=0))))
    ends = np.zeros((2, len(columns)))
    for place, column in enumerate(columns):
        rows = np.flatnonzero(mask[:, column] > _WHOLE)
        spare = len(rows) // 6
        ends[0, place] = rows[0] + _run(lips[rows[:spare], column]) + 1
        ends[1, place] = rows[-1] - _run(lips[rows[::-1][:spare], column]) - 1
    calm = _calmed(ends) if len(columns) else ends
    firsts, lasts = np.rint(calm).astype(np.intp)
    return columns, firsts, np.maximum(lasts, firsts + 2)


def _calmed(ends: Floats) -> Floats:
    """One row for a whole tooth: neighbours that differ would show as steps."""
    padded = np.pad(ends, ((0, 0), (_CALM // 2, _CALM // 2)), mode="edge")
    middle = np.median(np.lib.stride_tricks.sliding_window_view(padded, _CALM, axis=1), axis=2)
    return np.stack([np.maximum(middle[0], ends[0] - 2), np.minimum(middle[1], ends[1] + 2)])


def _run(flags: npt.NDArray[np.bool_]) -> int:
    """How many of the first flags are set without a gap."""
    return int(np.cumprod(flags).sum())


def _like_lips(picture: Pixels, mask: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Pixels nearer to the lips around than to teeth, and not dark."""
    around = cv2.dilate(mask, np.ones((9, 9), dtype=np.uint8)) > mask
    inner = mask > _WHOLE
    if not around.any() or not inner.any():
        return np.zeros(mask.shape, dtype=np.bool_)
    light = picture.astype(np.float64).sum(axis=2) + 1.0
    red = (picture[..., 0].astype(np.float64) - picture[..., 1]) / light
    lip_red, pale = np.median(red[around]), np.quantile(red[inner], 0.1)
    if lip_red - pale < _RED_ENOUGH:
        return np.zeros(mask.shape, dtype=np.bool_)
    return np.asarray((red > (lip_red + pale) / 2.0) & (light > 0.5 * np.median(light[around])))


def _cavity(tone: Floats) -> Floats:
    """The dark of a mouth, and a tongue in it, in the light that the skin is in [HEIGHT_PX, WIDTH_PX, 3]."""
    light = _light(tone)
    down, right = _places()
    dark = _DARK * light * (1.0 - 0.3 * smoothstep(0.0, 0.05, down))[..., None]
    tongue = np.exp(-((right / 0.11) ** 4)) * smoothstep(0.035, 0.11, down) * 0.75
    return np.asarray(dark + tongue[..., None] * (_TONGUE * light - dark))


def _places() -> tuple[Floats, Floats]:
    down = np.linspace(TOP, BOTTOM, HEIGHT_PX)[:, None]
    right = np.linspace(-SIDE, SIDE, WIDTH_PX)[None] * FRONTAL_EYES
    return np.broadcast_to(down, (HEIGHT_PX, WIDTH_PX)), np.broadcast_to(right, (HEIGHT_PX, WIDTH_PX))


def made_up(tone: Floats) -> Inside:
    """Paint a plausible inside for a mouth that is never seen open: upper teeth in the shade, a tongue, the dark."""
    teeth, shade = _teeth()
    picture = _cavity(tone)
    picture += teeth[..., None] * (_IVORY * _light(tone) * shade[..., None] - picture)
    blurred = _bytes(cv2.GaussianBlur(picture, (0, 0), 1.1))
    return Inside(picture=blurred, tone=tone, aperture=0.1, jaw=0.0, lower=0.1, made_up=True)


def _teeth() -> tuple[Floats, Floats]:
    """A row of upper teeth, longest in the middle, bent back into the shade: where it is, and how light."""
    down, right = _places()
    beside = np.abs(right)
    tooth = np.clip(np.searchsorted(_TOOTH_ENDS, beside, side="right") - 1, 0, len(_TOOTH_LENGTHS) - 1)
    starts, ends = _TOOTH_ENDS[tooth], _TOOTH_ENDS[tooth + 1]
    across = np.clip((2.0 * beside - starts - ends) / (ends - starts), -1.0, 1.0)
    edge = _TOOTH_LENGTHS[tooth] - 0.003 * across**4
    teeth = (1.0 - smoothstep(-0.005, 0.003, down - edge)) * (1.0 - smoothstep(0.085, 0.128, beside))
    shade = (0.86 - 2.6 * beside**1.3) * (1.0 - 0.08 * across**6)
    return teeth, shade * (0.86 + 0.14 * smoothstep(-0.02, 0.02, down))


def _light(tone: Floats) -> float:
    """How light the light is, 1 where skin is of middling brightness."""
    return float(tone.mean()) / 160.0
