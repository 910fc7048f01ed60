import numpy as np
import numpy.typing as npt

from inference_node.engine.lip_edges import beyond_inner_line
from inference_node.engine.rig import LOWER_INNER, LOWER_OUTER, UPPER_INNER, UPPER_OUTER

_SKIN, _LIP, _TEETH, _DARK = (200, 160, 140), (175, 85, 85), (225, 215, 205), (35, 15, 15)


def _landmarks() -> npt.NDArray[np.float32]:
    points = np.zeros((468, 2), dtype=np.float32)
    right = np.linspace(40.0, 120.0, 11)
    for line, down in ((UPPER_OUTER, 40.0), (UPPER_INNER, 50.0), (LOWER_INNER, 70.0), (LOWER_OUTER, 82.0)):
        points[list(line)] = np.stack([right, np.full(11, down)], axis=1)
    return points


def _crop(inside: tuple[int, int, int], *, lower_edge: int) -> npt.NDArray[np.uint8]:
    """Skin, the upper lip from 40 to 50, the inside, the lower lip from its edge to 82."""
    crop = np.full((120, 160, 3), _SKIN, dtype=np.uint8)
    crop[40:82] = _LIP
    crop[50:lower_edge] = inside
    return crop


def test_lips_that_begin_where_the_landmarks_say_have_nothing_beyond() -> None:
    assert beyond_inner_line(_crop(_TEETH, lower_edge=70), _landmarks()).max() < 0.11


def test_teeth_below_the_inner_line_are_found_as_far_as_they_go() -> None:
    share = beyond_inner_line(_crop(_TEETH, lower_edge=74), _landmarks())
    assert share[0].max() < 0.11
    assert 0.2 < share[1].min() <= share[1].max() < 0.45


def test_the_dark_of_a_mouth_is_no_lip_either() -> None:
    share = beyond_inner_line(_crop(_DARK, lower_edge=74), _landmarks())
    assert 0.2 < share[1].min() <= share[1].max() < 0.45


def test_pale_lips_in_pale_skin_are_left_alone() -> None:
    crop = np.full((120, 160, 3), _SKIN, dtype=np.uint8)
    assert beyond_inner_line(crop, _landmarks()).max() < 0.01
