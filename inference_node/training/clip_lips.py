"""A clip of somebody who speaks, as the fit of the opening wants it: the sound, and how far the lips are apart.

The face is sought once by laying the mesh on squares all over the first pictures, and followed from there; the clip
must show one person whose lips say its sound.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from inference_node.speech.features import SAMPLE_RATE
from shared.errors import InvalidMediaError
from shared.face.mesh import FaceMesh, Mesh, Roi, face_height, roi_from_points
from shared.face.smooth import smooth
from shared.media.audio import open_sound
from shared.media.limits import MediaLimits
from shared.media.planes import planes_to_rgb
from shared.media.video import FrameReader

_UPPER, _LOWER = (82, 13, 312), (87, 14, 317)
_SURE, _STILL_SURE = 0.8, 0.3
_SEEK_SHARES = (1.0, 0.6, 0.35)
"""Sides of the squares in which a face is sought, as shares of the picture's short side."""
_SEEN_SHARE = 0.9

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipLips:
    """``samples`` is float32 mono 16 kHz; ``times`` [N] in seconds and ``apertures`` [N] are of the pictures."""

    name: str
    samples: npt.NDArray[np.float32]
    times: npt.NDArray[np.float64]
    apertures: npt.NDArray[np.float64]


def read_clip(path: Path) -> ClipLips:
    """Decode a clip and read its lips.

    Raises:
        InvalidMediaError: it is no video, holds no sound, or shows no face in a tenth of its pictures.
    """
    limits = MediaLimits()
    with open_sound(path, limits, "clip") as sound:
        samples = np.concatenate([block[0] for block in sound.blocks(rate=SAMPLE_RATE, channels=1)])
    mesh, roi = FaceMesh(), None
    times: list[float] = []
    found: list[npt.NDArray[np.float32]] = []
    count = 0
    with FrameReader(path, limits) as reader:
        for frame in reader:
            count += 1
            rgb = planes_to_rgb(frame.planes, reader.source.matrix, full_range=reader.source.full_range)
            seen = _followed(mesh, rgb, roi) or (_sought(mesh, rgb) if not found or roi is None else None)
            roi = None if seen is None else roi_from_points(seen.points)
            if seen is not None:
                times.append(frame.time_us / 1e6)
                found.append(seen.points[:, :2])
    if len(found) < _SEEN_SHARE * count or not found:
        raise InvalidMediaError(f"{path.name} shows a face in {len(found)} of {count} pictures", field="clip")
    points = smooth(np.stack(found).astype(np.float32))
    gaps = np.linalg.norm(points[:, _UPPER] - points[:, _LOWER], axis=-1).mean(axis=1)
    return ClipLips(
        name=path.stem,
        samples=samples.astype(np.float32),
        times=np.array(times),
        apertures=np.asarray(gaps / face_height(points), dtype=np.float64),
    )


def _followed(mesh: FaceMesh, rgb: Pixels, roi: Roi | None) -> Mesh | None:
    if roi is None:
        return None
    seen = mesh.landmarks(rgb, roi)
    return seen if seen.score >= _STILL_SURE else None


def _sought(mesh: FaceMesh, rgb: Pixels) -> Mesh | None:
    """The surest face anywhere, looked at twice."""
    height, width = rgb.shape[:2]
    best: Mesh | None = None
    for share in _SEEK_SHARES:
        side = share * min(height, width)
        for y in np.arange(side / 2, height - side / 2 + 1, side / 3):
            for x in np.arange(side / 2, width - side / 2 + 1, side / 3):
                seen = mesh.landmarks(rgb, Roi(x=float(x), y=float(y), side=side))
                if seen.score < _STILL_SURE:
                    continue
                again = mesh.landmarks(rgb, roi_from_points(seen.points))
                if again.score >= _SURE and (best is None or again.score > best.score):
                    best = again
        if best is not None:
            return best
    return None
