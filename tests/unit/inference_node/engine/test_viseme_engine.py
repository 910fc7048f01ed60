from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from inference_node.engine import painter, warp
from inference_node.engine.canvas import canvas, looks_of
from inference_node.engine.likeness import NOTHING
from inference_node.engine.local import LocalTensors
from inference_node.engine.port import FaceFrames
from inference_node.engine.registry import MODEL_REPOSITORY
from inference_node.engine.sketch import sketch
from inference_node.engine.viseme import VisemeEngine
from inference_node.engine.warp import PATCH, WarpEngine, patches_of
from tests.mean_face import frames, hole, mouth, outside

CLOSED, OPEN = (0.0, 0.0, 0.0, 0.0), (0.09, 0.0, 0.0, 0.0)
DARK = 250
TALKING = (0.0, 0.01, 0.03, 0.05, 0.08, 0.1, 0.09, 0.06, 0.04, 0.02, 0.0, 0.0, 0.03, 0.07, 0.1, 0.06, 0.02, 0.0)


def shapes(*rows: tuple[float, ...]) -> npt.NDArray[np.float32]:
    return np.array(rows, dtype=np.float32)


@pytest.fixture(scope="module")
def tensors() -> LocalTensors:
    return LocalTensors(MODEL_REPOSITORY, observe=lambda _model, _seconds: None)


@pytest.fixture(scope="module")
def engine(tensors: LocalTensors) -> VisemeEngine:
    return VisemeEngine(tensors)


async def test_an_open_mouth_closes_and_a_closed_one_opens(engine: VisemeEngine) -> None:
    given = frames(0.1, 0.0)
    memory = await engine.remember(given)
    shut = await engine.render(given, shapes(CLOSED, CLOSED), memory)
    wide = await engine.render(given, shapes(OPEN, OPEN), memory)
    for index in (0, 1):
        assert hole(shut.patches[index], DARK) < 0.2 * hole(wide.patches[index], DARK)
        assert hole(wide.patches[index], DARK) > 200


async def test_outside_the_ellipse_no_pixel_changes(engine: VisemeEngine) -> None:
    given = frames(0.1, 0.0)
    painted = await engine.render(given, shapes(CLOSED, OPEN), await engine.remember(given))
    before = patches_of(given.crops)
    for index in range(2):
        beyond = outside(painted.masks[index])
        assert beyond.any()
        np.testing.assert_array_equal(painted.patches[index][beyond], before[index][beyond])
        assert (painted.patches[index][~beyond] != before[index][~beyond]).any()


async def test_a_frame_is_the_same_alone_and_among_others(engine: VisemeEngine) -> None:
    given = frames(*TALKING)
    asked = np.stack([shapes(OPEN)[0] * share for share in np.linspace(1.0, 0.0, len(TALKING))])
    memory = await engine.remember(given)
    together = await engine.render(given, asked, memory)
    for index in (0, 7, len(TALKING) - 1):
        alone = await engine.render(given.part([index]), asked[index : index + 1], memory)
        np.testing.assert_array_equal(alone.patches[0], together.patches[index])
        np.testing.assert_array_equal(alone.masks[0], together.masks[index])


async def test_a_face_is_learnt_the_same_way_twice(engine: VisemeEngine) -> None:
    first, second = await engine.remember(frames(*TALKING)), await engine.remember(frames(*TALKING))
    assert np.abs(first.head).max() > 0
    np.testing.assert_array_equal(first.head, second.head)


async def test_what_was_learnt_brings_a_face_nearer_to_its_own_frames(tensors: LocalTensors) -> None:
    given = frames(*TALKING)
    errors = []
    for learns in (False, True):
        engine = VisemeEngine(tensors, learns=learns)
        memory = await engine.remember(given)
        asked = np.zeros((len(TALKING), 4), dtype=np.float32)
        asked[:, 0] = TALKING
        # The mouth of each frame painted onto a closed one.
        closed = frames(*([0.0] * len(TALKING)))
        painted = await engine.render(closed, asked, memory)
        truth = patches_of(given.crops)
        errors.append(
            np.mean(
                [np.square(mouth(one) - mouth(other)).mean() for one, other in zip(painted.patches, truth, strict=True)]
            )
        )
    assert errors[1] < errors[0]


async def test_what_was_learnt_of_a_closed_mouth_is_not_trusted_for_a_wide_one(engine: VisemeEngine) -> None:
    given = frames(*(0.0005 * at for at in range(18)))
    memory = await engine.remember(given)
    assert memory.head.any()
    drawn = canvas(sketch(frames(0.0, 0.0), shapes(CLOSED, OPEN), memory.looks.warp.rest_width), memory.looks)
    closed, wide = memory.heads(drawn)
    np.testing.assert_array_equal(closed, memory.head)
    assert not wide.any()


