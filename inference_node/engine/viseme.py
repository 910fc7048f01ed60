"""The neural engine: the person's own lips, moved, and what moving cannot give taken from other looks at that mouth."""

import asyncio
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt

from inference_node.engine import painter
from inference_node.engine.canvas import Canvas, Looks, canvas, looks_of
from inference_node.engine.learning import LEAST_PAIRS, PAIRS, solve
from inference_node.engine.port import EngineCard, FaceFrames, Memory, RenderedFrames, Tensors
from inference_node.engine.practice import Lesson, lesson, pairs_of
from inference_node.engine.sketch import sketch
from inference_node.engine.warp import PATCH, patches_of, usable
from inference_node.speech.listener import Listener
from inference_node.speech.mouth import MouthTrack

_MODEL, _LEARNING = "viseme", "viseme_learn"
_BATCH = 16
_LEARNT_AT_ONCE = 8
_NOTHING_LEARNT = np.zeros((painter.HEAD_OUTPUTS, painter.VARIABLES), dtype=np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class VisemeMemory:
    """What the engine knows of a face."""

    looks: Looks
    head: npt.NDArray[np.float32]
    """What was learnt [HEAD_OUTPUTS, VARIABLES]; zeros where there was too little to learn from."""


class VisemeEngine:
    """Warps, then paints (see :class:`~inference_node.engine.port.Engine`).

    Args:
        tensors: Where networks run.
        learns: Whether faces are learnt; benchmarks ask what that is worth.
    """

    card = EngineCard(
        name="viseme",
        summary="Moves the person's own lips and paints the mouth from the person's own looks; learns each face",
        crop_px=320,
        crop_scale=1.6,
        patch=PATCH,
        models=("speech", _MODEL, _LEARNING),
    )

    def __init__(self, tensors: Tensors, *, learns: bool = True) -> None:
        self._tensors = tensors
        self._listener = Listener(tensors)
        self._learns = learns

    async def hear(self, samples: npt.NDArray[np.float32]) -> MouthTrack:
        """Turn speech (float32, mono, 16 kHz, -1 to 1) into a mouth track."""
        return await self._listener.hear(samples)

    async def remember(self, frames: FaceFrames) -> VisemeMemory:
        """Learn a face from reference frames: how its mouth looks open and closed, and what of it is its own."""
        looks = await asyncio.to_thread(looks_of, frames)
        frames = frames.part(usable(frames.landmarks))
        pairs = await asyncio.to_thread(pairs_of, frames, PAIRS) if self._learns else []
        if len(pairs) < LEAST_PAIRS:
            return VisemeMemory(looks=looks, head=_NOTHING_LEARNT)
        gram = np.zeros((painter.VARIABLES, painter.VARIABLES))
        right = np.zeros((painter.VARIABLES, painter.HEAD_OUTPUTS))
        for start in range(0, len(pairs), _LEARNT_AT_ONCE):
            part = pairs[start : start + _LEARNT_AT_ONCE]
            inputs = await asyncio.to_thread(_studied, frames, part, looks)
            answer = await self._tensors.infer(_LEARNING, inputs, painter.LEARN_OUTPUTS)
            gram += answer["GRAM"].astype(np.float64).sum(axis=0)
            right += answer["RIGHT"].astype(np.float64).sum(axis=0)
        return VisemeMemory(looks=looks, head=await asyncio.to_thread(solve, gram, right))

    async def render(self, frames: FaceFrames, shapes: npt.NDArray[np.float32], memory: Memory) -> RenderedFrames:
        """Paint the shapes into the frames."""
        known = cast("VisemeMemory", memory)
        patches = np.ascontiguousarray(patches_of(frames.crops))
        masks = np.zeros((len(patches), 6), dtype=np.float32)
        seen = np.flatnonzero(usable(frames.landmarks))
        for start in range(0, len(seen), _BATCH):
            part = seen[start : start + _BATCH]
            drawn = await asyncio.to_thread(_drawn, frames.part(part), shapes[part], known.looks)
            head = np.repeat(known.head[None], len(part), axis=0)
            answer = await self._tensors.infer(_MODEL, {**drawn.inputs, "HEAD": head}, [painter.OUTPUT])
            patches[part], masks[part] = answer[painter.OUTPUT], drawn.masks
        return RenderedFrames(patches=patches, masks=masks)


def _drawn(frames: FaceFrames, shapes: npt.NDArray[np.float32], looks: Looks) -> Canvas:
    return canvas(sketch(frames, shapes, looks.warp.rest_width), looks)


def _studied(frames: FaceFrames, pairs: list[tuple[int, int]], looks: Looks) -> dict[str, npt.NDArray[np.generic]]:
    taught: Lesson = lesson(frames, pairs, looks.warp.rest_width, PATCH)
    drawn = canvas(taught.sketch, looks)
    return {**drawn.inputs, "TRUTH": drawn.windows(taught.truth)}
