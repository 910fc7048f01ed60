import numpy as np
import numpy.typing as npt
import pytest

from inference_node.engine.face_axes import FaceAxes
from inference_node.engine.field import plan_mouths
from inference_node.engine.lips import LipMove, move_lips
from inference_node.engine.port import Patch
from inference_node.engine.rig import LOWER_OUTER, PER_APERTURE, POINTS, UPPER_OUTER
from tests.mean_face import MEAN_FACE

_FACE = MEAN_FACE.astype(np.float64)
_PATCH = Patch(x=56, y=128, width=208, height=176)


def _face(aperture: float = 0.0, roll: float = 0.0) -> npt.NDArray[np.float64]:
    points = _FACE.copy()
    points[POINTS] += PER_APERTURE * aperture * 197.0
    turn = np.array([[np.cos(roll), -np.sin(roll)], [np.sin(roll), np.cos(roll)]])
    return ((points - 160.0) @ turn.T + 160.0)[None]


def _moved(points: npt.NDArray[np.float64], *shape: float) -> tuple[LipMove, FaceAxes]:
    axes = FaceAxes.of(points)
    return move_lips(points, axes, np.array([shape]), float(axes.width[0]), np.zeros((1, 2, 9))), axes


def _gap(move: LipMove) -> float:
    return float(np.linalg.norm(move.lower_line[0, 4:7] - move.upper_line[0, 4:7], axis=1).mean())


@pytest.mark.parametrize("own", [0.0, 0.05, 0.12])
@pytest.mark.parametrize("roll", [0.0, 0.4])
def test_lips_meet_when_closing_is_asked_however_wide_they_were(own: float, roll: float) -> None:
    move, _ = _moved(_face(own, roll), 0.0, 0.0, 0.0, 0.0)
    assert _gap(move) < 0.01


@pytest.mark.parametrize("own", [0.0, 0.05, 0.12])
@pytest.mark.parametrize("asked", [0.02, 0.06, 0.1])
def test_the_opening_is_what_is_asked_whatever_it_was(own: float, asked: float) -> None:
    move, axes = _moved(_face(own), asked, 0.0, 0.0, 0.0)
    assert _gap(move) / float(axes.height[0]) == pytest.approx(asked, rel=0.25)


def test_the_upper_lip_stays_and_the_chin_follows_the_lower_one() -> None:
    shut, _ = _moved(_face(), 0.0, 0.0, 0.0, 0.0)
    wide, _ = _moved(_face(), 0.1, 0.0, 0.0, 0.0)
    went = wide.target[0, :, 1] - shut.target[0, :, 1]
    place = {int(point): row for row, point in enumerate(POINTS)}
    assert abs(went[place[13]]) < 2.0
    assert went[place[14]] > went[place[152]] > 5.0
    assert abs(went[place[2]]) < 0.5


def test_width_moves_the_corners_apart_and_together() -> None:
    widths = []
    for asked in (-0.2, 0.0, 0.2):
        move, _ = _moved(_face(), 0.03, asked, 0.0, 0.0)
        widths.append(float(np.linalg.norm(move.upper_line[0, -1] - move.upper_line[0, 0])))
    assert widths[0] < 0.88 * widths[1]
    assert widths[2] > 1.12 * widths[1]


def test_pressed_lips_are_thinner_and_rounded_ones_thicker() -> None:
    def thickness(rounding: float, press: float) -> float:
        move, _ = _moved(_face(), 0.0, 0.0, rounding, press)
        rows = {int(point): row for row, point in enumerate(POINTS)}
        upper, lower = move.target[0, rows[UPPER_OUTER[5]]], move.target[0, rows[LOWER_OUTER[5]]]
        return float(np.linalg.norm(lower - upper))

    assert thickness(0.0, 1.0) < thickness(0.0, 0.0) < thickness(1.0, 0.0)


def test_the_field_is_still_at_the_patchs_border_and_moves_within() -> None:
    move, axes = _moved(_face(), 0.1, 0.0, 0.0, 0.0)
    plan = plan_mouths(move, axes, _PATCH, 320)
    flow = plan.flows[0]
    assert np.abs(flow[2:]).max() > 10.0
    for edge in (flow[:, 0], flow[:, -1], flow[:, :, 0], flow[:, :, -1]):
        assert not edge.any()


def test_the_mask_leans_with_the_head() -> None:
    straight, axes = _moved(_face(), 0.05, 0.0, 0.0, 0.0)
    tilted, tilted_axes = _moved(_face(roll=0.3), 0.05, 0.0, 0.0, 0.0)
    upright = plan_mouths(straight, axes, _PATCH, 320).masks[0]
    leaning = plan_mouths(tilted, tilted_axes, _PATCH, 320).masks[0]
    assert leaning[4] - upright[4] == pytest.approx(0.3, abs=0.02)
    assert leaning[2] == pytest.approx(upright[2], rel=0.02)


def test_the_opening_grows_without_a_jump() -> None:
    gaps = [_gap(_moved(_face(own), 0.05, 0.0, 0.0, 0.0)[0]) for own in np.linspace(0.0, 0.12, 61)]
    assert np.abs(np.diff(gaps)).max() < 0.3