async def test_a_single_picture_is_too_little_to_learn_from_and_is_painted_all_the_same(engine: VisemeEngine) -> None:
    photo = frames(0.0)
    memory = await engine.remember(photo)
    assert not memory.head.any()
    assert memory.looks.likenesses[0] is NOTHING
    wide = await engine.render(photo, shapes(OPEN), memory)
    assert hole(wide.patches[0], DARK) > 150


async def test_nothing_is_painted_where_there_is_no_face(engine: VisemeEngine) -> None:
    given = frames(0.0, 0.1)
    given.landmarks[0] = 0.0
    painted = await engine.render(given, shapes(OPEN, OPEN), await engine.remember(given))
    np.testing.assert_array_equal(painted.patches[0], patches_of(given.crops)[0])
    assert painted.masks[0, 2] == 0.0
    assert painted.masks[1, 2] > 0.0


async def test_no_frames_and_no_reference_are_no_error(engine: VisemeEngine) -> None:
    none = FaceFrames(
        crops=np.zeros((0, 320, 320, 3), dtype=np.uint8), landmarks=np.zeros((0, 468, 2), dtype=np.float32)
    )
    memory = await engine.remember(none)
    painted = await engine.render(none, np.zeros((0, 4), dtype=np.float32), memory)
    assert painted.patches.shape == (0, PATCH.height, PATCH.width, 3)
    assert not memory.head.any()


async def test_a_face_at_the_crops_edge_is_painted_where_there_is_room(engine: VisemeEngine) -> None:
    given = frames(0.0, 0.1)
    given.landmarks[:] += (70.0, 60.0)
    painted = await engine.render(given, shapes(OPEN, CLOSED), await engine.remember(given))
    assert painted.patches.shape == (2, PATCH.height, PATCH.width, 3)


def test_the_window_lies_within_the_patch_on_even_pixels() -> None:
    given = frames(0.0, 0.1)
    given.landmarks[1] += (500.0, -500.0)
    looks = looks_of(frames(0.0))
    corners = canvas(sketch(given, shapes(OPEN, OPEN), looks.warp.rest_width), looks).inputs["CORNER"]
    assert (corners >= 0).all()
    assert (corners <= (PATCH.width - painter.WINDOW_WIDTH, PATCH.height - painter.WINDOW_HEIGHT)).all()
    assert (corners % 2 == 0).all()


def test_it_takes_the_crops_that_the_geometric_engine_takes() -> None:
    """So a face that was cut for the one serves the other."""
    ours, theirs = VisemeEngine.card, WarpEngine.card
    assert (ours.crop_px, ours.crop_scale, ours.patch) == (theirs.crop_px, theirs.crop_scale, theirs.patch)


@pytest.mark.parametrize(
    ("model", "inputs"), [("viseme", painter.INPUTS), ("viseme_learn", painter.LEARN_INPUTS)], ids=["viseme", "learn"]
)
@pytest.mark.parametrize("name", ["config.pbtxt", "configs/gpu.pbtxt"])
def test_the_configuration_names_the_networks_tensors(model: str, inputs: painter.Inputs, name: str) -> None:
    text = (MODEL_REPOSITORY / model / name).read_text()
    for tensor, (shape, kind) in inputs.items():
        line = next(line for line in text.splitlines() if f'"{tensor}"' in line)
        assert f"dims: [ {', '.join(map(str, shape))} ]" in line
        assert f"TYPE_{ {'uint8': 'UINT8', 'float32': 'FP32'}[kind] } " in line


def test_all_weights_together_stay_small() -> None:
    sizes = [path.stat().st_size for path in MODEL_REPOSITORY.glob("*/1/*")]
    assert sum(sizes) < 20_000_000
    assert Path(MODEL_REPOSITORY / "viseme" / "CARD.md").is_file()


@pytest.mark.parametrize("model", ["viseme", "warp"])
async def test_a_network_survives_inputs_that_mean_nothing(tensors: LocalTensors, model: str) -> None:
    """Triton is probed with zeros, in which lips have no edges and faces no size."""
    given = painter.INPUTS if model == "viseme" else warp.INPUTS
    for value in (0, np.nan):
        inputs = {
            name: np.full((2, *shape), value if kind == "float32" else 0, dtype=kind)
            for name, (shape, kind) in given.items()
        }
        inputs["CORNER"] = np.zeros((2, 2), dtype=np.float32)
        answer = await tensors.infer(model, {name: inputs[name] for name in given}, [painter.OUTPUT])
        assert answer[painter.OUTPUT].shape == (2, PATCH.height, PATCH.width, 3)
