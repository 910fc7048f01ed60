from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from inference_node.engine.port import FaceFrames
from inference_node.own.card import card_of
from inference_node.own.engine import FACE, MEL, PAINTED, REFERENCE, OwnEngine
from tests.unit.inference_node.own.cards import told

Array = npt.NDArray[np.generic]


class Recorder:
    """Keeps what it is asked and paints white."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Array]]] = []

    async def infer(self, model: str, inputs: Mapping[str, Array], outputs: Sequence[str]) -> dict[str, Array]:
        assert list(outputs) == [PAINTED]
        self.asked.append((model, dict(inputs)))
        return {PAINTED: np.full_like(inputs[FACE], 255)}


def frames(count: int) -> FaceFrames:
    rng = np.random.default_rng(9)
    crops = np.stack([np.full((320, 320, 3), 10 * (index + 1), np.uint8) for index in range(count)])
    points = rng.uniform((90, 60), (230, 260), (count, 468, 2)).astype(np.float32)
    points[:, 0], points[:, 1] = (90, 60), (230, 260)
    points[:, 33], points[:, 263] = (120, 130), (180, 130)
    points[1, 263] = (200, 130)  # the frame that shows the face from the front
    return FaceFrames(crops=crops, landmarks=points)


async def test_a_network_is_shown_what_its_card_asks_for() -> None:
    tensors = Recorder()
    engine = OwnEngine(tensors, card_of(told()), digest="d")
    seen = frames(3)
    track = await engine.hear(np.zeros(16_000, np.float32))
    painted = await engine.render(seen, track.at(np.array([0.0, 0.04, 0.08])), await engine.remember(seen))
    ((model, inputs),) = tensors.asked
    assert model == "own-mine"
    assert inputs[FACE].shape == (3, 64, 48, 3)
    assert [int(face.mean()) for face in inputs[FACE]] == [10, 20, 30]
    assert [int(face.mean()) for face in inputs[REFERENCE]] == [20, 20, 20]
    assert (inputs[MEL].shape, inputs[MEL].dtype) == ((3, 8, 40), np.float32)
    patch = engine.card.patch
    assert painted.patches.shape == (3, patch.height, patch.width, 3)
    assert painted.patches[0, 85, 112].tolist() == [231] * 3  # white, drawn a little to the frame's dark: 24 at most
    assert (painted.patches[0, :, :30] == 10).all()


async def test_frames_without_a_face_are_left_as_they_are() -> None:
    tensors = Recorder()
    engine = OwnEngine(tensors, card_of(told()), digest="d")
    lost = FaceFrames(crops=frames(2).crops, landmarks=np.full((2, 468, 2), np.nan, np.float32))
    memory = await engine.remember(lost)
    painted = await engine.render(lost, np.zeros((2, 8, 40), np.float32), memory)
    assert not tensors.asked
    assert not painted.masks.any()
    one = FaceFrames(
        crops=frames(2).crops, landmarks=np.stack([frames(2).landmarks[0], np.full((468, 2), np.nan, np.float32)])
    )
    painted = await engine.render(one, np.zeros((2, 8, 40), np.float32), memory)
    assert len(tensors.asked[0][1][FACE]) == 1
    np.testing.assert_array_equal(tensors.asked[0][1][REFERENCE], tensors.asked[0][1][FACE])
    assert (painted.patches[1] == 20).all()
    assert painted.masks[0, 2] > 0
    assert not painted.masks[1].any()
