"""Builds what the painting network is trained on from crops of faces."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from inference_node.engine.canvas import Looks, canvas, looks_of
from inference_node.engine.inside import made_up
from inference_node.engine.likeness import NOTHING
from inference_node.engine.painter import LIKENESSES
from inference_node.engine.port import FaceFrames
from inference_node.engine.practice import lesson, pairs_of
from inference_node.engine.warp import PATCH, usable
from inference_node.training.paint_net import Scene, Stage
from shared.face.mesh import GOOD_SCORE

_PART = 8
_LOOKS = 6
_WINDOW = 150
"""Frames of the references that the node has of a face (three crop segments)."""
_UNSEEN = (0.15, 0.15, 0.25)
"""How often a person was never seen wide open, half open, closed."""
_NEVER_OPEN = 0.25
"""How often neither, so that the inside of the mouth is made up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pages:
    """Warped and true windows of one face or several, N of them; see ``Scene``."""

    warped: npt.NDArray[np.uint8]
    pictures: npt.NDArray[np.uint8]
    """[N, LIKENESSES, height, width, 3]"""
    gains: npt.NDArray[np.float32]
    places: npt.NDArray[np.float16]
    shape: npt.NDArray[np.float16]
    mask: npt.NDArray[np.float16]
    told: npt.NDArray[np.float32]
    truth: npt.NDArray[np.uint8]

    def scene(self, rows: npt.NDArray[np.intp]) -> tuple[Scene, Tensor]:
        """Some of them for the network, and the truth, 0 to 1."""
        scene = Scene(
            warped=_unit(self.warped[rows]),
            pictures=torch.from_numpy(self.pictures[rows]).float().flatten(0, 1),
            gains=torch.from_numpy(self.gains[rows]),
            places=_floats(self.places[rows]),
            shape=_floats(self.shape[rows]),
            mask=_floats(self.mask[rows]),
            told=torch.from_numpy(self.told[rows]),
        )
        return scene, _unit(self.truth[rows])


def read_face(path: Path) -> FaceFrames:
    """The frames of a crop file (``faces.py``) whose landmarks lie on a face."""
    with np.load(path) as file:
        good = file["scores"] >= GOOD_SCORE
        frames = FaceFrames(crops=file["crops"][good], landmarks=file["landmarks"][good])
    return frames.part(usable(frames.landmarks))


def pages_of(frames: FaceFrames, limit: int, seed: int, *, as_seen: bool = False) -> Pages:
    """Pairs of one face; ``as_seen`` takes the looks that a node would have, else they vary."""
    rng = np.random.default_rng(seed)
    pairs = pairs_of(frames, limit)
    looks = [looks_of(frames.part(range(min(_WINDOW, len(frames.crops)))))] if as_seen else _looks(frames, rng)
    order = rng.permutation(len(pairs))
    stage, parts = Stage().eval(), []
    for start in range(0, len(order), _PART):
        chosen = [pairs[index] for index in order[start : start + _PART]]
        look = looks[int(rng.integers(len(looks)))]
        parts.append(_page(frames, chosen, look if as_seen else _forgetful(look, rng), stage))
    return joined(parts)


def joined(parts: Sequence[Pages]) -> Pages:
    """Several as one."""
    names = [field.name for field in fields(Pages)]
    return Pages(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})


def _looks(frames: FaceFrames, rng: np.random.Generator) -> list[Looks]:
    spare = max(1, len(frames.crops) - _WINDOW)
    starts = rng.integers(0, spare, _LOOKS)
    return [looks_of(frames.part(range(start, min(start + _WINDOW, len(frames.crops))))) for start in starts]


def _forgetful(looks: Looks, rng: np.random.Generator) -> Looks:
    forgets = rng.random(LIKENESSES) < _UNSEEN
    warp = looks.warp
    if rng.random() < _NEVER_OPEN:
        forgets[:2] = True
        warp = replace(warp, inside=made_up(warp.inside.tone))
    kept = tuple(NOTHING if gone else look for gone, look in zip(forgets, looks.likenesses, strict=True))
    return Looks(warp=warp, likenesses=kept)


def _page(frames: FaceFrames, pairs: Sequence[tuple[int, int]], looks: Looks, stage: Stage) -> Pages:
    taught = lesson(frames, pairs, looks.warp.rest_width, PATCH)
    drawn = canvas(taught.sketch, looks)
    with torch.no_grad():
        scene = stage({name: torch.from_numpy(value) for name, value in drawn.inputs.items()})
    truth = drawn.windows(taught.truth)
    return Pages(
        warped=_bytes(scene.warped),
        pictures=scene.pictures.numpy().reshape(len(truth), LIKENESSES, *scene.pictures.shape[1:]),
        gains=scene.gains.numpy(),
        places=scene.places.numpy().astype(np.float16),
        shape=scene.shape.numpy().astype(np.float16),
        mask=scene.mask.numpy().astype(np.float16),
        told=scene.told.numpy(),
        truth=truth.transpose(0, 3, 1, 2).copy(),
    )


def _bytes(picture: Tensor) -> npt.NDArray[np.uint8]:
    return np.asarray((picture * 255.0 + 0.5).clamp(0.0, 255.0).to(torch.uint8).numpy())


def _unit(picture: npt.NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(picture).float() / 255.0


def _floats(values: npt.NDArray[np.float16]) -> Tensor:
    return torch.from_numpy(values.astype(np.float32))
