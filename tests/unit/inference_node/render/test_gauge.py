import numpy as np
import pytest

from inference_node.engine.local import LocalTensors
from inference_node.engine.port import FaceFrames
from inference_node.engine.registry import MODEL_REPOSITORY
from inference_node.engine.warp import PATCH, WarpEngine
from inference_node.render.clip import look_at_lips
from inference_node.render.gauge import UNSEEN, aperture, looked_at, shown
from inference_node.speech.mouth import Shape
from shared.face.mesh import FaceMesh
from tests.portrait import portrait_crop


@pytest.fixture(scope="module")
def frames() -> FaceFrames:
    crop = portrait_crop()
    points = FaceMesh().crop_landmarks(crop).points
    return FaceFrames(crops=np.repeat(crop[None], 3, axis=0), landmarks=np.repeat(points[None, :, :2], 3, axis=0))


async def test_what_was_painted_is_measured_and_nothing_is_changed_by_it(frames: FaceFrames) -> None:
    engine = WarpEngine(LocalTensors(MODEL_REPOSITORY, observe=lambda *_: None))
    shapes = np.zeros((3, len(Shape)), dtype=np.float32)
    shapes[:, Shape.APERTURE] = (0.0, 0.05, 0.1)
    painted = await engine.render(frames, shapes, await engine.remember(frames))
    before = (frames.crops.copy(), painted.patches.copy(), painted.masks.copy())
    seen = look_at_lips(frames, painted, PATCH, np.array([True, True, True]))
    assert seen == pytest.approx([0.0, 0.05, 0.1], abs=0.025)
    assert (np.diff(seen) > 0.02).all()
    for was, now in zip(before, (frames.crops, painted.patches, painted.masks), strict=True):
        assert np.array_equal(was, now)
    painted.masks[1, 2] = 0.0
    seen = look_at_lips(frames, painted, PATCH, np.array([False, True, True]))
    assert seen[:2].tolist() == [UNSEEN, UNSEEN]
    assert seen[2] > 0


def test_outside_of_the_mask_the_picture_is_the_crop(frames: FaceFrames) -> None:
    patch = np.zeros((PATCH.height, PATCH.width, 3), dtype=np.uint8)
    mask = np.array([0.5, 0.65, 0.1, 0.1, 0.0, 0.5], dtype=np.float32)
    picture = shown(frames.crops[0], patch, mask, PATCH)
    differs = np.argwhere((picture != frames.crops[0]).any(axis=2)) / picture.shape[0]
    assert np.hypot(differs[:, 1] - 0.5, differs[:, 0] - 0.65).max() <= 0.1 + 0.005
    assert picture[round(0.65 * 320), 160].tolist() == [0, 0, 0]


def test_every_other_moment_is_looked_at_wherever_a_segment_begins() -> None:
    for rate in (24, 25, 30, 50, 59.94):
        times = [round(at * 1_000_000 / rate) for at in range(300)]
        whole = looked_at(times)
        assert 0.45 < whole.mean() < 0.56
        assert np.array_equal(np.concatenate([looked_at(times[:77]), looked_at(times[77:])]), whole)
        gaps = np.diff(np.array(times)[whole])
        assert gaps.max() <= 126_000
    assert looked_at([0, 100_000, 200_000, 300_000]).all()


def test_an_aperture_is_measured_over_the_height_of_the_face() -> None:
    points = np.zeros((468, 2), dtype=np.float32)
    points[152] = (0, 200)
    points[[87, 14, 317]] = ((0, 5), (0, 10), (0, 15))
    assert aperture(points) == pytest.approx(0.05)
