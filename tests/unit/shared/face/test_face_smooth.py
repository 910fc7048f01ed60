import numpy as np
import pytest

from shared.face.smooth import smooth

RIGID_POINT, LIP_POINT = 168, 13


def still_face(frames: int) -> np.ndarray:
    around = np.linspace(0, 2 * np.pi, 468, endpoint=False)
    points = np.stack([100 + 60 * np.cos(around), 120 + 80 * np.sin(around), np.zeros(468)], axis=-1)
    points[10], points[152] = (100, 40, 0), (100, 200, 0)
    return np.repeat(points[np.newaxis], frames, axis=0).astype(np.float32)


def trembling_face(frames: int, seed: int = 1) -> np.ndarray:
    tremble = np.random.default_rng(seed).normal(0, 1, (frames, 468, 3))
    return (still_face(frames) + tremble).astype(np.float32)


def test_tremble_of_points_that_speech_does_not_move_is_halved() -> None:
    smoothed = smooth(trembling_face(200)) - still_face(200)

    assert smoothed[:, RIGID_POINT, 0].std() < 0.6
    assert smoothed[:, LIP_POINT, 0].std() < 0.8


def test_five_openings_a_second_keep_their_height() -> None:
    points = still_face(60)
    opening = 10 * np.sin(np.arange(60) / 25 * 2 * np.pi * 2.5) ** 2
    points[:, LIP_POINT, 1] += opening

    assert np.ptp(smooth(points)[:, LIP_POINT, 1]) > 0.75 * np.ptp(opening)


def test_a_steady_motion_is_not_held_back_even_at_the_ends() -> None:
    points = still_face(20)
    points[..., 0] += np.arange(20)[:, np.newaxis] * 2

    np.testing.assert_allclose(smooth(points), points, atol=1e-3)


@pytest.mark.parametrize("begin", [5, 17])
def test_two_frames_of_context_make_a_segment_equal_to_the_whole(begin: int) -> None:
    points = trembling_face(40)

    part = smooth(points[begin - 2 : begin + 12], lead=2, trail=2)

    np.testing.assert_array_equal(part, smooth(points)[begin : begin + 10])


def test_nothing_is_smoothed_across_a_cut() -> None:
    points = still_face(12)
    points[6:, :, 0] += 300

    np.testing.assert_allclose(smooth(points), points, atol=1e-3)


@pytest.mark.parametrize("frames", [0, 1, 2, 3])
def test_few_frames_are_answered_with_as_many(frames: int) -> None:
    points = still_face(frames)

    np.testing.assert_allclose(smooth(points), points, atol=1e-3)
