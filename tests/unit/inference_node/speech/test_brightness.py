import numpy as np
import pytest

from inference_node.speech.brightness import opened
from inference_node.speech.features import BANDS
from inference_node.speech.mouth import Shape


def heard(aperture: float) -> np.ndarray:
    shapes = np.zeros((50, 4), np.float32)
    shapes[:, Shape.APERTURE] = aperture
    shapes[:, Shape.ROUNDING] = 0.3
    return shapes


def sound(dull: float = 0.0, bright: float = 0.0, hiss: float = 0.0) -> np.ndarray:
    mel = np.zeros((50, BANDS), np.float32)
    mel[:, 3:9], mel[:, 14:26], mel[:, 33:] = dull, bright, hiss
    return mel


def aperture(shapes: np.ndarray) -> float:
    return float(shapes[25, Shape.APERTURE])


def test_a_bright_sound_opens_and_a_dull_one_closes() -> None:
    usual = aperture(opened(heard(0.05), sound()))
    assert aperture(opened(heard(0.05), sound(bright=0.5))) > usual + 0.02
    assert aperture(opened(heard(0.05), sound(dull=0.5))) < usual - 0.015


def test_hissing_is_no_opening() -> None:
    assert aperture(opened(heard(0.05), sound(hiss=1.0))) < aperture(opened(heard(0.05), sound()))


def test_a_mouth_that_does_not_speak_stays_closed_however_bright_the_sound() -> None:
    assert opened(heard(0.002), sound(bright=2.0))[:, Shape.APERTURE].max() == 0.0


def test_nothing_but_the_aperture_changes() -> None:
    shapes = heard(0.05)
    out = opened(shapes, sound(bright=0.3))
    np.testing.assert_array_equal(out[:, 1:], shapes[:, 1:])
    assert shapes[0, Shape.APERTURE] == pytest.approx(0.05), "what was given is left alone"
