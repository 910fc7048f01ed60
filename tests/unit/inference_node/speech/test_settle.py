import numpy as np
import pytest

from inference_node.speech.mouth import Shape
from inference_node.speech.settle import settled


def talking(rows: int = 100, aperture: float = 0.06) -> np.ndarray:
    shapes = np.zeros((rows, 4), np.float32)
    shapes[:, Shape.APERTURE] = aperture
    return shapes


@pytest.mark.parametrize("phase", range(4))
@pytest.mark.parametrize("pressed_rows", [2, 4, 9])
def test_a_press_closes_the_lips_for_at_least_one_video_frame(phase: int, pressed_rows: int) -> None:
    shapes = talking()
    shapes[50 : 50 + pressed_rows, Shape.PRESS] = 1.0
    frames = settled(shapes)[phase::4, Shape.APERTURE]
    assert frames.min() == 0.0
    assert frames[5] == frames[-5] == pytest.approx(0.06, abs=1e-3)


def test_lips_open_and_close_without_a_jump() -> None:
    shapes = talking()
    shapes[50:56, Shape.PRESS] = 1.0
    assert np.abs(np.diff(settled(shapes)[:, Shape.APERTURE])).max() < 0.03


def test_a_mouth_at_rest_is_still() -> None:
    shapes = talking(aperture=0.0)
    shapes[:, Shape.APERTURE] = np.random.default_rng(0).uniform(0, 0.004, len(shapes))
    assert settled(shapes)[:, Shape.APERTURE].max() < 0.002


def test_an_open_mouth_keeps_its_aperture() -> None:
    assert settled(talking(aperture=0.08))[:, Shape.APERTURE] == pytest.approx(0.08, abs=1e-6)


def test_two_presses_close_together_are_both_seen() -> None:
    shapes = talking()
    shapes[40:44, Shape.PRESS] = shapes[60:64, Shape.PRESS] = 1.0
    aperture = settled(shapes)[:, Shape.APERTURE]
    assert aperture[41] == aperture[61] == 0.0
    assert aperture[51] > 0.05


def test_a_press_in_doubt_only_brings_the_lips_nearer() -> None:
    shapes = talking()
    shapes[50:58, Shape.PRESS] = 0.72
    assert 0.02 < settled(shapes)[54, Shape.APERTURE] < 0.05
