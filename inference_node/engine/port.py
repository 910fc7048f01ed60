"""What an engine promises, and what it is given to work with.

An engine turns crops of a face and a speech into patches: the part of the crop that it painted. It owns no state of a
job; everything that it returns depends on its arguments alone, so a frame rendered again is the same frame.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
Points = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Patch:
    """The rectangle of the crop that an engine returns, in pixels of the crop; all four are even."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineCard:
    """What is known of an engine without running it."""

    name: str
    summary: str
    crop_px: int
    """Side of the square crops that it takes, in pixels."""
    crop_scale: float
    """Side of the crop as a multiple of the face's height (FaceMesh 10 to 152)."""
    patch: Patch
    models: tuple[str, ...]
    """Names in Triton's model repository."""
    digest: str = ""
    """What tells it from another engine that has or had its name; empty for those that come with viseme."""

    @property
    def identity(self) -> str:
        """Equal for engines that render the same."""
        return f"{self.name}@{self.digest}"


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceFrames:
    """Consecutive frames of one face.

    ``crops`` is uint8 [N, P, P, 3] RGB; ``landmarks`` is float32 [N, 468, 2], FaceMesh points in pixels of the crop.
    """

    crops: Pixels
    landmarks: Points

    def part(self, chosen: npt.NDArray[np.bool_] | npt.NDArray[np.intp] | Sequence[int]) -> "FaceFrames":
        """Some of them."""
        return FaceFrames(crops=self.crops[chosen], landmarks=self.landmarks[chosen])


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderedFrames:
    """What an engine painted.

    ``patches`` is uint8 [N, patch.height, patch.width, 3] RGB. ``masks`` is float32 [N, 6]: centre x, centre y, half
    axis along the mouth, half axis across it (all in units of the crop's side), angle in radians clockwise, feather
    (share of the half axes). Where the half axis is 0 nothing was painted.
    """

    patches: Pixels
    masks: npt.NDArray[np.float32]


class Tensors(Protocol):
    """Where networks run: Triton, or this process where Triton cannot be had."""

    async def infer(
        self, model: str, inputs: Mapping[str, npt.NDArray[np.generic]], outputs: Sequence[str]
    ) -> dict[str, npt.NDArray[np.generic]]:
        """Run one batch (first axis of every tensor) through a network.

        Raises:
            EngineUnavailableError: the network or its server does not answer.
            DeadlineError: it took longer than it may.
        """
        ...


class Track(Protocol):
    """What an engine heard in a speech, made by :meth:`Engine.hear`."""

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        ...

    def at(self, times_s: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
        """What frames at these times are told, float32 [N, ...], for :meth:`Engine.render`."""
        ...


class Memory(Protocol):
    """What an engine remembers of one face, made by :meth:`Engine.remember`; only the engine looks inside."""


class Engine(Protocol):
    """A way to make lips speak."""

    card: EngineCard

    async def hear(self, samples: npt.NDArray[np.float32]) -> Track:
        """Turn speech (float32, mono, 16 kHz, -1 to 1) into what rendering needs of it."""
        ...

    async def remember(self, frames: FaceFrames) -> Memory:
        """Learn from reference frames of a face what rendering needs, its open mouth above all."""
        ...

    async def render(self, frames: FaceFrames, shapes: npt.NDArray[np.float32], memory: Memory) -> RenderedFrames:
        """Paint what the track says of these frames, float32 [N, ...], into them."""
        ...
