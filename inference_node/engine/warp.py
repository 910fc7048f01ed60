"""The geometric engine: it moves the person's own lips, and shows the person's own teeth between them."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import cast

import cv2
import numpy as np
import numpy.typing as npt

from inference_node.engine.face_axes import FaceAxes, Floats
from inference_node.engine.field import GRID_STEP, KNOTS, REACH, MouthPlan, plan_mouths
from inference_node.engine.inside import HEIGHT_PX, WIDTH_PX, Inside, made_up, remembered, skin_tone
from inference_node.engine.lips import jaw_drop, move_lips, openness, smoothstep
from inference_node.engine.port import EngineCard, FaceFrames, Memory, Patch, RenderedFrames, Tensors
from inference_node.engine.sketch import Sketch, sketch
from inference_node.speech.listener import Listener
from inference_node.speech.mouth import MouthTrack

PATCH = Patch(x=56, y=128, width=208, height=176)
"""Where all painting happens: the lower face wherever the head turns in its crop."""
OUTPUT = "PAINTED"
_TONES = 9
INPUTS: Mapping[str, tuple[tuple[int, ...], str]] = MappingProxyType(
    {
        "PATCH": ((PATCH.height, PATCH.width, 3), "uint8"),
        "INSIDE": ((HEIGHT_PX, WIDTH_PX, 3), "uint8"),
        "FLOWS": ((4, PATCH.height // GRID_STEP + 1, PATCH.width // GRID_STEP + 1), "float32"),
        "AXES": ((6,), "float32"),
        "CURVES": ((2, KNOTS), "float32"),
        "TONE": ((_TONES,), "float32"),
    }
)
"""The network's tensors: shape of one frame, and kind."""

_MODEL = "warp"
_BATCH = 8
OPEN_ENOUGH = 0.035
WIDE_ENOUGH = 0.13
_WIDEST_REST = 0.60  # of the eyes' distance; a mouth that is wider wherever it is seen, smiles
_USUAL_WIDTH = 0.54
_MIDDLING_SKIN = np.array([190.0, 150.0, 130.0])
_SMALLEST_PX = 32.0
_SMILE_TAKEN = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class WarpMemory:
    """What the engine knows of a face."""

    inside: Inside
    rest_width: float


class WarpEngine:
    """Warps the lower face of every frame to the asked mouth (see :class:`~inference_node.engine.port.Engine`)."""

    card = EngineCard(
        name="warp",
        summary="Moves the person's own lips and jaw; teeth come from the person's own open mouth",
        crop_px=320,
        crop_scale=1.6,
        patch=PATCH,
        models=("speech", _MODEL),
    )

    def __init__(self, tensors: Tensors) -> None:
        self._tensors = tensors
        self._listener = Listener(tensors)

    async def hear(self, samples: npt.NDArray[np.float32]) -> MouthTrack:
        """Turn speech (float32, mono, 16 kHz, -1 to 1) into a mouth track."""
        return await self._listener.hear(samples)

    async def remember(self, frames: FaceFrames) -> WarpMemory:
        """Learn a face from reference frames: how wide its mouth is at rest, and what is inside."""
        return await asyncio.to_thread(learn, frames)

    async def render(self, frames: FaceFrames, shapes: npt.NDArray[np.float32], memory: Memory) -> RenderedFrames:
        """Paint the shapes into the frames."""
        known = cast("WarpMemory", memory)
        patches = np.ascontiguousarray(patches_of(frames.crops))
        masks = np.zeros((len(patches), 6), dtype=np.float32)
        seen = np.flatnonzero(usable(frames.landmarks))
        for start in range(0, len(seen), _BATCH):
            part = seen[start : start + _BATCH]
            inputs, masks[part] = await asyncio.to_thread(_prepare, frames.part(part), shapes[part], known)
            answer = await self._tensors.infer(_MODEL, inputs, [OUTPUT])
            patches[part] = answer[OUTPUT]
        return RenderedFrames(patches=patches, masks=masks)


