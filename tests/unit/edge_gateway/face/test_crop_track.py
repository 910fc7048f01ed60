import numpy as np
import pytest

from edge_gateway.face.crop import CropBox, CropTrack

FRAME_US = 40_000
SCALE = 1.7


def face(*, x: float, y: float, height: float, jaw: float = 0.0) -> np.ndarray:
    """Points of a rough face; only the rigid ones are at plausible places. ``jaw`` lets the others fall."""
    points = np.zeros((468, 3), np.float32)
    points[:] = (0, 0.5 + jaw, 0)
    for index in (10, 109, 338, 67, 297):
        points[index] = (0, -0.5, 0)
    for index in (127, 234):
        points[index] = (-0.35, -0.1, 0.3)
    for index in (356, 454):
        points[index] = (0.35, -0.1, 0.3)
    for index, at in {33: -0.22, 133: -0.08, 362: 0.08, 263: 0.22}.items():
        points[index] = (at, -0.15, 0)
    for index in (168, 6, 197, 195, 5, 4, 2, 98, 327):
        points[index] = (0, 0.1, -0.1)
    return (points * height + (x, y, 0)).astype(np.float32)


def boxes(frames: list[np.ndarray | None], cuts: set[int] | None = None, held_frames: int = 60) -> list[CropBox]:
    track = CropTrack(crop_scale=SCALE, width=1920, height=1080, held_frames=held_frames)
    given = []
    for index, points in enumerate(frames):
        given += track.push(index * FRAME_US, points, cut=index in (cuts or set()))
    return given + track.finish()


def test_each_frame_has_one_box_around_its_face() -> None:
    given = boxes([face(x=600, y=400, height=200)] * 30)

    assert len(given) == 30
    assert all(box.has_face for box in given)
    assert {round(box.cx) for box in given} == {600}
    assert max(box.side for box in given) - min(box.side for box in given) < 1e-6
    assert given[0].side == pytest.approx(SCALE * 200, rel=0.25)


def test_the_box_does_not_know_whether_the_mouth_is_open() -> None:
    closed, open_ = (boxes([face(x=600, y=400, height=200, jaw=jaw)] * 12)[5] for jaw in (0.0, 0.3))

    assert closed == open_


def test_tremble_is_taken_away() -> None:
    noise = np.random.default_rng(1).normal(0, 3, (100, 2))
    given = boxes([face(x=600 + x, y=400 + y, height=200) for x, y in noise])

    steps = np.abs(np.diff([(box.cx, box.cy) for box in given], axis=0))
    assert steps.max() < 1.2


def test_a_box_needs_no_frames_beyond_its_window() -> None:
    track = CropTrack(crop_scale=SCALE, width=1920, height=1080, held_frames=60)

    waiting = [len(track.push(index * FRAME_US, face(x=600, y=400, height=200), cut=False)) for index in range(30)]

    assert waiting == [0] * 10 + [1] * 20


def test_no_more_frames_wait_than_may() -> None:
    frames = [face(x=600 + frame, y=400, height=200) for frame in range(40)]
    track = CropTrack(crop_scale=SCALE, width=1920, height=1080, held_frames=5)
    total = 0
    for index, points in enumerate(frames):
        total += len(track.push(index * FRAME_US, points, cut=False))
        assert index + 1 - total <= 5


@pytest.mark.parametrize("cuts", [set(), {20}])
def test_the_box_jumps_with_the_face_at_a_cut(cuts: set[int]) -> None:
    given = boxes([face(x=400, y=400, height=200)] * 20 + [face(x=900, y=300, height=260)] * 20, cuts)

    assert {round(box.cx) for box in given[:20]} == {400}
    assert {round(box.cx) for box in given[20:]} == {900}


def test_boxes_say_whose_face_it_is_and_where_scenes_begin() -> None:
    track = CropTrack(crop_scale=SCALE, width=1920, height=1080, held_frames=60)
    given = []
    for index in range(30):
        second = index >= 15
        seen = None if index == 7 else face(x=900 if second else 400, y=400, height=200)
        given += track.push(index * FRAME_US, seen, cut=index == 15, who=int(second))
    given += track.finish()

    assert [box.who for box in given] == [0] * 15 + [1] * 15
    assert [box.scene for box in given] == [0] * 15 + [1] * 15
    assert {round(box.cx) for box in given[:15]} == {400}


def test_a_short_gap_is_bridged_and_a_long_one_is_not() -> None:
    seen = face(x=600, y=400, height=200)
    given = boxes([seen] * 10 + [None] * 3 + [seen] * 10 + [None] * 40 + [seen] * 10)

    assert [box.has_face for box in given] == [True] * 23 + [False] * 40 + [True] * 10
    assert {round(box.cx) for box in given} == {600}


def test_without_any_face_the_box_is_the_middle_of_the_frame() -> None:
    given = boxes([None] * 15)

    assert {(box.cx, box.cy, box.side, box.has_face) for box in given} == {(960, 540, 1080, False)}


def test_a_face_that_lies_on_its_side_is_followed_but_not_marked() -> None:
    upright = face(x=600, y=400, height=200)
    lying = upright.copy()
    lying[:, 0], lying[:, 1] = 600 - (upright[:, 1] - 400), 400 + (upright[:, 0] - 600)
    given = boxes([lying] * 12)

    assert not any(box.has_face for box in given)
    assert all(abs(box.cx - 600) < 10 for box in given)
