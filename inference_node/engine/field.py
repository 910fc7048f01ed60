"""Fields that lead from every pixel of the painted patch back to where it comes from, and how far they reach."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from inference_node.engine.face_axes import FaceAxes, Floats
from inference_node.engine.lips import LipMove, rows, smoothstep
from inference_node.engine.port import Patch
from inference_node.engine.rig import LOWER_INNER, LOWER_OUTER, POINTS, UPPER_INNER, UPPER_OUTER
from inference_node.engine.thin_plate import thin_plate

GRID_STEP = 8
"""Pixels between the nodes of a field."""
KNOTS = 65
"""Knots of the lip curves along the mouth."""
REACH = 0.36
"""The knots reach this far to both sides of the mouth's middle, in heights of the face."""

_CHIN = (18, 83, 313, 182, 406, 201, 421, 194, 418, 200, 199)
_PHILTRUM = (164, 167, 393)
_JAW = (152, 148, 377, 176, 400, 149, 378, 150, 379)
_ABOVE = sorted(set(range(len(POINTS))) - set(rows(LOWER_INNER[1:-1] + LOWER_OUTER[1:-1] + _CHIN)))
_BELOW = sorted(set(range(len(POINTS))) - set(rows(UPPER_INNER[1:-1] + UPPER_OUTER[1:-1] + _PHILTRUM)))

_CENTRE_DOWN, _HALF_ALONG, _HALF_ACROSS, _FEATHER = 0.10, 0.38, 0.35, 0.2
_HOLD, _RELEASE = 0.62, 0.85  # of the ellipse: the field is whole up to the first and gone from the second
_BORDER_PX = 14.0  # the field is gone at the patch's border
_THROAT = 0.2  # this far below the jaw nothing moves
_EDGE_PX = 1.3  # softness of the lips' edges
_FINE = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class MouthPlan:
    """Where every pixel of N patches comes from."""

    flows: npt.NDArray[np.float32]
    """Way back to the source in pixels [N, 4, rows, columns]: x and y above the lip line, x and y below it."""
    axes: npt.NDArray[np.float32]
    """From pixels of the patch to the mouth [N, 6]: right (1 is REACH) as x, y, 1; down (1 is a height) as x, y, 1."""
    curves: npt.NDArray[np.float32]
    """Along the mouth [N, 2, KNOTS]: lower edge of the upper lip and upper edge of the lower one, in heights."""
    ends: npt.NDArray[np.float32]
    """Where the mouth ends to the left and to the right, in reaches; softness of its edges in heights [N, 3]."""
    masks: npt.NDArray[np.float32]
    """As in ``RenderedFrames``."""


def plan_mouths(move: LipMove, axes: FaceAxes, patch: Patch, crop_px: int) -> MouthPlan:
    """Lay the fields for moved lips."""
    count = len(move.source)
    corner = np.array([patch.x, patch.y], dtype=np.float64)
    nodes = _nodes(patch)
    flows = np.zeros((count, len(nodes), 4), dtype=np.float32)
    ellipses = np.zeros((count, 6))
    for index in range(count):
        ellipse = _ellipse(move, axes, index)
        ellipses[index] = ellipse
        height = float(axes.height[index])
        places = nodes + corner
        share = _window(ellipse, places, nodes, patch)
        for half, chosen in enumerate((_ABOVE, _BELOW)):
            target, back = _anchored(move, index, chosen, axes.down[index] * height)
            field = thin_plate(target / height, back, places[share > 0] / height)
            flows[index, share > 0, 2 * half : 2 * half + 2] = field * share[share > 0, None]
    lines = [_curves(move, axes, index) for index in range(count)]
    rows_, columns = patch.height // GRID_STEP + 1, patch.width // GRID_STEP + 1
    return MouthPlan(
        flows=np.ascontiguousarray(flows.reshape(count, rows_, columns, 4).transpose(0, 3, 1, 2)),
        axes=_mouth_axes(move, axes, corner),
        curves=np.stack([curve for curve, _ in lines]),
        ends=np.stack([end for _, end in lines]),
        masks=(ellipses / np.array([crop_px, crop_px, crop_px, crop_px, 1.0, 1.0])).astype(np.float32),
    )


def _nodes(patch: Patch) -> Floats:
    down, right = np.mgrid[0 : patch.height + 1 : GRID_STEP, 0 : patch.width + 1 : GRID_STEP]
    return np.stack([right.ravel(), down.ravel()], axis=1).astype(np.float64)


