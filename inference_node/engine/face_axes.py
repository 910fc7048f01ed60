"""A face's own axes and sizes, so that a mouth moves along the face however the head is held."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from inference_node.engine.rig import CHIN_PER_APERTURE, LOWER_INNER, UPPER_INNER

Floats = npt.NDArray[np.float64]

FRONTAL_EYES = 0.555
"""Distance between the outer corners of the eyes over the face's height, seen from the front."""

_FOREHEAD, _CHIN, _EYE_LEFT, _EYE_RIGHT, _CORNER_LEFT, _CORNER_RIGHT = 10, 152, 33, 263, 61, 291
_CLOSED = 0.009  # FaceMesh sees this aperture between closed lips
_SOFT = 0.004


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceAxes:
    """Axes and sizes of N faces, in pixels unless said otherwise."""

    right: Floats
    """Unit vector along the eyes and the mouth, towards the picture's right [N, 2]."""
    down: Floats
    """Unit vector from forehead to chin [N, 2]."""
    height: Floats
    """Forehead to chin with the mouth closed [N]."""
    eyes: Floats
    """Between the outer corners of the eyes [N]; shrinks as the head turns away."""
    aperture: Floats
    """Between the inner lips over ``height``; 0 where they touch [N]."""
    width: Floats
    """Between the mouth's corners over the distance of the eyes [N]."""

    @classmethod
    def of(cls, landmarks: npt.NDArray[np.floating]) -> Self:
        """Measure faces from FaceMesh points [N, 468, 2]."""
        points = landmarks.astype(np.float64)
        # 82-87, 13-14 and 312-317 are where an aperture is measured.
        upper = points[:, UPPER_INNER[4:7]]
        lower = points[:, LOWER_INNER[4:7]]
        tall, downwards = _split(points[:, _CHIN] - points[:, _FOREHEAD])
        eyes, along_eyes = _split(points[:, _EYE_RIGHT] - points[:, _EYE_LEFT])
        mouth, along_mouth = _split(points[:, _CORNER_RIGHT] - points[:, _CORNER_LEFT])
        seen = np.linalg.norm(lower - upper, axis=-1).mean(axis=-1) / tall
        # Soft maximum with 0: no kink as lips part.
        beyond = (seen - _CLOSED) / _SOFT
        aperture = _SOFT * np.logaddexp(0.0, beyond)
        return cls(
            right=_split(along_eyes + along_mouth)[1],
            down=downwards,
            height=tall / (1.0 + CHIN_PER_APERTURE * aperture),
            eyes=eyes,
            aperture=aperture * (1.0 + CHIN_PER_APERTURE * aperture),
            width=mouth / eyes,
        )

    def turned(self) -> Floats:
        """How much the face is narrowed by turning the head, 1 from the front [N]."""
        return np.asarray(np.clip(self.eyes / (FRONTAL_EYES * self.height), 0.4, 1.15))

    def basis(self) -> Floats:
        """Matrices [N, 2, 2] that take (right, down) in pixels along the face to (x, y)."""
        return np.stack([self.right, self.down], axis=2)


def _split(vectors: Floats) -> tuple[Floats, Floats]:
    lengths = np.maximum(np.linalg.norm(vectors, axis=-1), 1e-6)
    return lengths, vectors / lengths[..., None]
