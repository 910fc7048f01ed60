"""Small pictures of files, made in the sandbox."""

import io
from collections.abc import AsyncIterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edge_gateway.picture import SIDE, take_picture
from shared.errors import InvalidMediaError
from shared.media.encode import ColourTags, Encoding
from shared.media.planes import Planes
from shared.media.sandbox import ChildLimits, Reach, Sandbox
from shared.media.video import encode_video

MEDIA = Path(__file__).resolve().parents[2] / "media"


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox(preload=["edge_gateway.picture"]) as sandbox:
        yield sandbox


async def picture(sandbox: Sandbox, path: Path, at_us: int | None = 0) -> Image.Image:
    arguments: dict[str, Any] = {"path": str(path), "field": "asset_id", "at_us": at_us}
    message = await sandbox.call(take_picture, arguments, ChildLimits(), 30, Reach(reads=(str(path),)))
    return Image.open(io.BytesIO(message.payload), formats=("JPEG",))


def greys(path: Path, values: list[int], width: int = 64, height: int = 48) -> Path:
    """A video whose frames are of one grey each, 25 a second."""
    frames = [
        Planes(
            y=np.full((height, width), value, np.uint8),
            u=np.full((height // 2, width // 2), 128, np.uint8),
            v=np.full((height // 2, width // 2), 128, np.uint8),
        )
        for value in values
    ]
    encoding = Encoding(rate=Fraction(25), crf=10, colour=ColourTags.of("bt709", full_range=True))
    path.write_bytes(encode_video(frames, [index * 40_000 for index in range(len(frames))], encoding))
    return path


async def test_a_large_picture_is_made_small_and_keeps_its_shape(sandbox: Sandbox) -> None:
    made = await picture(sandbox, MEDIA / "clip.mp4")
    assert max(made.size) <= SIDE
    assert made.format == "JPEG"


@pytest.mark.parametrize(("at_us", "grey"), [(0, 20), (40_000, 120), (60_000, 220), (None, 220), (9_000_000, 220)])
async def test_the_frame_is_that_of_its_time(sandbox: Sandbox, tmp_path: Path, at_us: int | None, grey: int) -> None:
    made = await picture(sandbox, greys(tmp_path / "greys.mp4", [20, 120, 220]), at_us)
    assert made.size == (64, 48)
    assert np.abs(np.asarray(made).astype(int) - grey).max() <= 6


async def test_a_photo_is_made_upright(sandbox: Sandbox, tmp_path: Path) -> None:
    lying = Image.fromarray(np.tile(np.uint8([[250], [5]]), (1, 2)).repeat(300, axis=0).repeat(500, axis=1))
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    lying.convert("RGB").save(tmp_path / "photo.jpg", exif=exif)
    made = await picture(sandbox, tmp_path / "photo.jpg")
    assert made.size == (288, 480)
    pixels = np.asarray(made)
    assert pixels[240, 20].max() < 30
    assert pixels[240, 260].min() > 200


@pytest.mark.parametrize("data", [b"", b"\xff\xd8\xff\xe0 no", b"x" * 2000])
async def test_what_is_no_picture_is_refused(sandbox: Sandbox, tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x").write_bytes(data)
    with pytest.raises(InvalidMediaError) as refused:
        await picture(sandbox, tmp_path / "x")
    assert refused.value.field == "asset_id"
