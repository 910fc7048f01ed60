from collections.abc import Callable

import pytest

from edge_gateway.face.detector import Detection, FaceDetector, overlap
from edge_gateway.face.view import View

Scene = Callable[..., View]


@pytest.fixture(scope="module")
def detector() -> FaceDetector:
    return FaceDetector()


def square(x: float, y: float, size: float) -> Detection:
    return Detection(x=x, y=y, size=size, angle=0.0, score=0.9)


def test_a_face_is_found_once_and_where_it_is(detector: FaceDetector, scene: Scene) -> None:
    here, moved = detector.find(scene((100, 100, 512))), detector.find(scene((340, 180, 512)))

    assert (len(here), len(moved)) == (1, 1)
    assert moved[0].x - here[0].x == pytest.approx(240, abs=10)
    assert moved[0].y - here[0].y == pytest.approx(80, abs=10)
    assert abs(here[0].angle) < 0.4


def test_the_largest_of_several_faces_comes_first(detector: FaceDetector, scene: Scene) -> None:
    faces = detector.find(scene((0, 100, 420), (430, 80, 520)))

    assert [face.x > 400 for face in faces] == [True, False]


def test_a_grey_picture_holds_no_face(detector: FaceDetector, scene: Scene) -> None:
    assert detector.find(scene()) == []
    assert list(detector.find_small(scene())) == []


def test_a_face_too_small_for_the_whole_picture_is_found_in_tiles(detector: FaceDetector, scene: Scene) -> None:
    view = scene((1400, 700, 120), width=1920, height=1080)

    assert detector.find(view) == []
    small = next(detector.find_small(view))

    assert 1400 < small.x < 1520
    assert 700 < small.y < 780


def test_overlap_of_squares() -> None:
    assert overlap(square(0, 0, 10), square(0, 0, 10)) == pytest.approx(1)
    assert overlap(square(0, 0, 10), square(5, 0, 10)) == pytest.approx(1 / 3)
    assert overlap(square(0, 0, 20), square(0, 0, 10)) == pytest.approx(1 / 4)
    assert overlap(square(0, 0, 10), square(11, 0, 10)) == 0
