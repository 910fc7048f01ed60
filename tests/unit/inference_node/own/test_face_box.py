import numpy as np
import pytest

from inference_node.engine.port import Patch
from inference_node.own.card import FaceRule, PasteRule
from inference_node.own.face_box import cut_face, paste_masks, put_back, same_colour, tight_boxes, usable
from shared.media.crop import Mask

PATCH = Patch(x=48, y=120, width=224, height=192)


def face(left: float = 90.0, top: float = 60.0, right: float = 230.0, bottom: float = 260.0) -> np.ndarray:
    points = np.random.default_rng(3).uniform((left, top), (right, bottom), (468, 2))
    points[0], points[1] = (left, top), (right, bottom)
    return points[None].astype(np.float32)


def picture(seed: int = 1) -> np.ndarray:
    small = np.random.default_rng(seed).uniform(0, 255, (10, 10, 3))
    ramp = np.kron(small, np.ones((32, 32, 1)))
    return ramp.astype(np.uint8)


def test_the_box_is_tight_and_padded_by_shares_of_its_own_sides() -> None:
    np.testing.assert_allclose(tight_boxes(face(), FaceRule()), [[90, 60, 230, 260]])
    padded = FaceRule(pad_left=0.1, pad_right=0.2, pad_top=-0.05, pad_bottom=0.05)
    np.testing.assert_allclose(tight_boxes(face(), padded), [[76, 70, 258, 270]], atol=1e-4)
    np.testing.assert_allclose(tight_boxes(face(), FaceRule(square=True)), [[60, 60, 260, 260]], atol=1e-4)


def test_a_face_without_a_size_or_a_place_is_not_used() -> None:
    lost = face()
    lost[0, 7, 0] = np.nan
    boxes = tight_boxes(np.concatenate([face(), face(right=100.0), lost]), FaceRule())
    assert usable(boxes).tolist() == [True, False, False]


def test_what_is_cut_is_the_box_to_the_fraction_of_a_pixel() -> None:
    across, down = np.meshgrid(np.arange(320), np.arange(320))
    crop = np.stack([across * 0.5, down * 0.5, np.full_like(across, 7.0)], axis=2).astype(np.uint8)
    cut = cut_face(crop, np.array([80.0, 40.0, 240.0, 232.0]), (96, 80)).astype(float)
    assert cut.shape == (96, 80, 3)
    middles = 80 + (np.arange(80) + 0.5) * 2 - 0.5
    np.testing.assert_allclose(cut[50, :, 0], middles * 0.5, atol=1.0)
    np.testing.assert_allclose(cut[:, 50, 1], (40 + (np.arange(96) + 0.5) * 2 - 0.5) * 0.5, atol=1.0)
    # A large face for a small network: no pixel is skipped.
    fine = np.zeros((320, 320, 3), np.uint8)
    fine[:, ::2] = 200
    assert np.abs(cut_face(fine, np.array([0.0, 0.0, 320.0, 320.0]), (32, 32)).astype(int) - 100).max() <= 2


def test_a_face_put_back_unchanged_is_the_crop_and_outside_its_box_every_pixel_is_the_crops() -> None:
    crop, box = picture(), np.array([95.25, 58.5, 227.75, 262.5])
    shown = crop[PATCH.y : PATCH.y + PATCH.height, PATCH.x : PATCH.x + PATCH.width]
    white = np.full((96, 96, 3), 255, np.uint8)
    back = put_back(crop, white, box, PATCH)
    columns = np.arange(PATCH.width) + PATCH.x + 0.5
    rows = np.arange(PATCH.height) + PATCH.y + 0.5
    inside = np.outer((rows > box[1]) & (rows < box[3]), (columns > box[0]) & (columns < box[2]))
    np.testing.assert_array_equal(back[~inside], shown[~inside])
    assert np.abs(back[0].astype(int) - shown[0]).max() <= 2  # no seam where the patch ends
    assert (back[80, 112] == 255).all()
    smooth = np.dstack([np.tile(np.linspace(20, 220, 320), (320, 1))] * 3).astype(np.uint8)
    same = put_back(smooth, cut_face(smooth, box, (192, 192)), box, PATCH)
    part = smooth[PATCH.y : PATCH.y + PATCH.height, PATCH.x : PATCH.x + PATCH.width]
    assert np.abs(same.astype(int) - part).max() <= 1


def test_the_ellipse_lies_in_the_lower_half_of_the_box_and_fades_before_its_border() -> None:
    box = np.array([[90.0, 60.0, 230.0, 260.0]])
    mask = Mask.of(paste_masks(box, PasteRule(), 320)[0].tolist())
    places = ((np.arange(320) + 0.5) / 320).astype(np.float32)
    weights = mask.weights(places, places)
    assert (weights[:60] == 0).all()
    assert (weights[260:] == 0).all()
    assert (weights[:, :90] == 0).all()
    assert (weights[:, 230:] == 0).all()
    assert weights[:150].max() == 0.0  # the eyes
    assert weights[205, 160] == 1.0  # the mouth


@pytest.mark.parametrize("shift", [-12, 0, 15])
def test_colour_is_kept(shift: int) -> None:
    seen = picture()[:96, :96]
    painted = np.clip(seen.astype(int) + shift, 0, 255).astype(np.uint8)
    painted[48:] = 100
    kept = same_colour(painted, seen, 0.5)
    lit = (seen > 40) & (seen < 215)
    assert np.abs(kept[:48].astype(int) - seen[:48])[lit[:48]].max() <= 3
    far = same_colour(np.zeros_like(seen), seen, 0.5)
    assert far.max() <= 24  # never more than a tint
