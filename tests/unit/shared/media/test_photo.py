"""Photos as phones make them: more pixels than a frame of a video may have."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from shared.errors import LimitExceededError
from shared.media.limits import MediaLimits
from shared.media.photo import LONGEST_SIDE, read_photo, reduced_size
from shared.media.planes import planes_to_rgb
from shared.media.probe import MediaInfo, probe, probe_task
from shared.media.sandbox import ChildLimits, Reach, Sandbox
from shared.media.video import FrameReader

LIMITS = MediaLimits()
TURNED = 6


def _scene(width: int, height: int) -> Image.Image:
    """Red left, blue right, brighter to the bottom; smooth, so that it packs well."""
    small = np.zeros((64, 64, 3), np.uint8)
    small[:, :32, 0] = 200
    small[:, 32:, 2] = 200
    small[:, :, 1] = np.linspace(0, 100, 64)[:, None]
    return Image.fromarray(small).resize((width, height), Image.Resampling.NEAREST)


@pytest.mark.parametrize(
    ("name", "size"),
    [("12.jpg", (4032, 3024)), ("50.jpg", (8160, 6120)), ("12.png", (3024, 4032)), ("48.png", (8064, 6048))],
)
async def test_photos_of_phones_fit_the_sandbox_and_become_frames(
    name: str, size: tuple[int, int], tmp_path: Path
) -> None:
    path = tmp_path / name
    _scene(*size).save(path, compress_level=1)
    limits = ChildLimits(address_space_bytes=4 << 30, cpu_seconds=60, file_bytes=0)
    async with Sandbox() as sandbox:
        arguments = {"path": str(path), "field": "video", "limits": asdict(LIMITS)}
        message = await sandbox.call(probe_task, arguments, limits, 60, Reach(reads=(arguments["path"],)))
    info = MediaInfo.from_header(message.header)
    assert (info.original_width, info.original_height) == size
    assert 0.99 * LIMITS.frame_pixels < info.width * info.height <= LIMITS.frame_pixels
    assert (info.width % 2, info.height % 2) == (0, 0)
    assert info.width / info.height == pytest.approx(size[0] / size[1], rel=1e-3)
    with FrameReader(path, LIMITS) as reader:
        planes = next(iter(reader)).planes
        assert (reader.source.width, reader.source.height) == (planes.width, planes.height) == (info.width, info.height)
    rgb = planes_to_rgb(planes, reader.source.matrix, full_range=False)
    left, right = rgb[planes.height // 2, planes.width // 4], rgb[planes.height // 2, planes.width * 3 // 4]
    assert left[0] - left[2] > 130
    assert right[2] - right[0] > 130


def test_a_large_photo_is_turned_upright_and_put_on_white(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = TURNED
    _scene(4000, 3000).save(tmp_path / "turned.jpg", exif=exif)
    photo = read_photo(tmp_path / "turned.jpg", LIMITS, "video")
    assert photo.original_size == (3000, 4000)
    assert photo.planes.width < photo.planes.height
    rgb = planes_to_rgb(photo.planes, "bt709", full_range=False)
    assert rgb[100, photo.planes.width // 2, 0] > 190, "what was left is at the top"
    clear = _scene(4000, 3000).convert("RGBA")
    clear.putalpha(0)
    clear.save(tmp_path / "clear.png", compress_level=1)
    assert read_photo(tmp_path / "clear.png", LIMITS, "video").planes.y.min() >= 234


@pytest.mark.parametrize("mode", ["L", "P", "1", "CMYK"])
def test_large_photos_of_other_colours_are_reduced(mode: str, tmp_path: Path) -> None:
    path = tmp_path / ("a.jpg" if mode == "CMYK" else "a.png")
    _scene(4000, 3000).convert(mode).save(path)
    assert read_photo(path, LIMITS, "video").planes.y.size <= LIMITS.frame_pixels


def test_a_photo_with_pictures_after_it_counts_as_its_first(tmp_path: Path) -> None:
    _scene(4000, 3000).save(tmp_path / "a.jpg", format="MPO", save_all=True, append_images=[_scene(400, 300)])
    assert read_photo(tmp_path / "a.jpg", LIMITS, "video").original_size == (4000, 3000)


def test_a_photo_that_fits_a_frame_stays_as_it_is(tmp_path: Path) -> None:
    _scene(1001, 701).save(tmp_path / "a.png")
    info = probe(tmp_path / "a.png", LIMITS, "video")
    assert (info.width, info.height, info.original_width, info.original_height) == (1001, 701, 0, 0)


def test_a_photo_beyond_its_own_limit_is_refused_undecoded(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.new("1", (10_000, 7_000)).save(path)
    with pytest.raises(LimitExceededError, match=r"10000x7000 is 70000000 pixels; at most 64000000") as error:
        read_photo(path, LIMITS, "video")
    assert (error.value.field, error.value.limit) == ("video", "photo_pixels")
    assert read_photo(path, MediaLimits(photo_pixels=70_000_000), "video").original_size == (10_000, 7_000)


def test_reduced_sizes_are_even_and_as_large_as_a_frame_may_be() -> None:
    assert reduced_size(4096, 2304, 9_437_184) == (4096, 2304)
    assert reduced_size(4097, 2304, 9_437_184) == (4096, 2302)
    assert reduced_size(20_000, 400, 9_437_184) == (LONGEST_SIDE, 162)
    assert reduced_size(64_000_000, 1, 9_437_184) == (LONGEST_SIDE, 2)
