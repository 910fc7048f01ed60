import numpy as np

from inference_node.engine.port import Patch
from inference_node.render.clip import encode_patches
from inference_node.render.messages import JobSpec
from shared.media.encode import Codec, Coding
from shared.media.planes import Matrix, planes_to_rgb
from shared.media.video import decode_video

PATCH = Patch(x=32, y=32, width=64, height=64)
SPEC = JobSpec(
    job_id="job",
    engine="",
    crop_px=128,
    matrix=Matrix.BT709,
    full_range=False,
    speech_digest=b"",
    speech_bytes=0,
    total_segments=1,
    patch=Coding(codec=Codec.H264, crf=10, preset="medium"),
)
TIMES = tuple(number * 40_000 for number in range(12))


def pictures(seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(60, 200, (len(TIMES), 8, 8, 3), dtype=np.uint8)
    return coarse.repeat(8, axis=1).repeat(8, axis=2)


def masks(radius: float) -> np.ndarray:
    one = np.array([0.5, 0.5, radius, radius * 0.8, 0.2, 0.2], dtype=np.float32)
    return np.tile(one, (len(TIMES), 1))


def encode(patches: np.ndarray, radius: float) -> bytes:
    return encode_patches(patches, masks(radius), TIMES, patch=PATCH, spec=SPEC)


def test_the_same_patches_are_the_same_bytes() -> None:
    assert len({encode(pictures(), 0.15) for _ in range(4)}) == 1


def test_inside_the_mask_the_picture_is_what_was_painted() -> None:
    patches = pictures()
    decoded = decode_video(encode(patches, 0.15), max_frames=12, max_pixels=64 * 64)
    assert len(decoded) == len(TIMES)
    shown = np.stack([planes_to_rgb(planes, Matrix.BT709, full_range=False) for planes in decoded])
    middle = (slice(None), slice(26, 38), slice(26, 38))
    assert np.abs(shown[middle].astype(int) - patches[middle].astype(int)).mean() < 6


def test_outside_of_the_mask_nothing_is_sent() -> None:
    whole, small = encode(pictures(), 2.0), encode(pictures(), 0.1)
    assert len(small) < 0.8 * len(whole)
    decoded = decode_video(small, max_frames=12, max_pixels=64 * 64)
    corner = np.stack([planes.y[:8, :8] for planes in decoded]).astype(int)
    assert np.ptp(corner) <= 4


def test_frames_without_paint_are_grey() -> None:
    decoded = decode_video(encode(pictures(), 0.0), max_frames=12, max_pixels=64 * 64)
    assert all(abs(int(planes.y.mean()) - 128) <= 1 for planes in decoded)
