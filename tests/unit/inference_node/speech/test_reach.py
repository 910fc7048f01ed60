import numpy as np
import pytest

from inference_node.speech.mouth import Shape
from inference_node.speech.reach import evened


def talking(reach: float, rows: int = 1000) -> np.ndarray:
    shapes = np.zeros((rows, 4), np.float32)
    shapes[:, Shape.APERTURE] = 0.05 + reach * np.sin(np.arange(rows) / 3.0)
    shapes[:, Shape.ROUNDING] = 0.3
    return shapes


def reach_of(shapes: np.ndarray) -> float:
    return float(shapes[100:-100, Shape.APERTURE].std())


def test_speech_that_opens_little_opens_further_and_the_other_way_round() -> None:
    assert reach_of(evened(talking(0.025))) > 1.2 * reach_of(talking(0.025))
    assert reach_of(evened(talking(0.048))) < 0.9 * reach_of(talking(0.048))


def test_who_mumbles_still_mumbles() -> None:
    assert reach_of(evened(talking(0.005))) == pytest.approx(1.4 * reach_of(talking(0.005)), rel=0.01)


def test_a_closed_mouth_stays_closed() -> None:
    shapes = talking(0.02)
    shapes[300:500, Shape.APERTURE] = 0.0
    assert evened(shapes)[300:500, Shape.APERTURE].max() == 0.0
    assert evened(np.zeros((300, 4), np.float32)).max() == 0.0


def test_nothing_but_the_aperture_changes() -> None:
    shapes = talking(0.01)
    out = evened(shapes)
    np.testing.assert_array_equal(out[:, 1:], shapes[:, 1:])
    assert shapes[:, Shape.APERTURE].std() < 0.01, "what was given is left alone"


def test_a_word_shorter_than_a_second_is_left_alone() -> None:
    np.testing.assert_array_equal(evened(talking(0.01, 50)), talking(0.01, 50))
