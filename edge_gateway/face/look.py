"""What a face looks like, as far as one must know to tell two people of one video apart.

A look is small and needs no network: the picture of brow, eyes and nose, turned upright and freed of its lighting; the
colour of the skin; and the shape of the rigid parts of the mesh in space, which does not depend on how the head is
turned. The scales of :func:`difference` were found on seven people, each against their own looks and those of the
others: brighter, in warmer light and in haze 90 to 98 % of the same person's are below :data:`SURE`, and all of the
others' above it (1.27 the nearest of all, 1.45 the nearest but 1 %).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from weakref import WeakKeyDictionary

import cv2
import numpy as np
import numpy.typing as npt

from edge_gateway.face.view import View
from shared.face.mesh import INPUT_PX, Points, roi_from_points

SURE: Final = 1.2
"""Looks that differ by less than this are one person's."""
LIKELY: Final = 1.5
"""Below this they are one person's where something else speaks for it, such as the place."""
STRANGE: Final = 1.7
"""Looks that differ by more than this are two people's, or one is no look at a face at all."""

_PATCH_PX: Final = 24
_ROWS: Final = slice(3, 17)
_COLUMNS: Final = slice(4, 20)
"""The part of the patch that holds brow, eyes and nose; speech moves what lies below."""
_LIGHT_PX: Final = 6.0
"""Differences of brightness wider than this (one sigma, in pixels of the patch) are the light's."""
_LUMA: Final = np.array([0.299, 0.587, 0.114], np.float32)
_PATCH_SCALE: Final = 0.2
_COLOUR_SCALE: Final = 0.02
_MOST_COLOUR: Final = 0.5
"""What the colour says at most: another lamp changes it, too."""
_SHAPE_SCALE: Final = 0.06
_MOST_TURN: Final = 0.55
"""Of faces that turn further (share by which the nose leaves the middle) the mesh guesses one half."""
_KEPT: Final = 10
_NEWS: Final = 0.6
"""A look that differs by more than this from those that are kept is kept as well."""

# Points that neither speech nor blinking moves: the outline down to the ears, brow, corners of the eyes, nose.
_SHAPE: Final = (
    *(10, 338, 297, 332, 284, 251, 389, 356, 454, 234, 127, 162, 21, 54, 103, 67, 109),
    *(33, 133, 362, 263, 168, 6, 197, 195, 5, 4, 1, 2, 98, 327, 129, 358, 50, 280, 9, 8),
)
_LEFT_CHEEK, _RIGHT_CHEEK, _NOSE = 234, 454, 4


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Look:
    """One look at a face.

    ``patch`` is float32 [n], of mean 0 and deviation 1 at most; ``colour`` float32 [2], the shares of red and blue in
    the skin; ``shape`` float32 [len, 3], centred, of mean square radius 1.
    """

    patch: Points
    colour: Points
    shape: Points

    @classmethod
    def of(cls, view: View, points: Points) -> "Look | None":
        """Look at a face whose points are known ([468, 3]); None where it is turned too far to tell."""
        if abs(turn_of(points)) > _MOST_TURN:
            return None
        small = cv2.resize(
            view.cut(roi_from_points(points), INPUT_PX), (_PATCH_PX, _PATCH_PX), interpolation=cv2.INTER_AREA
        )
        part = small[_ROWS, _COLUMNS]
        total = part.sum(axis=-1) + 1e-3
        colour = np.array([(part[..., 0] / total).mean(), (part[..., 2] / total).mean()], np.float32)
        rigid = points[list(_SHAPE)].astype(np.float64)
        rigid -= rigid.mean(axis=0)
        rigid /= np.sqrt(np.square(rigid).sum(axis=1).mean()) + 1e-9
        return cls(patch=_without_light(part @ _LUMA), colour=colour, shape=rigid.astype(np.float32))


def turn_of(points: Points) -> float:
    """How far a face is turned to a side: 0 from the front, -1 or 1 where the nose covers a cheek's edge."""
    left, right, nose = (points[index, :2].astype(np.float64) for index in (_LEFT_CHEEK, _RIGHT_CHEEK, _NOSE))
    across = right - left
    along = float((nose - left) @ across / (across @ across + 1e-9))
    return 2 * along - 1


def glimpse(cut: Points) -> Points:
    """The patch of a look, of what the mesh was shown (float32 [INPUT_PX, INPUT_PX, 3]); two in a row are compared."""
    small = cv2.resize(cut, (_PATCH_PX, _PATCH_PX), interpolation=cv2.INTER_AREA)
    return _without_light(small[_ROWS, _COLUMNS] @ _LUMA)


def likeness(one: Points, other: Points) -> float:
    """How alike two patches are: 1 for the same, 0 for nothing in common."""
    return float((one * other).mean())


def difference(one: Look, other: Look) -> float:
    """How much two looks differ; see :data:`SURE`."""
    patch = (1 - likeness(one.patch, other.patch)) / _PATCH_SCALE
    colour = min(float(np.linalg.norm(one.colour - other.colour)) / _COLOUR_SCALE, _MOST_COLOUR)
    shape = _shape_difference(one.shape, other.shape) / _SHAPE_SCALE
    return float(np.sqrt(patch**2 + colour**2 + shape**2))


class Looks:
    """The looks of one person, those that differ; at most ten."""

    def __init__(self) -> None:
        self._kept: list[Look] = []
        # Asked for in every frame, while looks are added now and then.
        self._apart: WeakKeyDictionary[Looks, tuple[tuple[int, int], float]] = WeakKeyDictionary()

    def __len__(self) -> int:
        return len(self._kept)

    def __iter__(self) -> Iterator[Look]:
        return iter(self._kept)

    def add(self, look: Look) -> None:
        """Remember a look if it tells something new."""
        if len(self._kept) < _KEPT and self.difference(look) > _NEWS:
            self._kept.append(look)

    def take(self, others: "Looks") -> None:
        """Remember those of the same person's other looks that tell something new."""
        for look in others:
            self.add(look)

    def difference(self, look: Look) -> float:
        """How much a look differs from the one of these that is most like it; infinity where there is none."""
        return min((difference(known, look) for known in self._kept), default=float("inf"))

    def apart(self, others: "Looks") -> float:
        """How much others differ from these, in the median over their looks; infinity where there are none."""
        sizes = len(self), len(others)
        known = self._apart.get(others)
        if known is None or known[0] != sizes:
            told = sorted(self.difference(look) for look in others)
            known = self._apart[others] = sizes, told[(len(told) - 1) // 2] if told else float("inf")
        return known[1]


def _without_light(luma: Points) -> Points:
    flat = luma - cv2.GaussianBlur(luma, (0, 0), _LIGHT_PX)
    flat -= flat.mean()
    plain: Points = (flat / (flat.std() + 0.01)).astype(np.float32).ravel()
    return plain


def _shape_difference(one: Points, other: Points) -> float:
    """Mean distance of the points of two shapes after the best turn (Kabsch), in units of their radius."""
    u, _, v = np.linalg.svd(one.T.astype(np.float64) @ other.astype(np.float64))
    mirror = np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ v))])
    turned: npt.NDArray[np.float64] = one @ (u @ mirror @ v)
    return float(np.sqrt(np.square(turned - other).sum(axis=1).mean()))
