from collections.abc import Callable

import numpy as np
import pytest

from edge_gateway.face.detector import FaceDetector
from edge_gateway.face.track import FaceTracker, Sighting
from edge_gateway.face.view import View
from shared.face.mesh import FaceMesh

Scene = Callable[..., View]
FRAME_US = 40_000


@pytest.fixture
def tracker() -> FaceTracker:
    return FaceTracker(detector=FaceDetector(), mesh=FaceMesh())


def watch(tracker: FaceTracker, views: list[View], first: int = 0) -> list[Sighting]:
    return [tracker.step(view, (first + index) * FRAME_US) for index, view in enumerate(views)]


def middle(sighting: Sighting) -> np.ndarray:
    assert sighting.points is not None
    return sighting.points[:, :2].mean(axis=0)


def test_a_moving_face_is_followed_with_a_single_search(tracker: FaceTracker, scene: Scene) -> None:
    seen = watch(tracker, [scene((100 + 6 * frame, 100 + 3 * frame, 512)) for frame in range(20)])

    assert [sighting.searched for sighting in seen] == [True] + [False] * 19
    assert not any(sighting.cut for sighting in seen)
    np.testing.assert_allclose(middle(seen[-1]) - middle(seen[0]), (114, 57), atol=4)


def test_the_face_that_is_followed_stays_the_one_when_a_larger_one_comes(tracker: FaceTracker, scene: Scene) -> None:
    alone, joined = scene((20, 300, 300)), scene((20, 300, 300), (420, 80, 560))

    seen = watch(tracker, [alone] * 2 + [joined] * 3)

    assert max(middle(sighting)[0] for sighting in seen) < 330


def test_after_a_cut_the_largest_face_is_followed(tracker: FaceTracker, scene: Scene) -> None:
    before, after = scene((20, 300, 300)), scene((20, 300, 300), (420, 80, 560), grey=230)

    seen = watch(tracker, [before] * 2 + [after] * 2)

    assert [sighting.cut for sighting in seen] == [False, False, True, False]
    assert middle(seen[-1])[0] > 420


def test_a_face_that_leaves_is_lost_and_found_again(tracker: FaceTracker, scene: Scene) -> None:
    here, gone = scene((100, 100, 512)), scene()

    seen = watch(tracker, [here] * 2 + [gone] * 9 + [here] * 4)

    assert [sighting.points is not None for sighting in seen[:11]] == [True] * 2 + [False] * 9
    assert seen[-1].points is not None


def test_where_no_face_is_it_is_not_looked_for_in_every_frame(tracker: FaceTracker, scene: Scene) -> None:
    seen = watch(tracker, [scene()] * 25)

    assert not any(sighting.points is not None for sighting in seen)
    assert 5 <= sum(sighting.searched for sighting in seen) <= 10


def test_a_flash_is_no_cut(tracker: FaceTracker, scene: Scene) -> None:
    view = scene((100, 100, 512))
    lit = View(y=np.clip(view.y.astype(int) + 40, 0, 255).astype(np.uint8), u=view.u, v=view.v, matrix="bt601")

    assert not any(sighting.cut for sighting in watch(tracker, [view, lit, view]))
