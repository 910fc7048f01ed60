import numpy as np

from inference_node.engine.thin_plate import thin_plate


def test_the_field_passes_through_its_points() -> None:
    random = np.random.default_rng(3)
    points = random.uniform(0.0, 1.0, (40, 2))
    values = np.stack([np.sin(3.0 * points[:, 0]), points[:, 1] ** 2], axis=1)
    assert np.abs(thin_plate(points, values, points) - values).max() < 0.01


def test_a_plane_stays_a_plane_far_outside() -> None:
    random = np.random.default_rng(4)
    points = random.uniform(0.0, 1.0, (30, 2))
    slope = np.array([[2.0, -1.0], [0.5, 3.0]])
    queries = random.uniform(-2.0, 3.0, (50, 2))
    np.testing.assert_allclose(thin_plate(points, points @ slope, queries), queries @ slope, atol=1e-3)


def test_points_on_each_other_that_disagree_are_forgiven() -> None:
    points = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.5, 0.5], [0.5, 0.5]])
    values = np.array([[0.0], [0.0], [0.0], [0.1], [-0.1]])
    field = thin_plate(points, values, points)
    assert np.isfinite(field).all()
    assert np.abs(field).max() < 0.1