def patches_of(crops: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The part of the crops that is painted."""
    return crops[:, PATCH.y : PATCH.y + PATCH.height, PATCH.x : PATCH.x + PATCH.width]


def usable(landmarks: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    """Frames with a face that has a size; nothing is painted into the others."""
    tall = np.linalg.norm(landmarks[:, 152] - landmarks[:, 10], axis=-1)
    wide = np.linalg.norm(landmarks[:, 263] - landmarks[:, 33], axis=-1)
    return np.asarray(np.isfinite(landmarks).all(axis=(1, 2)) & (tall > _SMALLEST_PX) & (wide > _SMALLEST_PX / 4))


def learn(frames: FaceFrames) -> WarpMemory:
    """What there is to remember of a face in reference frames."""
    seen = usable(frames.landmarks)
    if not seen.any():
        return WarpMemory(inside=made_up(_MIDDLING_SKIN), rest_width=_USUAL_WIDTH)
    frames = frames.part(seen)
    axes = FaceAxes.of(frames.landmarks)
    resting = axes.aperture <= np.quantile(axes.aperture, 0.4)
    rest_width = float(np.median(axes.width[resting]))
    rest_width -= _SMILE_TAKEN * max(0.0, rest_width - _WIDEST_REST)
    best = int(np.argmax(_worth(frames, axes)))
    crop, points = frames.crops[best], frames.landmarks[best : best + 1]
    if axes.aperture[best] < OPEN_ENOUGH:
        return WarpMemory(inside=made_up(skin_tone(crop, points[0])), rest_width=rest_width)
    axes = FaceAxes.of(points)
    origin = move_lips(points, axes, np.zeros((1, 4)), rest_width, np.zeros((1, 2, 9))).origin
    return WarpMemory(inside=remembered(crop, points[0], axes, origin[0]), rest_width=rest_width)


def _worth(frames: FaceFrames, axes: FaceAxes) -> Floats:
    """How well each frame shows the inside of the mouth: open, not turned away, not blurred."""
    return np.asarray(np.minimum(axes.aperture, WIDE_ENOUGH) / WIDE_ENOUGH * clearness(frames, axes))


def clearness(frames: FaceFrames, axes: FaceAxes) -> Floats:
    """How clearly each frame shows the face: not turned away, not blurred."""
    facing = smoothstep(0.6, 1.0, axes.turned())
    detail = np.array([_detail(crop, points) for crop, points in zip(frames.crops, frames.landmarks, strict=True)])
    sharp = np.clip(detail / max(float(np.quantile(detail, 0.9)), 1e-6), 0.0, 1.0)
    return np.asarray((0.5 + 0.5 * facing) * (0.7 + 0.3 * sharp))


def _detail(crop: npt.NDArray[np.uint8], points: npt.NDArray[np.float32]) -> float:
    """Sharpness of the lower face: mean square of what a small blur takes away."""
    left, top = np.clip(points.min(axis=0).astype(int), 0, None)
    right, bottom = points.max(axis=0).astype(int)
    area = crop[(top + bottom) // 2 : bottom, left:right, 1]
    if area.size == 0:
        return 0.0
    return float(np.square(area.astype(np.float32) - cv2.GaussianBlur(area, (0, 0), 1.0)).mean())


def _prepare(
    frames: FaceFrames, shapes: npt.NDArray[np.float32], memory: WarpMemory
) -> tuple[dict[str, npt.NDArray[np.generic]], npt.NDArray[np.float32]]:
    drawn = sketch(frames, shapes, memory.rest_width)
    plan = plan_mouths(drawn.move, drawn.axes, PATCH, frames.crops.shape[1])
    return warp_inputs(drawn, plan, memory), plan.masks


def warp_inputs(drawn: Sketch, plan: MouthPlan, memory: WarpMemory) -> dict[str, npt.NDArray[np.generic]]:
    """What the network is given (``INPUTS``) of frames whose lips are laid out."""
    count = len(drawn.frames.crops)
    return {
        "PATCH": np.ascontiguousarray(patches_of(drawn.frames.crops)),
        "INSIDE": np.repeat(memory.inside.picture[None], count, axis=0),
        "FLOWS": plan.flows,
        "AXES": plan.axes,
        "CURVES": plan.curves,
        "TONE": np.concatenate([_tones(drawn, memory.inside), plan.ends], axis=1),
    }


def skin_tones(frames: FaceFrames) -> Floats:
    """Mean colour of the skin around the mouth of every frame [N, 3]."""
    return np.stack([skin_tone(crop, points) for crop, points in zip(frames.crops, frames.landmarks, strict=True)])


def _tones(drawn: Sketch, inside: Inside) -> npt.NDArray[np.float32]:
    """Per frame: gain of red, green and blue, way of the lower jaw, scale along the mouth, strength of the lip line."""
    axes, move = drawn.axes, drawn.move
    gains = np.clip(skin_tones(drawn.frames) / np.maximum(inside.tone, 1.0), 0.5, 1.8)
    apart = smoothstep(0.015, 0.06, move.aperture)
    drop = inside.jaw * apart * (inside.lower - jaw_drop(move.aperture))
    stretch = REACH * axes.height / axes.eyes
    crease = 0.24 * openness(axes.aperture) * (1.0 - openness(move.aperture))
    return np.concatenate([gains, np.stack([drop, stretch, crease], axis=1)], axis=1).astype(np.float32)
