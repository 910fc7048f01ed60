from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_gateway.face.view import View
from tests.cast import somebody_else

Scene = Callable[..., View]
PORTRAIT = Path(__file__).resolve().parents[4] / "deploy" / "demo" / "portrait.jpg"


@pytest.fixture(scope="session")
def portrait() -> np.ndarray:
    """The demo portrait, 512 pixels high, BGR."""
    picture = cv2.imread(str(PORTRAIT))
    return cv2.resize(picture, (picture.shape[1] * 512 // picture.shape[0], 512), interpolation=cv2.INTER_AREA)


@pytest.fixture(scope="session")
def stranger(portrait: np.ndarray) -> np.ndarray:
    """Somebody else, of the same size."""
    return somebody_else([np.ascontiguousarray(portrait[..., ::-1])])[0][..., ::-1]


@pytest.fixture(scope="session")
def scene(portrait: np.ndarray, stranger: np.ndarray) -> Scene:
    """Builds a grey frame with the portrait at given places, later ones over earlier ones.

    A place is (left, top, height); with a fourth value it shows somebody else.
    """

    def build(*places: tuple[int, ...], width: int = 960, height: int = 720, grey: int = 90) -> View:
        frame = np.full((height, width, 3), grey, np.uint8)
        for left, top, tall, *other in places:
            shown = stranger if other else portrait
            wide = shown.shape[1] * tall // shown.shape[0]
            paste = cv2.resize(shown, (wide, tall), interpolation=cv2.INTER_AREA)
            paste = paste[:, max(0, -left) :]
            part = frame[top : top + tall, max(0, left) : max(0, left) + paste.shape[1]]
            part[:] = paste[: part.shape[0], : part.shape[1]]
        planes = cv2.cvtColor(frame, cv2.COLOR_BGR2YUV_I420).reshape(-1)
        luma, chroma = width * height, width * height // 4
        return View(
            y=planes[:luma].reshape(height, width),
            u=planes[luma : luma + chroma].reshape(height // 2, width // 2),
            v=planes[luma + chroma :].reshape(height // 2, width // 2),
            matrix="bt601",
        )

    return build
