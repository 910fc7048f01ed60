from collections.abc import Callable

import cv2
import numpy as np
import pytest

from edge_gateway.face.view import View
from shared.face.mesh import Roi


def flat(y: int, u: int, v: int, **options: object) -> View:
    planes = {"y": np.full((64, 96), y, np.uint8), "u": np.full((32, 48), u, np.uint8)}
    return View(**planes, v=np.full((32, 48), v, np.uint8), **options)


@pytest.mark.parametrize(
    ("view", "rgb"),
    [
        (flat(235, 128, 128), (1, 1, 1)),
        (flat(16, 128, 128), (0, 0, 0)),
        (flat(255, 128, 128, full_range=True), (1, 1, 1)),
        (flat(63, 102, 240, matrix="bt709"), (1, 0, 0)),
        (flat(81, 90, 240, matrix="bt601"), (1, 0, 0)),
        (flat(76, 85, 255, matrix="bt601", full_range=True), (1, 0, 0)),
    ],
)
def test_colours_follow_matrix_and_range(view: View, rgb: tuple[float, float, float]) -> None:
    cut = view.cut(Roi(x=48.0, y=32.0, side=40.0), 32)

    np.testing.assert_allclose(cut.reshape(-1, 3), np.broadcast_to(rgb, (32 * 32, 3)), atol=0.02)


def test_a_cut_shows_the_portrait(scene: Callable[..., View], portrait: np.ndarray) -> None:
    cut = scene((200, 100, 512)).cut(Roi(x=200 + 192.0, y=100 + 192.0, side=384.0), 192)

    expected = cv2.resize(portrait[:384, :384], (192, 192), interpolation=cv2.INTER_AREA)[..., ::-1] / 255
    assert np.abs(cut - expected)[2:-2, 2:-2].mean() < 0.02


def test_beyond_the_picture_lies_black_where_asked() -> None:
    view = flat(235, 128, 128)

    assert view.cut(Roi(x=-100.0, y=-100.0, side=40.0), 16, black_outside=True).max() < 0.01
    assert view.cut(Roi(x=-100.0, y=-100.0, side=40.0), 16).min() > 0.99
