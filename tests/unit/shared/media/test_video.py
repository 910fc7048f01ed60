import random
from collections.abc import Callable
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from shared.errors import InvalidMediaError, LimitExceededError
from shared.media.limits import MediaLimits
from shared.media.planes import Matrix, Planes, pad_to_even, planes_to_rgb, rgb_to_planes
from shared.media.video import ColourTags, Encoding, FrameReader, SourceFrame, decode_video, encode_video

MakeClip = Callable[..., Path]
ReadNumber = Callable[[Planes], int]

X264 = {"x264-params": "keyint=25:bframes=3:b-adapt=0"}
LONG_GOP = {"x264-params": "keyint=infinite:bframes=3"}
OPEN_GOP = {"x264-params": "keyint=15:min-keyint=5:open-gop=1:bframes=3"}
X265 = {"x265-params": "keyint=15:log-level=none"}
UNEVEN = [sum([10, 33, 40, 100][i % 4] for i in range(n)) for n in range(60)]
SOURCES: dict[str, dict[str, Any]] = {
    "b_frames.mp4": {"options": X264},
    "long_gop.mp4": {"options": LONG_GOP},
    "open_gop.mp4": {"options": OPEN_GOP},
    "hevc.mov": {"codec": "libx265", "options": X265},
    "hevc10.mkv": {"codec": "libx265", "options": X265, "pixels": "yuv420p10le"},
    "uneven.mp4": {"times_ms": UNEVEN, "options": X264},
    "uneven.mkv": {"times_ms": UNEVEN, "options": X264},
    "odd.webm": {"codec": "libvpx-vp9", "size": (161, 121), "options": {"deadline": "realtime", "cpu-used": "8"}},
    "av1.mkv": {"codec": "libdav1d"},
    "b_frames.avi": {"options": X264},
    "mpeg4.avi": {"codec": "mpeg4"},
    "b_frames.flv": {"options": X264},
    "high444.mp4": {"pixels": "yuv444p"},
    "rgb.avi": {"codec": "rawvideo", "pixels": "bgr24"},
}


def same(one: Planes, other: Planes) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(_three(one), _three(other), strict=True))


def _three(planes: Planes) -> tuple[Any, Any, Any]:
    return planes.y, planes.u, planes.v


def _kept(reader: FrameReader) -> list[SourceFrame]:
    return [SourceFrame(index=f.index, time_us=f.time_us, planes=f.planes.copy()) for f in reader]


