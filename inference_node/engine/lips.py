"""Where the lips of a frame are, and where the asked shape wants them."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from inference_node.engine.face_axes import FaceAxes, Floats
from inference_node.engine.rig import (
    CHIN_PER_APERTURE,
    LOWER_INNER,
    LOWER_OUTER,
    PER_APERTURE,
    PER_WIDTH,
    POINTS,
    UPPER_INNER,
    UPPER_OUTER,
)
from inference_node.speech.mouth import Shape

PLACES = {int(point): row for row, point in enumerate(POINTS)}
"""FaceMesh point to row of the arrays of a :class:`LipMove`."""


def rows(points: tuple[int, ...]) -> list[int]:
    """Rows of FaceMesh points."""
    return [PLACES[point] for point in points]


_UPPER_OUTER, _UPPER_INNER, _LOWER_INNER, _LOWER_OUTER = map(rows, (UPPER_OUTER, UPPER_INNER, LOWER_INNER, LOWER_OUTER))
_LIPS = ((_UPPER_OUTER, _UPPER_INNER), (_LOWER_OUTER, _LOWER_INNER))
_TAPER = 1.0 - np.linspace(-1.0, 1.0, 11)[1:-1] ** 4
_ARCH = np.sqrt(1.0 - np.linspace(-1.0, 1.0, 11) ** 2)

_FREE, _WIDEST = 0.08, 0.13  # openings up to the first are taken as they are; none exceeds the second
_GAIN = 1.08  # FaceMesh sees a little less of an opening than was made
_CLOSED_EACH = 0.0045  # FaceMesh puts the inner lines of closed lips so far into each lip
_INSET = 0.004  # where lips are open, stay so far inside them: no rim of teeth comes along
_INSET_PARTED = 0.003
_PARTED = 0.012  # from here on what lies beyond the inner line is believed to be teeth or dark
_WIDTH_FOLLOWED = 0.85  # the rest of the frame's own width stays: it may be a smile
_ROUND_NARROWS = 0.06
_ROUND_THICKENS = 0.12
_GATHERS = 1.2  # per unit of aperture: lips are stretched thin by opening
_PRESS_THINS = 0.18
_PRESS_HIDES = 0.15
_STEADY = 0.7  # the upper lip tells better than the lower one where the lips meet
_LOWER_OPENING = float(PER_APERTURE[PLACES[14], 1])


@dataclass(frozen=True, slots=True, kw_only=True)
class LipMove:
    """Points of N faces before and after, rows as in ``rig.POINTS``, in pixels [N, K, 2]."""

    source: Floats
    target: Floats
    origin: Floats
    """Middle of the closed lip line [N, 2]; it stays where it is while the mouth opens."""
    aperture: Floats
    """What the mouth opens to, over the height with the mouth closed [N]."""

    @property
    def upper_line(self) -> Floats:
        """The upper lip's lower edge after the move [N, 11, 2]."""
        return self.target[:, _UPPER_INNER]

    @property
    def lower_line(self) -> Floats:
        """The lower lip's upper edge after the move [N, 11, 2]."""
        return self.target[:, _LOWER_INNER]


def jaw_drop(aperture: Floats) -> Floats:
    """How far the lower teeth sink with the aperture, in heights."""
    return aperture * _LOWER_OPENING


def openness(aperture: Floats) -> Floats:
    """0 for lips that touch, 1 for lips that are clearly apart."""
    return smoothstep(0.0, 0.03, aperture)


def smoothstep(low: float, high: float, value: Floats) -> Floats:
    """0 below, 1 above, smooth between."""
    part = np.clip((value - low) / (high - low), 0.0, 1.0)
    return np.asarray(part * part * (3.0 - 2.0 * part))


