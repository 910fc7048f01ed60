from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from inference_node.engine.face_axes import FaceAxes
from inference_node.engine.local import LocalTensors
from inference_node.engine.port import FaceFrames
from inference_node.engine.warp import INPUTS, OUTPUT, PATCH, WarpEngine
from inference_node.training import warp_export
from tests.mean_face import MEAN_FACE, hole, landmarks, outside
from tests.mean_face import frames as frames_of

_REPOSITORY = Path(warp_export.__file__).resolve().parent.parent / "model_repository"
DARK = 200
_CLOSED, _OPEN = (0.0, 0.0, 0.0, 0.0), (0.09, 0.0, 0.0, 0.0)


def _shapes(*rows: tuple[float, ...]) -> npt.NDArray[np.float32]:
    return np.array(rows, dtype=np.float32)


@pytest.fixture(scope="module")
def engine() -> WarpEngine:
    return WarpEngine(LocalTensors(_REPOSITORY, observe=lambda _model, _seconds: None))


async def test_an_open_mouth_closes_and_a_closed_one_opens(engine: WarpEngine) -> None:
    frames = frames_of(0.1, 0.0)
    memory = await engine.remember(frames)
    shut = await engine.render(frames, _shapes(_CLOSED, _CLOSED), memory)
    wide = await engine.render(frames, _shapes(_OPEN, _OPEN), memory)
    assert hole(shut.patches[0], DARK) < 25
    assert hole(shut.patches[1], DARK) < 25
    assert hole(wide.patches[0], DARK) > 300
    assert hole(wide.patches[1], DARK) > 300


async def test_what_shows_in_an_opened_mouth_is_the_persons_own(engine: WarpEngine) -> None:
    memory = await engine.remember(frames_of(0.0, 0.1))
    assert not memory.inside.made_up
    wide = await engine.render(frames_of(0.0), _shapes(_OPEN), memory)
    column = wide.patches[0, :, int(MEAN_FACE[13, 0]) - PATCH.x].astype(int).sum(axis=1)
    mouth = column[int(MEAN_FACE[13, 1]) - PATCH.y : int(MEAN_FACE[13, 1]) - PATCH.y + 18]
    assert mouth.max() > 420
    assert mouth.min() < 200


async def test_a_mouth_that_never_opens_gets_an_inside_that_is_made_up(engine: WarpEngine) -> None:
    memory = await engine.remember(frames_of(0.0, 0.002))
    assert memory.inside.made_up
    wide = await engine.render(frames_of(0.0), _shapes(_OPEN), memory)
    assert hole(wide.patches[0], DARK) > 300


async def test_outside_the_ellipse_no_pixel_changes(engine: WarpEngine) -> None:
    frames = frames_of(0.1, 0.0)
    memory = await engine.remember(frames)
    painted = await engine.render(frames, _shapes(_CLOSED, _OPEN), memory)
    for index in range(2):
        beyond = outside(painted.masks[index])
        before = frames.crops[index, PATCH.y : PATCH.y + PATCH.height, PATCH.x : PATCH.x + PATCH.width]
        assert beyond.any()
        np.testing.assert_array_equal(painted.patches[index][beyond], before[beyond])
        assert (painted.patches[index][~beyond] != before[~beyond]).any()


async def test_a_frame_is_the_same_alone_and_among_others(engine: WarpEngine) -> None:
    frames = frames_of(*np.linspace(0.0, 0.1, 11))
    shapes = np.stack([_shapes(_OPEN)[0] * share for share in np.linspace(1.0, 0.0, 11)])
    memory = await engine.remember(frames)
    together = await engine.render(frames, shapes, memory)
    for index in (0, 5, 10):
        one = FaceFrames(crops=frames.crops[index : index + 1], landmarks=frames.landmarks[index : index + 1])
        alone = await engine.render(one, shapes[index : index + 1], memory)
        np.testing.assert_array_equal(alone.patches[0], together.patches[index])
        np.testing.assert_array_equal(alone.masks[0], together.masks[index])


