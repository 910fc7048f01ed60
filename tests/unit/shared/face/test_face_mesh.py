from pathlib import Path

import cv2
import numpy as np
import pytest

from shared.face.mesh import FaceMesh, Roi, cut_square, face_height, roi_from_points

PORTRAIT = Path(__file__).resolve().parents[4] / "deploy" / "demo" / "portrait.jpg"


def ramp(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width].astype(np.float64) + 0.5
    return np.stack([x, y, np.zeros_like(x)], axis=-1).astype(np.uint8)


def oval(*, x: float, y: float, radius: float, lean: float) -> np.ndarray:
    points = np.zeros((468, 2), np.float32)
    around = np.linspace(0, 2 * np.pi, 468)
    points[:, 0], points[:, 1] = np.cos(around) * radius * 0.8, np.sin(around) * radius
    points[10], points[152], points[33], points[263] = (0, -radius), (0, radius), (-10, -5), (10, -5)
    turn = np.array([[np.cos(lean), -np.sin(lean)], [np.sin(lean), np.cos(lean)]])
    return (points @ turn.T + [x, y]).astype(np.float32)


def test_an_upright_square_shows_the_pixels_at_its_place() -> None:
    cut = cut_square(ramp(200, 250), Roi(x=120.0, y=90.0, side=64.0), 64)

    np.testing.assert_allclose(cut[..., 0] * 255, ramp(200, 250)[58:122, 88:152, 0], atol=0.5)
    np.testing.assert_allclose(cut[..., 1] * 255, ramp(200, 250)[58:122, 88:152, 1], atol=0.5)


def test_a_large_square_is_averaged_down_without_a_shift() -> None:
    picture = (ramp(1200, 1200).astype(int) // 1).astype(np.uint8)
    y, x = np.mgrid[:1200, :1200]
    picture[..., 0], picture[..., 1] = x * 200 // 1200, y * 200 // 1200

    cut = cut_square(picture, Roi(x=600.0, y=600.0, side=960.0), 96)

    assert cut[48, 48, 0] * 255 == pytest.approx(100, abs=1.5)
    assert cut[10, 20, 1] * 255 == pytest.approx((120 + 10.5 * 10) / 6, abs=1.5)
    assert cut[10, 20, 0] * 255 == pytest.approx((120 + 20.5 * 10) / 6, abs=1.5)


@pytest.mark.parametrize("lean", [-0.6, 0.0, 0.4])
def test_a_leaning_face_is_looked_at_with_level_eyes(lean: float) -> None:
    roi = roi_from_points(oval(x=300.0, y=200.0, radius=80.0, lean=lean))

    assert roi.angle == pytest.approx(lean, abs=1e-3)
    assert (roi.x, roi.y) == (pytest.approx(300, abs=0.5), pytest.approx(200, abs=0.5))
    assert roi.side == pytest.approx(240, abs=1)


def test_the_height_of_a_face_is_measured_from_forehead_to_chin() -> None:
    points = np.stack([oval(x=50.0, y=50.0, radius=20.0, lean=0.3), oval(x=0.0, y=0.0, radius=30.0, lean=0.0)])

    np.testing.assert_allclose(face_height(points), [40, 60], rtol=1e-5)


def test_a_picture_without_a_face_scores_low() -> None:
    grey = np.full((320, 320, 3), 90, np.uint8)

    mesh = FaceMesh().crop_landmarks(grey)

    assert mesh.points.shape == (468, 3)
    assert mesh.score < 0.5


@pytest.mark.parametrize("lean", [-0.7, -0.3, 0.0, 0.3, 0.7])
def test_the_points_on_a_crop_turn_with_the_face(lean: float) -> None:
    portrait, mesh = cv2.imread(str(PORTRAIT))[..., ::-1], FaceMesh()
    upright = mesh.landmarks(portrait, Roi(x=226.0, y=118.0, side=180.0)).points
    roi = roi_from_points(upright)
    crops = [
        np.rint(cut_square(portrait, Roi(x=roi.x, y=roi.y, side=180.0, angle=angle), 320) * 255).astype(np.uint8)
        for angle in (0.0, -lean)
    ]

    straight, leaning = (mesh.crop_landmarks(crop) for crop in crops)

    turn = np.array([[np.cos(lean), -np.sin(lean)], [np.sin(lean), np.cos(lean)]])
    expected = (straight.points[:, :2] - 160) @ turn.T + 160
    assert min(straight.score, leaning.score) > 0.9
    assert np.linalg.norm(leaning.points[:, :2] - expected, axis=1).mean() < 4