def move_lips(
    landmarks: npt.NDArray[np.floating],
    axes: FaceAxes,
    shapes: npt.NDArray[np.floating],
    rest_width: float,
    beyond: Floats,
) -> LipMove:
    """Move the lips of frames (FaceMesh points [N, 468, 2]) to the asked shapes [N, 4].

    ``rest_width`` is the person's ``FaceAxes.width`` at rest; ``beyond`` [N, 2, 9] is the share of each lip that is no
    lip (``lip_edges.beyond_inner_line``). The frame's own aperture is taken away first: an open mouth closes when that
    is asked.
    """
    asked = _asked(shapes, axes, rest_width)
    frame = np.stack([axes.right * (axes.height * axes.turned())[:, None], axes.down * axes.height[:, None]], axis=2)
    centre = landmarks[:, [13, 14]].astype(np.float64).mean(axis=1)
    points = _solve(frame, landmarks[:, POINTS].astype(np.float64) - centre[:, None])
    target = points + PER_WIDTH * asked.widening[:, None, None] - PER_APERTURE * axes.aperture[:, None, None]
    _close(target)
    line = target[:, _UPPER_INNER[5]].copy()
    target += _opening(asked, axes)
    _thicken(target, axes, asked)
    return LipMove(
        source=_apply(frame, _taken_from(points, axes, asked, beyond)) + centre[:, None],
        target=_apply(frame, target) + centre[:, None],
        origin=_apply(frame, line[:, None])[:, 0] + centre,
        aperture=asked.opening,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """The asked shapes in this module's terms, all [N]."""

    opening: Floats
    widening: Floats
    rounding: Floats
    press: Floats


def _asked(shapes: npt.NDArray[np.floating], axes: FaceAxes, rest_width: float) -> _Asked:
    columns = shapes.astype(np.float64)
    opening = _bounded(_GAIN * np.maximum(columns[:, Shape.APERTURE], 0.0))
    rounding = np.clip(columns[:, Shape.ROUNDING], 0.0, 1.0)
    own = np.clip(axes.width / rest_width - 1.0, -0.4, 0.4)
    spare = 1.0 - 0.7 * openness(axes.aperture)  # lips that were open have little thickness to press
    return _Asked(
        opening=opening * (1.0 + CHIN_PER_APERTURE * opening),
        widening=np.clip(columns[:, Shape.WIDTH], -0.4, 0.3) - _WIDTH_FOLLOWED * own - _ROUND_NARROWS * rounding,
        rounding=rounding,
        press=np.clip(columns[:, Shape.PRESS], 0.0, 1.0) * spare,
    )


def _bounded(opening: Floats) -> Floats:
    """Bend wide openings towards the widest that a warp can make believable."""
    room = _WIDEST - _FREE
    return np.asarray(np.minimum(opening, _FREE) + room * (1.0 - np.exp(-np.maximum(opening - _FREE, 0.0) / room)))


def _thicken(target: Floats, axes: FaceAxes, asked: _Asked) -> None:
    gathered = np.clip(_GATHERS * (axes.aperture - asked.opening), -0.1, 0.2)
    thicker = (1.0 + _ROUND_THICKENS * asked.rounding - _PRESS_THINS * asked.press + gathered)[:, None]
    for outer, inner in _LIPS:
        edge = target[:, inner[1:-1], 1]
        target[:, outer[1:-1], 1] = edge + (target[:, outer[1:-1], 1] - edge) * thicker


def _taken_from(points: Floats, axes: FaceAxes, asked: _Asked, beyond: Floats) -> Floats:
    """Where the moved points take their pixels from: the lips' edges a little inside what FaceMesh calls lip."""
    source = points.copy()
    inset = _inset(points, openness(axes.aperture), openness(asked.opening))[:, None] * _TAPER
    believed = beyond * smoothstep(0.0, _PARTED, axes.aperture)[:, None, None]
    for side, (outer, inner) in enumerate(_LIPS):
        lip = points[:, outer[1:-1], 1] - points[:, inner[1:-1], 1]
        hidden = _PRESS_HIDES * asked.press[:, None] + believed[:, side]
        source[:, inner[1:-1], 1] += np.sign(lip) * inset + hidden * lip
    return source


def _solve(frame: Floats, vectors: Floats) -> Floats:
    return np.asarray(np.einsum("nij,nkj->nki", np.linalg.inv(frame), vectors))


def _apply(frame: Floats, vectors: Floats) -> Floats:
    return np.asarray(np.einsum("nij,nkj->nki", frame, vectors))


def _close(points: Floats) -> None:
    """Bring both inner lines onto the line between them; the rest of each lip follows."""
    between = _STEADY * points[:, _UPPER_INNER] + (1.0 - _STEADY) * points[:, _LOWER_INNER]
    for outer, inner in _LIPS:
        points[:, outer[1:-1]] += 0.8 * (between - points[:, inner])[:, 1:-1]
        points[:, inner] = between


def _opening(asked: _Asked, axes: FaceAxes) -> Floats:
    """What the aperture adds to every point [N, K, 2]; rounded and wide open lips open as an arch."""
    facing = smoothstep(0.8, 0.95, axes.turned())  # aside, the far half of an arch would break the cheek
    arched = np.maximum(0.7 * asked.rounding, 0.5 * facing * smoothstep(0.05, 0.12, asked.opening))[:, None]
    added = PER_APERTURE * asked.opening[:, None, None]
    for inner in (_UPPER_INNER, _LOWER_INNER):
        plain = added[:, inner, 1]
        corner, middle = plain[:, :1], plain[:, 5:6]
        arch = corner + (middle - corner) * _ARCH
        added[:, inner, 1] = plain + arched * (arch - plain)
    return np.asarray(added)


def _inset(points: Floats, was_open: Floats, opens: Floats) -> Floats:
    """How far into each lip its edge is taken from, in heights [N].

    Lips that touch and go on touching keep the dark line between them; lips that part must not take it along, and lips
    that were open must not bring teeth.
    """
    gap = np.abs(points[:, _LOWER_INNER[4:7], 1] - points[:, _UPPER_INNER[4:7], 1]).mean(axis=1)
    towards = np.minimum(_CLOSED_EACH, gap / 2.0)
    touching = _INSET_PARTED * opens - (1.0 - opens) * towards
    return np.asarray(was_open * _INSET + (1.0 - was_open) * touching)
