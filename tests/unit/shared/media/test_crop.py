from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from shared.media.crop import Mask, crop_planes, paste_planes
from shared.media.planes import Planes

CROP = 256
RECT = (64, 96, 128, 128)
MASK = Mask(x=0.5, y=0.62, along=0.2, across=0.12, angle=0.2, feather=0.4)
SIDES = (100.0, 256.0, 317.3, 420.7)


def wave(xs: npt.NDArray[np.float64], ys: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """A picture that is known at every fraction of a pixel."""
    return np.asarray(128 + 50 * np.sin(xs[None, :] / 23) + 50 * np.cos(ys[:, None] / 31))


def middles(count: int, step: float = 1, start: float = 0) -> npt.NDArray[np.float64]:
    return start + (np.arange(count) + 0.5) * step


def picture(width: int = 640, height: int = 480) -> Planes:
    luma = wave(middles(width), middles(height)).round().astype(np.uint8)
    chroma = wave(middles(width // 2, 2), middles(height // 2, 2)).round().astype(np.uint8)
    return Planes(y=luma, u=chroma, v=chroma.copy())


def box_of(side: float) -> tuple[float, float, float]:
    return 300.3, 240.7, side


def part(crop: Planes) -> Planes:
    def of(plane: Any, step: int) -> Any:
        x, y, width, height = (value // step for value in RECT)
        return np.ascontiguousarray(plane[y : y + height, x : x + width])

    return Planes(y=of(crop.y, 1), u=of(crop.u, 2), v=of(crop.v, 2))


def difference(one: Planes, other: Planes) -> int:
    pairs = ((one.y, other.y), (one.u, other.u), (one.v, other.v))
    return max(int(np.abs(a.astype(int) - b).max()) for a, b in pairs)


def inverted(planes: Planes) -> Planes:
    return planes.map(lambda plane: 255 - plane)


@pytest.mark.parametrize("side", SIDES)
def test_a_crop_shows_each_place_where_it_is_in_all_planes(side: float) -> None:
    box = box_of(side)
    crop = crop_planes(picture(), box, CROP)
    scale = side / CROP
    xs, ys = middles(CROP, scale, box[0] - side / 2), middles(CROP, scale, box[1] - side / 2)
    assert np.abs(crop.y - wave(xs, ys)).max() < 1.6
    xs, ys = middles(CROP // 2, 2 * scale, box[0] - side / 2), middles(CROP // 2, 2 * scale, box[1] - side / 2)
    assert np.abs(crop.u - wave(xs, ys)).max() < 1.6


@pytest.mark.parametrize("side", SIDES)
def test_what_was_cut_out_goes_back_to_where_it_was(side: float) -> None:
    whole = picture()
    crop = crop_planes(whole, box_of(side), CROP)
    back = paste_planes(whole, part(crop), rect=RECT, box=box_of(side), crop_px=CROP, mask=MASK)
    assert difference(back, whole) <= 2


@pytest.mark.parametrize("side", SIDES)
def test_nothing_outside_the_mask_changes(side: float) -> None:
    whole = picture()
    kept = whole.copy()
    box = box_of(side)
    patch = inverted(part(crop_planes(whole, box, CROP)))
    result = paste_planes(whole, patch, rect=RECT, box=box, crop_px=CROP, mask=MASK)
    assert difference(whole, kept) == 0
    for plane, before, step in ((result.y, whole.y, 1), (result.u, whole.u, 2), (result.v, whole.v, 2)):
        xs, ys = ((middles(n, step) - c) / side + 0.5 for n, c in zip(plane.shape[::-1], box, strict=False))
        outside = MASK.weights(xs.astype(np.float32), ys.astype(np.float32)) == 0
        assert np.array_equal(plane[outside], before[outside])
        assert not np.array_equal(plane[~outside], before[~outside])


def test_the_middle_of_the_mask_is_all_paint() -> None:
    whole = picture()
    patch = inverted(part(crop_planes(whole, box_of(256.0), CROP)))
    result = paste_planes(whole, patch, rect=RECT, box=box_of(256.0), crop_px=CROP, mask=MASK)
    x, y = round(300.3), round(240.7 + 0.12 * 256)
    assert abs(int(result.y[y, x]) - (255 - int(whole.y[y, x]))) <= 2


@pytest.mark.parametrize(
    "box",
    [(5.0, 7.0, 300.0), (640.0, 480.0, 300.0), (-2000.0, 100.0, 90.0), (320.0, 9000.0, 90.0), (320.0, 240.0, 3000.0)],
)
def test_a_box_may_reach_beyond_the_picture(box: Sequence[float]) -> None:
    whole = picture()
    crop = crop_planes(whole, box, CROP)
    assert (crop.width, crop.height, crop.u.shape) == (CROP, CROP, (CROP // 2, CROP // 2))
    result = paste_planes(whole, inverted(part(crop)), rect=RECT, box=box, crop_px=CROP, mask=MASK)
    assert (result.width, result.height) == (640, 480)


def test_odd_pictures_are_painted_to_their_last_column() -> None:
    whole = Planes(
        y=np.full((121, 161), 50, np.uint8), u=np.full((61, 81), 90, np.uint8), v=np.full((61, 81), 90, np.uint8)
    )
    patch = Planes(
        y=np.full((64, 64), 200, np.uint8), u=np.full((32, 32), 30, np.uint8), v=np.full((32, 32), 30, np.uint8)
    )
    mask = Mask(x=0.5, y=0.5, along=0.7, across=0.7, angle=0, feather=0.01)
    result = paste_planes(whole, patch, rect=(0, 0, 64, 64), box=(161.0, 121.0, 64.0), crop_px=64, mask=mask)
    assert (result.y[-1, -1], result.u[-1, -1]) == (200, 30)


def test_fine_detail_does_not_alias_when_a_crop_is_made_smaller() -> None:
    stripes = np.tile(np.array([0, 255], np.uint8), (480, 320))
    flat = np.full((240, 320), 128, np.uint8)
    crop = crop_planes(Planes(y=stripes, u=flat, v=flat), (320.0, 240.0, 400.0), 100)
    assert crop.y.std() < 4


def test_a_frame_without_paint_is_the_frame_itself() -> None:
    whole = picture()
    empty = Mask(x=0, y=0, along=0, across=0, angle=0, feather=0)
    patch = part(crop_planes(whole, box_of(256.0), CROP))
    assert paste_planes(whole, patch, rect=RECT, box=box_of(256.0), crop_px=CROP, mask=empty) is whole
    with pytest.raises(ValueError, match="does not fill"):
        paste_planes(whole, whole, rect=RECT, box=box_of(256.0), crop_px=CROP, mask=MASK)
