"""The neural engine: the person's own lips, moved, and what moving cannot give taken from other looks at that mouth."""

import asyncio
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt

from inference_node.engine import painter
from inference_node.engine.canvas import Canvas, Looks, canvas, looks_of
from inference_node.engine.learning import LEAST_PAIRS, PAIRS, solve
from inference_node.engine.port import EngineCard, FaceFrames, Memory, Pixels, RenderedFrames, Tensors
from inference_node.engine.practice import lesson, pairs_of
from inference_node.engine.sketch import sketch
from inference_node.engine.warp import PATCH, patches_of, usable
from inference_node.speech.listener import Listener
from inference_node.speech.mouth import MouthTrack

_MODEL, _LEARNING = "viseme", "viseme_learn"
_BATCH = 16
_SEEN_SHARE = 0.9  # of the pairs: what only a tenth of them goes beyond was hardly seen
_LEARNT_AT_ONCE = 8
_BEYOND = 0.02
"""What was learnt of mouths is not trusted for those that open so much further."""
_NOTHING_LEARNT = np.zeros((painter.HEAD_OUTPUTS, painter.VARIABLES), dtype=np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class VisemeMemory:
    """What the engine knows of a face."""

    looks: Looks
    head: npt.NDArray[np.float32]
    """What was learnt [HEAD_OUTPUTS, VARIABLES]; zeros where there was too little to learn from."""
    reach: float = 0.0
    """Up to which aperture it was learnt."""

    def heads(self, drawn: Canvas) -> npt.NDArray[np.float32]:
        """What was learnt for each of N frames [N, HEAD_OUTPUTS, VARIABLES], less of it the wider they open beyond."""
        trust = np.clip(1.0 - (drawn.apertures - self.reach) / _BEYOND, 0.0, 1.0).astype(np.float32)
        return np.ascontiguousarray(self.head * trust[:, None, None])


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
        apertures = []
        for start in range(0, len(pairs), _LEARNT_AT_ONCE):
            part = pairs[start : start + _LEARNT_AT_ONCE]
            drawn, truth = await asyncio.to_thread(_studied, frames, part, looks)
            apertures.append(drawn.apertures)
            answer = await self._tensors.infer(_LEARNING, {**drawn.inputs, "TRUTH": truth}, painter.LEARN_OUTPUTS)
            gram += answer["GRAM"].astype(np.float64).sum(axis=0)
            right += answer["RIGHT"].astype(np.float64).sum(axis=0)
        reach = float(np.quantile(np.concatenate(apertures), _SEEN_SHARE))
        return VisemeMemory(looks=looks, head=await asyncio.to_thread(solve, gram, right), reach=reach)

    async def render(self, frames: FaceFrames, shapes: npt.NDArray[np.float32], memory: Memory) -> RenderedFrames:
        """Paint the shapes into the frames."""
        known = cast("VisemeMemory", memory)
        patches = np.ascontiguousarray(patches_of(frames.crops))
        masks = np.zeros((len(patches), 6), dtype=np.float32)
        seen = np.flatnonzero(usable(frames.landmarks))
        for start in range(0, len(seen), _BATCH):
            part = seen[start : start + _BATCH]
            drawn = await asyncio.to_thread(_drawn, frames.part(part), shapes[part], known.looks)
            inputs = {**drawn.inputs, "HEAD": known.heads(drawn)}
            answer = await self._tensors.infer(_MODEL, inputs, [painter.OUTPUT])
            patches[part], masks[part] = answer[painter.OUTPUT], drawn.masks
        return RenderedFrames(patches=patches, masks=masks)


def _drawn(frames: FaceFrames, shapes: npt.NDArray[np.float32], looks: Looks) -> Canvas:
    return canvas(sketch(frames, shapes, looks.warp.rest_width), looks)


def _studied(frames: FaceFrames, pairs: list[tuple[int, int]], looks: Looks) -> tuple[Canvas, Pixels]:
    taught = lesson(frames, pairs, looks.warp.rest_width, PATCH)
    drawn = canvas(taught.sketch, looks)
    return drawn, drawn.windows(taught.truth)