def _ellipse(move: LipMove, axes: FaceAxes, index: int) -> Floats:
    height, turned = axes.height[index], axes.turned()[index]
    centre = move.origin[index] + axes.down[index] * height * _CENTRE_DOWN
    angle = np.arctan2(axes.right[index, 1], axes.right[index, 0])
    along = _HALF_ALONG * height * max(turned, 0.75)
    return np.array([centre[0], centre[1], along, _HALF_ACROSS * height, angle, _FEATHER])


def _window(ellipse: Floats, places: Floats, nodes: Floats, patch: Patch) -> Floats:
    away = places - ellipse[:2]
    cosine, sine = np.cos(ellipse[4]), np.sin(ellipse[4])
    along = (away[:, 0] * cosine + away[:, 1] * sine) / ellipse[2]
    across = (away[:, 1] * cosine - away[:, 0] * sine) / ellipse[3]
    inside = 1.0 - smoothstep(_HOLD, _RELEASE, np.hypot(along, across))
    border = np.minimum(nodes, np.array([patch.width, patch.height]) - nodes).min(axis=1)
    return np.asarray(inside * smoothstep(0.0, _BORDER_PX, border))


def _anchored(move: LipMove, index: int, chosen: list[int], tall: Floats) -> tuple[Floats, Floats]:
    """Target points and the way back from them; the throat is held, or the spline would swing there."""
    source, target = move.source[index], move.target[index]
    throat = source[rows(_JAW)] + tall * _THROAT
    points = np.concatenate([target[chosen], throat])
    return points, np.concatenate([source[chosen], throat]) - points


def _mouth_axes(move: LipMove, axes: FaceAxes, corner: Floats) -> npt.NDArray[np.float32]:
    across = np.linalg.inv(axes.basis()) / axes.height[:, None, None]
    across[:, 0] /= REACH
    offset = np.einsum("nij,nj->ni", across, corner - move.origin)
    return np.concatenate([across, offset[:, :, None]], axis=2).reshape(-1, 6).astype(np.float32)


def _curves(move: LipMove, axes: FaceAxes, index: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    lines = np.stack([move.upper_line[index], move.lower_line[index]])
    curves, ends = _along(lines, move, axes, index)
    softness = _EDGE_PX / axes.height[index]
    return curves, np.array([*ends, softness], dtype=np.float32)


def curves_of(move: LipMove, axes: FaceAxes) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """The edges of both lips along the mouth after the move, and where the mouth ends.

    Returns:
        float32 [N, 4, KNOTS]: outer and inner edge of the upper lip, inner and outer edge of the lower one, in heights
        below the closed lip line; float32 [N, 2]: the ends to the left and to the right, in reaches.
    """
    lines = move.target[:, [rows(line) for line in (UPPER_OUTER, UPPER_INNER, LOWER_INNER, LOWER_OUTER)]]
    found = [_along(lines[index], move, axes, index, ends_of=1) for index in range(len(lines))]
    return np.stack([curves for curves, _ in found]), np.stack([ends for _, ends in found])


def _along(
    lines: Floats, move: LipMove, axes: FaceAxes, index: int, *, ends_of: int = 0
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Lines of 11 points [K, 11, 2] as depths over the mouth's length [K, KNOTS], and the ends of one of them."""
    inverse = np.linalg.inv(axes.basis()[index]) / axes.height[index]
    knots = np.linspace(-REACH, REACH, KNOTS)
    placed = (lines - move.origin[index]) @ inverse.T
    curves = []
    for line in placed:
        right, down = (_SPLINE @ line).T
        curves.append(np.interp(knots, np.maximum.accumulate(right + 1e-9 * np.arange(len(right))), down))
    ends = placed[ends_of][[0, -1], 0] / REACH
    return np.stack(curves).astype(np.float32), ends.astype(np.float32)


def _spline_matrix(count: int) -> Floats:
    """Catmull-Rom through ``count`` points as a matrix."""
    padded = np.zeros((count + 2, count))
    padded[1:-1] = np.eye(count)
    padded[0] = 2 * padded[1] - padded[2]
    padded[-1] = 2 * padded[-2] - padded[-3]
    places = np.linspace(0.0, count - 1.0, (count - 1) * _FINE + 1)
    first = np.minimum(places.astype(int), count - 2)
    part = (places - first)[:, None]
    before, start, end, after = (padded[first + shift] for shift in range(4))
    return np.asarray(
        start
        + 0.5
        * part
        * (
            end
            - before
            + part * (2 * before - 5 * start + 4 * end - after + part * (3 * (start - end) + after - before))
        )
    )


_SPLINE = _spline_matrix(len(UPPER_INNER))
