from collections.abc import Callable

import numpy as np
import pytest

from edge_gateway.face.detector import FaceDetector
from edge_gateway.face.look import LIKELY, STRANGE, SURE, Look, Looks, difference, turn_of
from edge_gateway.face.view import View
from shared.face.mesh import INPUT_PX, FaceMesh, Points, roi_from_points

Scene = Callable[..., View]


def points_of(view: View) -> Points:
    mesh = FaceMesh()
    roi = FaceDetector().find(view)[0].roi()
    for _ in range(2):
        points = mesh.look(view.cut(roi, INPUT_PX), roi).points
        roi = roi_from_points(points)
    return points


def look(view: View) -> Look:
    found = Look.of(view, points_of(view))
    assert found is not None
    return found


@pytest.fixture(scope="module")
def known(scene: Scene) -> Look:
    return look(scene((100, 60, 560)))


def lit(view: View, gain: float, lift: float = 0) -> View:
    return View(y=np.clip(view.y * gain + lift, 16, 235).astype(np.uint8), u=view.u, v=view.v, matrix="bt601")


def test_a_face_looks_the_same_elsewhere_smaller_and_in_other_light(scene: Scene, known: Look) -> None:
    assert difference(known, look(scene((300, 200, 420)))) < SURE
    assert difference(known, look(scene((300, 200, 300)))) < SURE
    assert difference(known, look(lit(scene((100, 60, 560)), 0.6))) < SURE
    assert difference(known, look(lit(scene((100, 60, 560)), 1.0, 25))) < SURE


def test_somebody_else_looks_otherwise(scene: Scene, known: Look) -> None:
    assert difference(known, look(scene((100, 60, 560, 1)))) > STRANGE


def test_limits_are_in_order() -> None:
    assert SURE < LIKELY < STRANGE


def test_a_face_from_the_side_is_not_looked_at(scene: Scene) -> None:
    view = scene((100, 60, 560))
    points = points_of(view)
    assert abs(turn_of(points)) < 0.3
    turned = points.copy()
    turned[4, 0] = points[454, 0]
    assert turn_of(turned) > 0.9
    assert Look.of(view, turned) is None


def test_only_looks_that_tell_something_new_are_kept(known: Look) -> None:
    looks = Looks()
    assert not looks
    assert looks.difference(known) == float("inf")
    for _ in range(20):
        looks.add(known)
    assert len(list(looks)) == 1
    rng = np.random.default_rng(2)
    for _ in range(40):
        patch = rng.normal(size=known.patch.shape).astype(np.float32)
        looks.add(Look(patch=patch, colour=known.colour, shape=known.shape))
    assert len(list(looks)) == 10
    assert looks.apart(Looks()) == float("inf")
