import numpy as np

from inference_node.render.turn import HIDDEN_FROM, SHOWN_TO, seen_yaw, shown_share
from shared.face.mesh import FaceMesh
from tests.portrait import portrait_crop, turned


def test_a_head_that_turns_is_seen_to_turn_and_a_profile_is_not_painted() -> None:
    mesh, crop = FaceMesh(), portrait_crop()
    points = mesh.crop_landmarks(crop).points
    angles = (0, 20, 35, 60)
    for side in (1, -1):
        found = [mesh.crop_landmarks(turned(crop, points, side * angle)).points for angle in angles]
        yaws = seen_yaw(np.stack(found))
        assert (np.diff(yaws) > 0).all()
        shares = shown_share(yaws)
        assert shares[:3].tolist() == [1.0, 1.0, 1.0]
        if side < 0:
            assert shares[3] == 0.0


def test_paint_goes_softly_and_entirely() -> None:
    shares = shown_share(np.linspace(SHOWN_TO - 0.1, HIDDEN_FROM + 0.1, 100).astype(np.float32))
    assert shares[0] == 1.0
    assert shares[-1] == 0.0
    assert (np.diff(shares) <= 0).all()
    assert np.abs(np.diff(shares)).max() < 0.06


def test_points_that_say_nothing_are_not_turned() -> None:
    assert seen_yaw(np.zeros((2, 468, 3), dtype=np.float32)).tolist() == [0.0, 0.0]