@pytest.mark.parametrize("name", SOURCES)
def test_random_access_gives_the_frames_of_the_first_pass(
    make_clip: MakeClip, read_number: ReadNumber, name: str
) -> None:
    asked = dict(SOURCES[name])
    if asked.get("codec") == "libdav1d":
        asked["codec"] = _av1_encoder()
    path = make_clip(name, asked.pop("codec", "libx264"), **asked)
    limits = MediaLimits(frame_cache_bytes=160 * 120 * 3 // 2 * 12)
    with FrameReader(path, limits) as reader:
        frames = _kept(reader)
        count = len(frames)
        bounce = [*range(count), *range(count - 2, -1, -1), *range(1, count)]
        strewn = random.Random(name).choices(range(count), k=20)
        for wanted in (bounce, [*range(count), *range(count)], [count - 1] * 5, strewn):
            got = reader.frames(wanted)
            assert all(same(planes, frames[index].planes) for index, planes in zip(wanted, got, strict=True))
    assert [read_number(frame.planes) for frame in frames] == list(range(60))
    expected = [t * 1000 for t in UNEVEN] if "uneven" in name else [n * 40_000 for n in range(60)]
    assert [frame.time_us for frame in frames] == expected
    # Another process that knows the times goes to the middle without the frames before.
    with FrameReader(path, limits) as reader:
        reader.learn({index: frames[index].time_us for index in range(40, 60)})
        wanted = [*range(45, 60), *range(58, 40, -1)]
        got = reader.frames(wanted)
        assert all(same(planes, frames[index].planes) for index, planes in zip(wanted, got, strict=True))


def _av1_encoder() -> str:
    # SVT-AV1 writes to stderr whatever it is told; the wheel has no other encoder.
    if "libsvtav1" not in av.codecs_available:
        pytest.skip("this PyAV encodes no AV1")
    return "libsvtav1"


def test_going_back_through_one_long_group_does_not_decode_it_again_for_each_frame(
    make_clip: MakeClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_clip("long.mp4", options=LONG_GOP, frames=120)
    with FrameReader(path, MediaLimits(frame_cache_bytes=160 * 120 * 3 // 2 * 30)) as reader:
        list(reader)
        decoded = 0
        advance = reader._advance

        def counting() -> Any:
            nonlocal decoded
            decoded += 1
            return advance()

        monkeypatch.setattr(reader, "_advance", counting)
        for _ in reader.frames(range(119, -1, -1)):
            assert len(reader._cache) <= 30
        assert decoded <= 120 + 90 + 60 + 30


def test_the_end_is_that_of_the_last_frame(make_clip: MakeClip) -> None:
    with FrameReader(make_clip("a.mp4", frames=10), MediaLimits()) as reader:
        list(reader)
        assert reader.end_us == 400_000


@pytest.mark.parametrize(
    ("rotation", "corners"),
    [
        ((0, False, False), "wg.."),
        ((90, False, False), "g.w."),
        ((-90, False, False), ".w.g"),
        ((180, False, False), "..gw"),
        ((0, True, False), "gw.."),
        ((0, False, True), "..wg"),
        ((90, True, False), ".g.w"),
    ],
)
def test_frames_are_upright(make_clip: MakeClip, rotation: tuple[float, bool, bool], corners: str) -> None:
    picture = np.full((32, 64, 3), 20, np.uint8)
    picture[:8, :8], picture[:8, -8:] = 250, 130
    path = make_clip("turned.mp4", size=(64, 32), frames=2, rotation=rotation, picture=picture, options={"crf": "1"})
    with FrameReader(path, MediaLimits()) as reader:
        luma = next(iter(reader)).planes.y
        turned = rotation[0] in {90, -90}
        assert (reader.source.width, reader.source.height) == ((32, 64) if turned else (64, 32))
    names = ["." if v < 60 else "g" if v < 180 else "w" for v in (luma[2, 2], luma[2, -3], luma[-3, 2], luma[-3, -3])]
    assert "".join(names) == corners


@pytest.mark.parametrize("degrees", [90, 180, -90])
def test_frames_are_upright_wherever_one_looks(make_clip: MakeClip, degrees: int) -> None:
    path = make_clip("turned.mp4", frames=60, rotation=(degrees, False, False), options={"g": "12"})
    with FrameReader(path, MediaLimits()) as reader:
        in_order = [frame.planes for frame in reader]
    with FrameReader(path, MediaLimits()) as reader:
        reader.learn({index: 40_000 * index for index in range(60)})
        for index in (50, 3, 31, 30, 29, 59, 0):
            (planes,) = reader.frames([index])
            assert np.array_equal(planes.y, in_order[index].y)
            assert np.array_equal(planes.u, in_order[index].u)


def test_colours_are_taken_as_tagged() -> None:
    grey = Planes(
        y=np.full((64, 64), 90, np.uint8), u=np.full((32, 32), 110, np.uint8), v=np.full((32, 32), 140, np.uint8)
    )
    for matrix in Matrix:
        for full in (False, True):
            encoding = Encoding(rate=Fraction(25), crf=10, colour=ColourTags.of(matrix, full_range=full))
            data = encode_video([grey] * 2, [0, 40_000], encoding)
            with av.open(BytesIO(data)) as container:
                frame = next(container.decode(video=0))
            assert int(frame.colorspace) == encoding.colour.matrix
            assert (int(frame.color_range) == 2) is full
            planes = decode_video(data, max_frames=2, max_pixels=64 * 64)[0]
            assert abs(int(planes.y[5, 5]) - 90) <= 1


@pytest.mark.parametrize("matrix", Matrix)
@pytest.mark.parametrize("full", [False, True])
def test_to_rgb_and_back_is_the_same_to_within_rounding(matrix: Matrix, full: bool) -> None:
    noise = np.random.default_rng(1)
    luma = noise.integers(90, 160, (34, 50), dtype=np.uint8)
    chroma = noise.integers(112, 144, (2, 17, 25), dtype=np.uint8)
    planes = Planes(y=luma, u=chroma[0], v=chroma[1])
    back = rgb_to_planes(planes_to_rgb(planes, matrix, full_range=full), matrix, full_range=full)
    for one, other in zip(_three(planes), _three(back), strict=True):
        assert int(np.abs(one.astype(int) - other).max()) <= 1


@pytest.mark.parametrize(
    ("matrix", "name"), [(Matrix.BT601, "itu601"), (Matrix.BT709, "itu709"), (Matrix.BT2020, "bt2020")]
)
def test_rgb_is_what_swscale_makes_of_it(matrix: Matrix, name: str) -> None:
    planes = Planes(
        y=np.full((16, 16), 120, np.uint8), u=np.full((8, 8), 100, np.uint8), v=np.full((8, 8), 170, np.uint8)
    )
    frame = av.VideoFrame.from_ndarray(np.concatenate([p.ravel() for p in _three(planes)]).reshape(24, 16), "yuv420p")
    theirs = frame.reformat(format="rgb24", src_colorspace=name, src_color_range="MPEG", dst_color_range="JPEG")
    ours = planes_to_rgb(planes, matrix, full_range=False)
    assert int(np.abs(theirs.to_ndarray().astype(int) - ours).max()) <= 3


def test_segments_are_the_same_bytes_every_time_with_one_keyframe(make_clip: MakeClip) -> None:
    encoding = Encoding(rate=Fraction(25), crf=20, colour=ColourTags.of("bt709", full_range=False), threads=2)
    with FrameReader(make_clip("a.mp4"), MediaLimits()) as reader:
        pictures = [frame.planes.copy() for frame in reader]
    pictures[30:] = [Planes(y=255 - p.y, u=p.u, v=p.v) for p in pictures[30:]]  # a cut, where x264 would put a keyframe
    times = [place * 33_333 for place in range(60)]
    data = encode_video(pictures, times, encoding)
    assert data == encode_video(pictures, times, encoding)
    with av.open(BytesIO(data)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        assert [packet.is_keyframe for packet in packets] == [True] + [False] * 59
    assert len(decode_video(data, max_frames=60, max_pixels=160 * 120)) == 60


def test_pictures_that_x264_wavers_on_are_the_same_bytes_every_time() -> None:
    noise = np.random.default_rng(1)
    chroma = np.full((32, 32), 120, np.uint8)
    pictures = [Planes(y=noise.integers(0, 255, (64, 64), np.uint8), u=chroma, v=chroma) for _ in range(50)]
    times = [place * 40_000 for place in range(50)]
    encoding = Encoding(rate=Fraction(25), crf=20, colour=ColourTags.of("bt709", full_range=False))
    assert len({encode_video(pictures, times, encoding) for _ in range(30)}) == 1


def test_odd_sizes_are_padded_with_their_last_row_and_column() -> None:
    planes = Planes(
        y=np.arange(15, dtype=np.uint8).reshape(3, 5), u=np.zeros((2, 3), np.uint8), v=np.zeros((2, 3), np.uint8)
    )
    padded = pad_to_even(planes)
    assert padded.y.shape == (4, 6)
    assert padded.y[3, 5] == 14
    assert pad_to_even(padded) is padded


def test_a_segment_beyond_its_limits_is_refused(make_clip: MakeClip) -> None:
    data = make_clip("a.mp4", frames=5).read_bytes()
    with pytest.raises(LimitExceededError):
        decode_video(data, max_frames=4, max_pixels=160 * 120)
    with pytest.raises((LimitExceededError, InvalidMediaError)):
        decode_video(data, max_frames=5, max_pixels=100)
    for rubbish in (b"", b"rubbish" * 100, data[: len(data) // 3]):
        with pytest.raises(InvalidMediaError):
            decode_video(rubbish, max_frames=5, max_pixels=160 * 120)


def test_a_photo_is_one_frame_upright_and_on_white(tmp_path: Path) -> None:
    picture = np.zeros((40, 60, 4), np.uint8)
    picture[:, :30] = (255, 0, 0, 255)
    Image.fromarray(picture).save(tmp_path / "half.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(picture[..., :3]).save(tmp_path / "turned.jpg", exif=exif)
    with FrameReader(tmp_path / "half.png", MediaLimits()) as reader:
        (frame,) = list(reader)
        rgb = planes_to_rgb(frame.planes, reader.source.matrix, full_range=False)
        assert rgb[20, 10, 0] > 250
        assert rgb[20, 10, 2] < 5
        assert rgb[20, 50].min() > 250
        assert (reader.end_us, len(list(reader.frames([0, 0, 0])))) == (40_000, 3)
    with FrameReader(tmp_path / "turned.jpg", MediaLimits()) as reader:
        assert (reader.source.width, reader.source.height) == (40, 60)
        assert next(iter(reader)).planes.y[5, 20] > next(iter(reader)).planes.y[50, 20]


def test_a_video_beyond_a_limit_is_refused_while_it_is_read(make_clip: MakeClip) -> None:
    path = make_clip("a.mp4")
    for name, limits in (
        ("duration_seconds", MediaLimits(duration_seconds=1)),
        ("decoded_pixels", MediaLimits(decoded_pixels=160 * 120 * 30)),
        ("frame_pixels", MediaLimits(frame_pixels=160 * 100)),
    ):
        with pytest.raises(LimitExceededError) as error, FrameReader(path, limits, "video") as reader:
            list(reader)
        assert (error.value.field, error.value.limit) == ("video", name)
        assert any(digit.isdigit() for digit in error.value.message)


@pytest.mark.parametrize(("encoder", "name"), [("mpeg4", "mpeg4"), ("libx265", "hevc"), ("mjpeg", "mjpeg")])
def test_a_segment_in_another_codec_than_we_send_is_refused_by_name(encoder: str, name: str) -> None:
    sink = BytesIO()
    with av.open(sink, "w", format="mp4") as out:
        stream = out.add_stream(encoder, rate=25, options={"x265-params": "log-level=none"})
        stream.width = stream.height = 64
        stream.pix_fmt = "yuvj420p" if encoder == "mjpeg" else "yuv420p"
        for _ in range(3):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8))))
        out.mux(stream.encode(None))
    with pytest.raises(InvalidMediaError, match=name):
        decode_video(sink.getvalue(), max_frames=3, max_pixels=64 * 64)
