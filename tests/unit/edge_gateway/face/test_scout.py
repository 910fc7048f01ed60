from collections.abc import Callable

import pytest

from edge_gateway.face.scout import Asked, Scouted, scout
from edge_gateway.face.speaker import Place, Position, Speaker
from edge_gateway.face.view import View
from shared.errors import InvalidInputError, NoFaceError

Scene = Callable[..., View]
FRAME_US = 40_000
SMALL, LARGE = (20, 300, 300), (420, 80, 560)
# Where the face is in the portrait, as shares of its height.
ACROSS, DOWN = 0.42, 0.25


def find(views: list[View], *speakers: Speaker) -> Scouted:
    asked = [
        Asked(speaker=speaker, field=f"field {number}", name=f"face {number}")
        for number, speaker in enumerate(speakers)
    ]
    size = views[0].width, views[0].height
    hints = [[place.in_pixels(*size) for place in speaker.places] for speaker in speakers]
    return scout(((view, index * FRAME_US) for index, view in enumerate(views)), asked, hints)


def by(position: Position, together: int = 2) -> Speaker:
    return Speaker(position=position, together=together)


def on(place: tuple[int, int, int], frame: int = 0) -> Speaker:
    left, top, tall = place
    return Speaker(places=(Place(time_us=frame * FRAME_US, x=left + ACROSS * tall, y=top + DOWN * tall),))


def numbers(found: Scouted) -> list[list[int]]:
    return [[choice.number for choice in some] for some in found.choices]


@pytest.fixture
def both(scene: Scene) -> View:
    return scene(SMALL, LARGE)


def test_positions_name_faces_that_are_seen_together(both: View) -> None:
    left, right = numbers(find([both] * 3, by(Position.LEFT), by(Position.RIGHT)))
    assert left != right
    assert numbers(find([both] * 3, by(Position.LARGEST, 1))) == [right]


def test_of_three_faces_one_is_in_the_center(scene: Scene) -> None:
    view = scene((20, 200, 300), (330, 100, 300), (640, 200, 300))
    found = numbers(find([view] * 3, by(Position.LEFT, 3), by(Position.CENTER, 3), by(Position.RIGHT, 3)))
    assert sorted(found) == [[1], [2], [3]]


def test_faces_that_come_later_are_waited_for(scene: Scene, both: View) -> None:
    views = [scene(SMALL)] * 3 + [both] * 60
    assert numbers(find(views, by(Position.LEFT), by(Position.RIGHT))) == [[1], [2]]


def test_points_and_boxes_name_faces(both: View) -> None:
    box = Speaker(places=(Place(time_us=0, x=560, y=120, width=160, height=200),))
    assert numbers(find([both] * 3, on(SMALL), box)) == numbers(find([both] * 3, by(Position.LEFT), by(Position.RIGHT)))


def test_a_face_too_small_for_the_whole_frame_is_found_where_somebody_says(scene: Scene) -> None:
    tiny = (1700, 900, 110)
    view = scene((100, 100, 800), tiny, width=1920, height=1080)
    (choices,) = numbers(find([view] * 3, on(tiny)))
    assert choices == [2]


def test_each_place_of_a_face_is_looked_up_and_those_without_one_are_told(both: View) -> None:
    places = (*on(SMALL).places, Place(time_us=5 * FRAME_US, x=5, y=5), *on(LARGE, 40).places)
    found = find([both] * 60, Speaker(places=places))
    assert [(choice.time_us, choice.number) for choice in found.choices[0]] == [(0, 2), (40 * FRAME_US, 1)]
    assert list(found.missed[0]) == [1]


def test_a_place_without_a_face_is_refused_and_the_faces_that_are_there_are_named(both: View) -> None:
    with pytest.raises(
        NoFaceError, match=r"no face is at the point 5, 5 at 0\.2 s for 'face 0'; those.* \(\d+ pixels high\);"
    ) as no:
        find([both] * 60, Speaker(places=(Place(time_us=200_000, x=5, y=5),)))
    assert no.value.field == "field 0"


def test_a_place_after_the_last_frame_is_refused(both: View) -> None:
    with pytest.raises(NoFaceError, match="no face is at"):
        find([both] * 3, on(SMALL, frame=9))


@pytest.mark.parametrize(
    ("views", "words"),
    [((SMALL,), "'left' names no face: that takes 2 together, and at most 1 was seen"), ((), "no face was found")],
)
def test_a_name_that_matches_no_face_is_refused(scene: Scene, views: tuple[int, ...], words: str) -> None:
    with pytest.raises(NoFaceError, match=words):
        find([scene(*views)] * 5, by(Position.LEFT))


@pytest.mark.parametrize("second", [by(Position.LEFT), on(SMALL), on(SMALL, frame=30)], ids=["name", "point", "later"])
def test_two_speeches_for_one_face_are_refused(both: View, second: Speaker) -> None:
    first = Speaker(position=Position.LEFT, together=1)
    with pytest.raises(InvalidInputError, match="'face 1' is the same face as 'face 0'") as caught:
        find([both] * 40, first, second)
    assert caught.value.field == "field 1"