async def test_nothing_is_painted_where_there_is_no_face(engine: WarpEngine) -> None:
    frames = frames_of(0.0, 0.1)
    frames.landmarks[0] = 0.0
    memory = await engine.remember(frames)
    painted = await engine.render(frames, _shapes(_OPEN, _OPEN), memory)
    before = frames.crops[0, PATCH.y : PATCH.y + PATCH.height, PATCH.x : PATCH.x + PATCH.width]
    np.testing.assert_array_equal(painted.patches[0], before)
    assert painted.masks[0, 2] == 0.0
    assert painted.masks[1, 2] > 0.0


async def test_no_frames_and_no_reference_are_no_error(engine: WarpEngine) -> None:
    none = FaceFrames(
        crops=np.zeros((0, 320, 320, 3), dtype=np.uint8), landmarks=np.zeros((0, 468, 2), dtype=np.float32)
    )
    memory = await engine.remember(none)
    assert memory.inside.made_up
    painted = await engine.render(none, np.zeros((0, 4), dtype=np.float32), memory)
    assert painted.patches.shape == (0, PATCH.height, PATCH.width, 3)
    assert painted.masks.shape == (0, 6)


def test_the_card_promises_even_sizes_inside_the_crop() -> None:
    card = WarpEngine.card
    patch = card.patch
    assert not any(value % 2 for value in (patch.x, patch.y, patch.width, patch.height, card.crop_px))
    assert patch.x + patch.width <= card.crop_px
    assert patch.y + patch.height <= card.crop_px


def _inputs(count: int) -> dict[str, npt.NDArray[np.generic]]:
    """Noise in the pictures, and a mouth in the middle of the patch."""
    noise = np.random.default_rng(11)
    inputs: dict[str, npt.NDArray[np.generic]] = {}
    for name, (shape, kind) in INPUTS.items():
        whole = (count, *shape)
        values = noise.integers(0, 256, whole) if kind == "uint8" else noise.normal(0.0, 2.0, whole)
        inputs[name] = values.astype(kind)
    inputs["AXES"][:] = [0.014, 0.0, -1.45, 0.0, 0.005, -0.4]
    inputs["CURVES"][:] = np.stack([np.full(65, -0.01), np.full(65, 0.06)])
    inputs["TONE"][:] = [0.9, 1.0, 1.1, 0.03, 0.65, 0.2, -0.4, 0.4, 0.006]
    return inputs


async def test_the_committed_network_is_what_torch_computes() -> None:
    inputs = _inputs(3)
    tensors = LocalTensors(_REPOSITORY, observe=lambda _model, _seconds: None)
    served = (await tensors.infer("warp", inputs, [OUTPUT]))[OUTPUT].astype(int)
    with torch.inference_mode():
        torched = warp_export.WarpNetwork()(*(torch.from_numpy(inputs[name]) for name in INPUTS)).numpy().astype(int)
    assert np.abs(served - torched).max() <= 1


@pytest.mark.filterwarnings("ignore")  # the exporter's own warnings
async def test_the_recipe_makes_the_committed_network_again(tmp_path: Path) -> None:
    warp_export.export(tmp_path / "warp" / "1" / "model.onnx")
    inputs = _inputs(2)
    answers = [
        (await LocalTensors(place, observe=lambda _model, _seconds: None).infer("warp", inputs, [OUTPUT]))[OUTPUT]
        for place in (_REPOSITORY, tmp_path)
    ]
    np.testing.assert_array_equal(answers[0], answers[1])


def test_the_configuration_names_the_networks_tensors() -> None:
    for name in ("config.pbtxt", "configs/gpu.pbtxt"):
        text = (_REPOSITORY / "warp" / name).read_text()
        for tensor, (shape, _) in INPUTS.items():
            line = next(line for line in text.splitlines() if f'"{tensor}"' in line)
            assert f"dims: [ {', '.join(map(str, shape))} ]" in line


def test_the_face_that_tests_use_has_a_closed_mouth() -> None:
    axes = FaceAxes.of(np.stack([landmarks(0.0), landmarks(0.1)]))
    assert axes.aperture[0] < 0.01
    assert abs(axes.aperture[1] - 0.1) < 0.02
