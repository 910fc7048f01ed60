"""What the painting networks are given of frames, whoever asks: rendering, learning a face, training."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from inference_node.engine.face_axes import FaceAxes
from inference_node.engine.field import curves_of, plan_mouths
from inference_node.engine.likeness import NOTHING, Likeness, likeness
from inference_node.engine.painter import LIKENESSES, WINDOW_HEIGHT, WINDOW_WIDTH
from inference_node.engine.port import FaceFrames, Pixels
from inference_node.engine.sketch import Sketch
from inference_node.engine.warp import (
    OPEN_ENOUGH,
    PATCH,
    WIDE_ENOUGH,
    WarpMemory,
    clearness,
    learn,
    skin_tones,
    usable,
    warp_inputs,
)
from inference_node.speech.mouth import Shape

_ASKED_SCALE = np.float32(10.0)
_BELOW = 0.06
"""The window's middle lies so many heights below the closed lip line."""
_SHUT = 0.012
"""A mouth that is open no further is a closed one."""
_HALF, _HALF_SPREAD, _HALF_REACH = 0.055, 0.02, 0.025
"""The aperture at which a mouth is half open, and how near to it counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Looks:
    """What is remembered of a face before anything is learnt."""

    warp: WarpMemory
    likenesses: tuple[Likeness, ...]
    """The mouth wide open, half open and closed; ``NOTHING`` for what was never seen."""


def looks_of(frames: FaceFrames) -> Looks:
    """Remember a face from reference frames."""
    warp = learn(frames)
    seen = usable(frames.landmarks)
    if not seen.any():
        return Looks(warp=warp, likenesses=(NOTHING,) * LIKENESSES)
    frames = frames.part(seen)
    axes = FaceAxes.of(frames.landmarks)
    clear, aperture = clearness(frames, axes), axes.aperture
    kinds = (
        (np.minimum(aperture, WIDE_ENOUGH) / WIDE_ENOUGH, aperture >= OPEN_ENOUGH),
        (np.exp(-np.square((aperture - _HALF) / _HALF_SPREAD)), np.abs(aperture - _HALF) <= _HALF_REACH),
        (np.ones(len(aperture)), aperture <= _SHUT),
    )
    found = []
    for worth, is_so in kinds:
        best = int(np.argmax(np.where(is_so, worth * clear, -1.0)))
        found.append(likeness(frames, best, warp.rest_width) if is_so[best] else NOTHING)
    return Looks(warp=warp, likenesses=tuple(found))


@dataclass(frozen=True, slots=True, kw_only=True)
class Canvas:
    """N frames, ready for the network."""

    inputs: dict[str, npt.NDArray[np.generic]]
    """All tensors but ``HEAD``."""
    masks: npt.NDArray[np.float32]
    """As in ``RenderedFrames``."""

    @property
    def apertures(self) -> npt.NDArray[np.float32]:
        """What each mouth opens to, over the face's height [N]."""
        return self.inputs["ASKED"][:, 0].astype(np.float32) / _ASKED_SCALE

    def windows(self, patches: Pixels) -> Pixels:
        """The windows of patches [N, WINDOW_HEIGHT, WINDOW_WIDTH, 3]."""
        corners = self.inputs["CORNER"].astype(np.intp)
        return np.stack(
            [
                patch[top : top + WINDOW_HEIGHT, left : left + WINDOW_WIDTH]
                for patch, (left, top) in zip(patches, corners, strict=True)
            ]
        )


def canvas(drawn: Sketch, looks: Looks) -> Canvas:
    """Prepare frames whose lips are laid out."""
    axes, move, shapes = drawn.axes, drawn.move, drawn.shapes
    plan = plan_mouths(move, axes, PATCH, drawn.frames.crops.shape[1])
    outlines, ends = curves_of(move, axes)
    numbers = (
        _ASKED_SCALE * move.aperture,
        2.0 * shapes[:, Shape.WIDTH],
        _ASKED_SCALE * axes.aperture,
        axes.turned() - 1.0,
    )
    own = {
        "CORNER": _corners(drawn),
        "LINES": np.concatenate([outlines, *(look.laid_along(ends) for look in looks.likenesses)], axis=1),
        "ASKED": np.concatenate([np.stack(numbers, axis=1), ends], axis=1).astype(np.float32),
    }
    return Canvas(inputs=warp_inputs(drawn, plan, looks.warp) | own | _references(drawn, looks), masks=plan.masks)


def _corners(drawn: Sketch) -> npt.NDArray[np.float32]:
    """Where the window lies in the patch, on whole and even pixels."""
    middle = drawn.move.origin + drawn.axes.down * (drawn.axes.height * _BELOW)[:, None] - (PATCH.x, PATCH.y)
    corner = 2.0 * np.rint((middle - (WINDOW_WIDTH / 2, WINDOW_HEIGHT / 2)) / 2.0)
    most = (PATCH.width - WINDOW_WIDTH, PATCH.height - WINDOW_HEIGHT)
    return np.clip(corner, 0.0, most).astype(np.float32)


def _references(drawn: Sketch, looks: Looks) -> dict[str, npt.NDArray[np.generic]]:
    them, count = looks.likenesses, len(drawn.frames.crops)
    tones = skin_tones(drawn.frames)
    return {
        "REF_PICTURES": np.repeat(np.stack([look.picture for look in them])[None], count, axis=0),
        "REF_NUMBERS": np.stack([look.numbers(tones) for look in them], axis=1),
    }
