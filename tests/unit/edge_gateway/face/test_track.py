from collections.abc import Callable

import numpy as np
import pytest

from edge_gateway.face.detector import FaceDetector
from edge_gateway.face.scout import Asked, scout
from edge_gateway.face.speaker import Place, Position, Speaker
from edge_gateway.face.track import FaceTracker, Sighting
from edge_gateway.face.view import View
from shared.face.mesh import FaceMesh, face_height

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


P, Q = (20, 60, 420), (500, 60, 420, 1)
"""The portrait on the left, and somebody else on the right."""


def chosen(speaker: Speaker, views: list[View]) -> list[Sighting]:
    """What is followed of one who was chosen."""
    hints = [place.in_pixels(views[0].width, views[0].height) for place in speaker.places]
    times = [(view, index * FRAME_US) for index, view in enumerate(views)]
    found = scout(times, [Asked(speaker=speaker, field="speaker")], [hints])
    parts = {"detector": FaceDetector(), "mesh": FaceMesh()}
    return watch(FaceTracker(**parts, choices=found.choices[0], hints=hints), views)


def places(seen: list[Sighting]) -> str:
    """Where the face is in each frame: left, right, or nowhere."""
    return "".join("-" if one.points is None else "LR"[int(middle(one)[0] > 480)] for one in seen)


def test_the_one_who_was_chosen_is_followed_beside_a_larger_one(scene: Scene) -> None:
    views = [scene((20 + 4 * frame, 200, 300, 1), (420, 80, 560)) for frame in range(10)]

    assert places(chosen(Speaker(position=Position.LEFT, together=2), views)) == "L" * 10


def test_a_face_that_slides_out_and_returns_keeps_its_identity(tracker: FaceTracker, scene: Scene) -> None:
    out = [scene((20 - 40 * frame, 60, 420), Q) for frame in range(10)]
    views = [scene(P, Q)] * 5 + out + [scene(Q)] * 40 + out[::-1] + [scene(P, Q)] * 10

    seen = watch(tracker, views)

    assert set(places(seen[15:55])) == {"-"}, "the one who stayed was taken for the one who left"
    assert places(seen[:5] + seen[-10:]) == "L" * 15
    assert {one.who for one in seen} == {0}


def test_who_has_changed_sides_behind_a_cut_is_found_again(scene: Scene) -> None:
    swapped = scene((20, 60, 420, 1), (500, 60, 420), grey=200)
    views = [scene(P, Q)] * 5 + [swapped] * 5 + [scene(P, Q)] * 5

    for position, expected in ((Position.LEFT, "LLLLLRRRRRLLLLL"), (Position.RIGHT, "RRRRRLLLLLRRRRR")):
        seen = chosen(Speaker(position=position, together=2), views)
        assert places(seen) == expected
        assert [index for index, one in enumerate(seen) if one.cut] == [5, 10]


def test_a_shot_without_the_one_who_was_chosen_passes_untouched(scene: Scene) -> None:
    views = [scene(P)] * 5 + [scene((20, 60, 420, 1), grey=200)] * 30 + [scene(P)] * 5
    point = Speaker(places=(Place(time_us=36 * FRAME_US, x=200, y=170),))

    assert places(chosen(point, views)) == "L" * 5 + "-" * 30 + "L" * 5


def test_another_in_the_very_place_is_another_though_the_picture_hardly_changes(scene: Scene) -> None:
    views = [scene(P, width=1920, height=1080)] * 5 + [scene((20, 60, 420, 1), width=1920, height=1080)] * 5
    point = Speaker(places=(Place(time_us=0, x=200, y=170),))

    assert places(chosen(point, views)) == "L" * 5 + "-" * 5


def test_without_a_choice_each_shot_has_its_largest_face_and_says_whose(tracker: FaceTracker, scene: Scene) -> None:
    views = [scene(P)] * 5 + [scene((20, 60, 420, 1), grey=200)] * 5 + [scene(P)] * 5

    seen = watch(tracker, views)

    assert [one.who for one in seen] == [0] * 5 + [1] * 5 + [0] * 5
    assert [index for index, one in enumerate(seen) if one.cut] == [5, 10]


@pytest.mark.parametrize(
    ("place", "frame", "least", "most"),
    [
        ((1300, 700, 228), (1920, 1080), 44, 50),
        ((2600, 1500, 228), (3840, 2160), 44, 50),
        ((0, 0, 5100), (3840, 2160), 1000, 1160),
    ],
    ids=["small", "small in 4K", "half of 4K"],
)
def test_faces_from_48_pixels_to_half_of_4k_are_followed_from_the_first_frame(
    tracker: FaceTracker, scene: Scene, place: tuple[int, int, int], frame: tuple[int, int], least: int, most: int
) -> None:
    left, top, tall = place
    width, height = frame
    views = [scene((left + 2 * index, top, tall), width=width, height=height) for index in range(8)]

    seen = watch(tracker, views)

    heights = [face_height(one.points) for one in seen if one.points is not None]
    assert len(heights) == 8
    assert least < min(heights) <= max(heights) < most


def test_a_small_face_beside_a_large_one_is_followed_where_it_was_chosen(scene: Scene) -> None:
    views = [scene((100, 60, 1000), (1500 + 2 * index, 800, 145), width=1920, height=1080) for index in range(8)]
    point = Speaker(places=(Place(time_us=0, x=1500 + 0.42 * 145, y=800 + 0.25 * 145),))

    seen = chosen(point, views)

    assert [one.points is not None and face_height(one.points) < 52 for one in seen] == [True] * 8


def test_faces_that_cross_keep_their_identity(scene: Scene) -> None:
    def view(frame: int) -> View:
        return scene((760, 60, 420, 1), (20 + 24 * frame, 60, 420), width=1920, height=720)

    views = [view(frame) for frame in range(62)]
    walker = chosen(Speaker(position=Position.LEFT, together=2), views)
    other = chosen(Speaker(position=Position.RIGHT, together=2), views)

    moved = [middle(one)[0] for one in walker if one.points is not None]
    assert len(moved) == 62
    assert np.diff(moved).min() > 10
    seen = [middle(one)[0] for one in other if one.points is not None]
    assert 20 < len(seen) < 62
    assert max(seen) - min(seen) < 20, "the one who stood still was taken for the one who walked by"
    assert other[-1].points is not None
