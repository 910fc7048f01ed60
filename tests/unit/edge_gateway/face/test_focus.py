import numpy as np

from edge_gateway.face.focus import SoftFocus
from shared.media.planes import Planes


def noisy(size: int) -> Planes:
    noise = np.random.default_rng(3)
    half = (size + 1) // 2
    y, u, v = (noise.integers(0, 256, (side, side), np.uint8) for side in (size, half, half))
    return Planes(y=y, u=u, v=v)


def test_the_face_stays_as_it_is_and_the_rest_loses_its_details() -> None:
    crop = noisy(320)

    soft = SoftFocus(crop_px=320, crop_scale=1.6).apply(crop)

    np.testing.assert_array_equal(soft.y[80:260, 90:230], crop.y[80:260, 90:230])
    np.testing.assert_array_equal(soft.u[40:130, 45:115], crop.u[40:130, 45:115])
    assert soft.y[:, :20].std() < 0.2 * crop.y.std()
    assert soft.v[:, -10:].std() < 0.3 * crop.v.std()


def test_colours_do_not_drift() -> None:
    flat = Planes(
        y=np.full((160, 160), 77, np.uint8), u=np.full((80, 80), 130, np.uint8), v=np.full((80, 80), 99, np.uint8)
    )

    soft = SoftFocus(crop_px=160, crop_scale=1.6).apply(flat)

    assert all(np.ptp(plane) == 0 for plane in (soft.y, soft.u, soft.v))
    assert (soft.y[0, 0], soft.u[0, 0], soft.v[0, 0]) == (77, 130, 99)
