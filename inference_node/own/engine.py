"""An engine made of a network and its card."""

import asyncio
from dataclasses import dataclass
from typing import Final, cast

import numpy as np
import numpy.typing as npt

from inference_node.engine.port import FaceFrames, Memory, Pixels, RenderedFrames, Tensors, Track
from inference_node.own import mel
from inference_node.own.card import NetworkCard
from inference_node.own.face_box import Boxes, cut_face, paste_masks, put_back, same_colour, tight_boxes, usable

FACE: Final = "FACE"
"""Tensor of the served network: faces, uint8 [N, height, width, 3] RGB."""
REFERENCE: Final = "REFERENCE"
"""The same of other frames, where the card asks for them."""
MEL: Final = "MEL"
"""Mel windows, float32 [N, rows, bands]."""
PAINTED: Final = "PAINTED"
"""What it gives: painted faces, uint8 [N, height, width, 3] RGB."""
VALUES: Final = "VALUES"
"""The same before rounding, float32, 0 to 1; for comparing."""

_EYES: Final = (33, 263)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OwnMemory:
    """What is remembered of a face: the frame that the network is shown as its reference."""

    reference: Pixels | None


class OwnEngine:
    """Runs a network of the user's own (see :class:`~inference_node.engine.port.Engine`).

    Args:
        tensors: Where it runs, as ``card.model``.
        card: What is known of it.
        digest: What tells this network from others that had its name.
    """

    def __init__(self, tensors: Tensors, card: NetworkCard, *, digest: str) -> None:
        self._tensors = tensors
        self._network = card
        self.card = card.engine_card(digest)

    async def hear(self, samples: npt.NDArray[np.float32]) -> Track:
        """Turn speech (float32, mono, 16 kHz, -1 to 1) into the rows that the network hears."""
        return await asyncio.to_thread(mel.hear, samples, self._network.speech)

    async def remember(self, frames: FaceFrames) -> OwnMemory:
        """Choose the frame that shows the face best from the front, where the network wants a reference."""
        if not self._network.wants_reference:
            return OwnMemory(reference=None)
        return OwnMemory(reference=await asyncio.to_thread(self._best, frames))

    async def render(self, frames: FaceFrames, shapes: npt.NDArray[np.float32], memory: Memory) -> RenderedFrames:
        """Paint the faces that go with windows of the speech, float32 [N, rows, bands]."""
        patch = self.card.patch
        known = cast("OwnMemory", memory)
        boxes = tight_boxes(frames.landmarks, self._network.face)
        seen = np.flatnonzero(usable(boxes))
        patches = frames.crops[:, patch.y : patch.y + patch.height, patch.x : patch.x + patch.width].copy()
        masks = np.zeros((len(patches), 6), dtype=np.float32)
        if not len(seen):
            return RenderedFrames(patches=patches, masks=masks)
        faces = await asyncio.to_thread(self._cut, frames.crops, boxes, seen)
        inputs: dict[str, npt.NDArray[np.generic]] = {FACE: faces, MEL: np.ascontiguousarray(shapes[seen])}
        if self._network.wants_reference:
            # Where nothing was learnt a frame is its own reference: the same whatever frames it comes with.
            inputs[REFERENCE] = (
                faces if known.reference is None else np.repeat(known.reference[None], len(seen), axis=0)
            )
        answer = await self._tensors.infer(self._network.model, inputs, [PAINTED])
        painted = answer[PAINTED].astype(np.uint8, copy=False)
        masks[seen] = paste_masks(boxes[seen], self._network.paste, frames.crops.shape[1])
        patches[seen] = await asyncio.to_thread(self._paste, frames.crops[seen], faces, painted, boxes[seen])
        return RenderedFrames(patches=patches, masks=masks)

    def _cut(self, crops: Pixels, boxes: Boxes, seen: npt.NDArray[np.int64]) -> Pixels:
        return np.stack([cut_face(crops[index], boxes[index], self._network.size) for index in seen])

    def _paste(self, crops: Pixels, faces: Pixels, painted: Pixels, boxes: Boxes) -> Pixels:
        rule, mask_from = self._network.paste, self._network.face.mask_from
        patches = []
        for crop, face, paint, box in zip(crops, faces, painted, boxes, strict=True):
            coloured = same_colour(paint, face, mask_from) if rule.keep_colour else paint
            patches.append(put_back(crop, coloured, box, self.card.patch))
        return np.stack(patches)

    def _best(self, frames: FaceFrames) -> Pixels | None:
        boxes = tight_boxes(frames.landmarks, self._network.face)
        good = np.flatnonzero(usable(boxes))
        if not len(good):
            return None
        left, right = (frames.landmarks[good, point] for point in _EYES)
        wide = np.linalg.norm(right - left, axis=1) / (boxes[good, 3] - boxes[good, 1])
        best = good[int(np.argmax(wide))]
        return cut_face(frames.crops[best], boxes[best], self._network.size)
