import numpy as np
import pytest

from inference_node.speech.talking import hushed


def open_mouth(rows: int) -> np.ndarray:
    return np.full((rows, 4), 0.05, np.float32)


def test_what_is_surely_spoken_is_left_alone() -> None:
    shapes = open_mouth(300)
    np.testing.assert_array_equal(hushed(shapes, np.full(300, 4.0, np.float32)), shapes)


def test_what_is_surely_not_spoken_keeps_the_mouth_at_rest() -> None:
    assert not hushed(open_mouth(300), np.full(300, -4.0, np.float32)).any()


def test_a_few_rows_like_speech_do_not_open_the_mouth() -> None:
    odds = np.full(300, -4.0, np.float32)
    odds[140:160] = 30.0
    assert not hushed(open_mouth(300), odds).any()


def test_a_few_rows_unlike_speech_do_not_shut_it() -> None:
    odds = np.full(300, 4.0, np.float32)
    odds[140:155] = -30.0
    np.testing.assert_array_equal(hushed(open_mouth(300), odds), open_mouth(300))


@pytest.mark.parametrize("rows", [1, 2, 50, 119])
def test_speech_shorter_than_what_is_looked_at_at_once_keeps_its_length(rows: int) -> None:
    shapes = open_mouth(rows)
    np.testing.assert_allclose(hushed(shapes, np.full(rows, 4.0, np.float32)), shapes)


def test_the_mouth_shuts_without_a_jump() -> None:
    odds = np.where(np.arange(600) < 300, 4.0, -4.0).astype(np.float32)
    aperture = hushed(open_mouth(600), odds)[:, 0]
    assert aperture[250] == aperture[0] > 0 == aperture[350]
    assert np.abs(np.diff(aperture)).max() < 0.2 * aperture[0]
