import cv2
import numpy as np
import numpy.typing as npt
import pytest

from inference_node.render.cover import covered
from shared.face.mesh import FaceMesh, Points
from tests.portrait import masked, portrait_crop

Pixels = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def crop() -> Pixels:
    return portrait_crop()


@pytest.fixture(scope="module")
def points(crop: Pixels) -> Points:
    return FaceMesh().crop_landmarks(crop).points


@pytest.mark.parametrize("colour", [(120, 170, 210), (240, 240, 240), (20, 20, 22), (60, 120, 70)])
def test_a_mask_is_seen_whatever_its_colour_though_the_mesh_is_sure(
    crop: Pixels, points: Points, colour: tuple[int, int, int]
) -> None:
    picture = masked(crop, points, colour)
    found = FaceMesh().crop_landmarks(picture)
    assert found.score > 0.5
    assert covered([picture] * 3, np.repeat(found.points[None], 3, axis=0)).tolist() == [True] * 3


@pytest.mark.parametrize("gain", [(1.0, 1.0, 1.0), (0.35, 0.35, 0.35), (1.0, 0.8, 0.6), (0.7, 0.85, 1.0)])
def test_a_face_in_any_light_is_no_mask(crop: Pixels, points: Points, gain: tuple[float, float, float]) -> None:
    lit = np.clip(crop * np.array(gain), 0, 255).astype(np.uint8)
    assert not covered([lit], points[None]).any()


def test_a_picture_without_colour_is_no_mask(crop: Pixels, points: Points) -> None:
    grey = cv2.cvtColor(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    assert not covered([grey], points[None]).any()


def test_one_odd_frame_does_not_flicker_and_the_cut_does_not_matter(crop: Pixels, points: Points) -> None:
    blue = masked(crop, points, (120, 170, 210))
    pictures = [crop] * 4 + [blue] + [crop] * 4 + [blue] * 9
    several = np.repeat(points[None], len(pictures), axis=0)
    whole = covered(pictures, several)
    assert not whole[:9].any()
    assert whole[-7:].all()
    assert np.array_equal(covered(pictures[5:16], several[5:16], lead=2, trail=2), whole[7:14])
