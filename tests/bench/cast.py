"""The people of the lips benchmark: whose face is dubbed, and whose lips are the truth for their own sound.

Offsets are those that the recipe of the network ``speech`` finds between sound and lips (its card names them):
where a clip's sound is more than a frame off its picture, its lips would be a wrong truth. There the sound is
shifted before anything is dubbed with it.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tests.bench.aperture import Curve, Reading, read_mouth
from tests.bench.clips import RATE, sound

MEDIA = Path(__file__).resolve().parents[3] / "shared" / "media"
LATE_S = {"v03": 0.06}
"""By how much a clip's sound comes after its picture."""
STILL = ("v06", "v07", "v11", "v13")
"""Clips with nobody who speaks to be seen."""
FACES = ("v01", "v03", "v05", "v11")
_LOUD = 1e-3


@dataclass(frozen=True, slots=True)
class Clip:
    """One video with a face; equal clips are the same file."""

    name: str
    path: Path
    late_s: float = 0.0
    speaks: bool = True
    """Whether its lips say its sound, so that they are a truth."""

    @property
    def speech(self) -> npt.NDArray[np.float32]:
        """Its sound, float32 mono 16 kHz, in time with its picture."""
        return _speech(self)

    @property
    def reading(self) -> Reading:
        """How its own mouth moves."""
        return _reading(self)

    @property
    def curve(self) -> Curve:
        """The same at 25 frames a second."""
        return self.reading.curve


def cast(folder: Path | None) -> list[Clip]:
    """The clips of a folder, or the shared ones whose faces fill enough of the picture."""
    if folder is None:
        files = [path for path in sorted(MEDIA.glob("v*.mp4")) if path.name[:3] in FACES]
        return [_clip(path.name[:3], path, LATE_S.get(path.name[:3], 0.0), path.name[:3] in STILL) for path in files]
    kinds = {".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v"}
    return [_clip(path.stem, path, 0.0, False) for path in sorted(folder.iterdir()) if path.suffix.lower() in kinds]


def _clip(name: str, path: Path, late_s: float, is_still: bool) -> Clip:
    samples = sound(path)
    loud = float(np.sqrt(np.mean(np.square(samples)))) if len(samples) else 0.0
    return Clip(name=name, path=path, late_s=late_s, speaks=not is_still and loud > _LOUD)


@cache
def _speech(clip: Clip) -> npt.NDArray[np.float32]:
    samples = sound(clip.path)
    shift = round(clip.late_s * RATE)
    if shift <= 0:
        return np.concatenate([np.zeros(-shift, np.float32), samples])
    return samples[shift:]


@cache
def _reading(clip: Clip) -> Reading:
    return read_mouth(clip.path)
