"""Small clips made on the spot; every frame carries its own number."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest

from shared.media.planes import Planes
from shared.media.priority import usual_priority

MakeClip = Callable[..., Path]
_BITS = 8


def numbered_rgb(number: int, width: int, height: int) -> npt.NDArray[np.uint8]:
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    rgb = np.stack([(x + 3 * number) % 256, y % 256, (x + y + number) % 256], axis=-1).astype(np.uint8)
    for bit in range(_BITS):
        rgb[8:24, bit * 16 : bit * 16 + 16] = 255 * (number >> bit & 1)
    return rgb


@pytest.fixture
def read_number() -> Callable[[Planes], int]:
    def read(planes: Planes) -> int:
        return sum(int(planes.y[16, bit * 16 + 8] > 127) << bit for bit in range(_BITS))

    return read


@pytest.fixture
def make_clip(tmp_path: Path) -> MakeClip:
    """Writes ``name`` with a codec; ``times_ms`` for a variable frame rate."""

    def make(
        name: str,
        codec: str = "libx264",
        *,
        frames: int = 60,
        size: tuple[int, int] = (160, 120),
        pixels: str = "yuv420p",
        options: dict[str, str] | None = None,
        times_ms: Sequence[int] | None = None,
        rotation: tuple[float, bool, bool] | None = None,
        picture: npt.NDArray[np.uint8] | None = None,
    ) -> Path:
        path = tmp_path / name
        base = Fraction(1, 1000) if times_ms else Fraction(1, 25)
        with usual_priority(), av.open(str(path), "w") as out:
            stream = out.add_stream(codec, rate=25, options=options or {})
            stream.width, stream.height, stream.pix_fmt = *size, pixels
            stream.codec_context.time_base = base
            if rotation:
                stream.set_display_rotation(rotation[0], hflip=rotation[1], vflip=rotation[2])
            for number in range(frames):
                rgb = numbered_rgb(number, *size) if picture is None else picture
                frame = av.VideoFrame.from_ndarray(rgb, "rgb24").reformat(format=pixels)
                frame.pts, frame.time_base = times_ms[number] if times_ms else number, base
                out.mux(stream.encode(frame))
            out.mux(stream.encode(None))
        return path

    return make
