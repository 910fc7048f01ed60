import shutil
import wave
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from shared.errors import InvalidMediaError, LimitExceededError, VisemeError
from shared.media.limits import MediaLimits
from shared.media.probe import MediaInfo, MediaKind, probe, probe_task
from shared.media.sandbox import ChildLimits, Reach, Sandbox
from shared.media.video import FrameReader

MakeClip = Callable[..., Path]
LIMITS = MediaLimits()


def refused(path: Path, limits: MediaLimits = LIMITS) -> VisemeError:
    with pytest.raises(VisemeError) as error:
        probe(path, limits, "video")
    assert error.value.field == "video"
    return error.value


@pytest.mark.parametrize(
    ("name", "codec", "container"),
    [
        ("a.mp4", "libx264", "mp4"),
        ("a.mov", "libx265", "mp4"),
        ("a.mkv", "libx264", "matroska"),
        ("a.webm", "libvpx-vp9", "matroska"),
        ("a.avi", "libx264", "avi"),
        ("a.flv", "libx264", "flv"),
    ],
)
def test_a_video_is_described_by_its_content(make_clip: MakeClip, name: str, codec: str, container: str) -> None:
    options = {"x265-params": "log-level=none"} if codec == "libx265" else {}
    path = make_clip(name, codec, frames=30, options=options)
    misnamed = shutil.copy(path, path.with_name("photo.png"))
    info = probe(Path(misnamed), LIMITS, "video")
    assert (info.kind, info.container, info.frames) == (MediaKind.VIDEO, container, 30)
    assert (info.width, info.height, info.frame_rate) == (160, 120, pytest.approx(25, rel=0.04))
    assert info.video_codec == {"libx264": "h264", "libx265": "hevc", "libvpx-vp9": "vp9"}[codec]
    assert info.duration_seconds == pytest.approx(1.2, abs=0.05)
    assert not info.has_audio
    assert MediaInfo.from_header(info.to_header()) == info


def test_a_turned_video_is_described_as_displayed(make_clip: MakeClip) -> None:
    info = probe(make_clip("a.mp4", frames=2, rotation=(90, False, False)), LIMITS, "video")
    assert (info.width, info.height) == (120, 160)


def test_sound_and_photos_are_described(tmp_path: Path) -> None:
    _write_wav(tmp_path / "a.mp3", 1.5)
    info = probe(tmp_path / "a.mp3", LIMITS, "speech")
    assert (info.kind, info.container, info.audio_codec) == (MediaKind.AUDIO, "wav", "pcm_s16le")
    assert (info.duration_seconds, info.sample_rate, info.channels) == (1.5, 16_000, 1)
    Image.new("RGB", (61, 40)).save(tmp_path / "a.png")
    info = probe(tmp_path / "a.png", LIMITS, "video")
    assert (info.kind, info.container, info.width, info.height) == (MediaKind.PHOTO, "png", 61, 40)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty.mp4", b"", "empty"),
        ("words.mp4", b"just some words, whatever the name says\n" * 50, "content"),
        ("zeros.mp4", bytes(4096), "content"),
        ("head.mp4", b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isomiso2", ""),
        ("head.mkv", b"\x1aE\xdf\xa3" + bytes(100), ""),
        ("head.png", b"\x89PNG\r\n\x1a\n" + bytes(100), ""),
        ("head.jpg", b"\xff\xd8\xff\xe0" + bytes(100), ""),
        ("head.flv", b"FLV\x01\x05\x00\x00\x00\x09" + bytes(100), ""),
        ("head.mp3", b"ID3\x04\x00\x00\x00\x00\x00\x0a" + bytes(100), ""),
        ("head.avi", b"RIFF\x40\x00\x00\x00AVI LIST" + bytes(100), ""),
    ],
)
def test_what_is_no_media_is_refused(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(content)
    error = refused(tmp_path / name)
    assert isinstance(error, InvalidMediaError)
    assert words in error.message


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi", "a.flv", "faststart.mp4", "a.png", "a.jpg", "a.wav"])
@pytest.mark.parametrize("share", [0.3, 0.7])
def test_a_truncated_file_is_refused(make_clip: MakeClip, tmp_path: Path, name: str, share: float) -> None:
    path = tmp_path / name
    if path.suffix in {".png", ".jpg"}:
        Image.fromarray(np.random.default_rng(1).integers(0, 255, (90, 90, 3), dtype=np.uint8)).save(path)
    elif path.suffix == ".wav":
        _write_wav(path, 2)
    else:
        make_clip(name, frames=100)
    if name.startswith("faststart"):
        _make_faststart(path)
    data = path.read_bytes()
    path.write_bytes(data[: round(len(data) * share)])
    assert isinstance(refused(path), InvalidMediaError)


def test_a_header_that_names_no_streams_is_refused(make_clip: MakeClip) -> None:
    path = make_clip("a.mp4")
    path.write_bytes(path.read_bytes().replace(b"trak", b"free"))
    assert isinstance(refused(path), InvalidMediaError)


def test_a_video_that_lost_its_middle_is_still_a_video(make_clip: MakeClip) -> None:
    path = make_clip("a.mp4", options={"x264-params": "keyint=10"}, frames=60)
    data = bytearray(path.read_bytes())
    start = data.index(b"mdat") + (len(data) - data.index(b"mdat")) // 3
    data[start : start + 400] = bytes(400)
    path.write_bytes(data)
    assert probe(path, LIMITS, "video").kind is MediaKind.VIDEO
    with FrameReader(path, LIMITS) as reader:
        assert 40 <= len(list(reader)) <= 60


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    _write_wav(tmp_path / "a.mp4", 1)
    with pytest.raises(InvalidMediaError, match="no moving pictures") as error, FrameReader(tmp_path / "a.mp4", LIMITS):
        pass
    assert error.value.field == "video"


def test_a_video_without_frames_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "none.mkv"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        out.start_encoding()
    assert isinstance(refused(path), InvalidMediaError)


def test_frames_that_are_too_large_are_refused_before_they_are_decoded(make_clip: MakeClip, tmp_path: Path) -> None:
    path = _huge(make_clip("huge.mp4", frames=3))
    error = refused(path)
    assert isinstance(error, LimitExceededError)
    assert error.limit == "frame_pixels"
    assert "16384x8640" in error.message
    assert "9437184" in error.message
    Image.new("1", (10_000, 8000)).save(tmp_path / "big.png")
    assert refused(tmp_path / "big.png").limit == "photo_pixels"


def test_videos_that_are_too_long_are_refused_undecoded(make_clip: MakeClip) -> None:
    path = make_clip("a.mp4", frames=100, picture=np.zeros((120, 160, 3), np.uint8))
    long = refused(path, MediaLimits(duration_seconds=3))
    assert (long.limit, "4 s" in long.message, "3 s" in long.message) == ("duration_seconds", True, True)
    heavy = refused(path, MediaLimits(decoded_pixels=160 * 120 * 50))
    assert (heavy.limit, "960000" in heavy.message) == ("decoded_pixels", True)


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox() as sandbox:
        yield sandbox


async def test_probing_works_in_the_sandbox(make_clip: MakeClip, sandbox: Sandbox) -> None:
    path = make_clip("a.mp4", frames=10)
    limits: dict[str, Any] = {"frame_pixels": 160 * 120}
    reach = Reach(reads=(str(path.parent),))
    arguments = {"path": str(path), "field": "video", "limits": limits}
    message = await sandbox.call(probe_task, arguments, ChildLimits(address_space_bytes=1 << 30), 20, reach)
    assert MediaInfo.from_header(message.header).frames == 10
    arguments["path"] = str(_huge(make_clip("huge.mp4", frames=3)))
    with pytest.raises(LimitExceededError, match="16384x8640"):
        await sandbox.call(probe_task, arguments, ChildLimits(address_space_bytes=1 << 30), 20, reach)


def test_the_shared_clips_are_read(shared_media: Path) -> None:
    found = {path.name: probe(path, LIMITS, "video") for path in sorted(shared_media.glob("v*.mp4"))}
    assert {(info.width, info.height) for info in found.values()} >= {(1080, 1920), (700, 700), (720, 974)}
    assert all(info.duration_seconds > 4 for info in found.values())


def _huge(path: Path) -> Path:
    """Make a small H.264 video claim frames of 16384x8640, in its sample table and in its own parameters."""
    bits = "".join(
        [
            "01100111" + "01000010" + "00000000" + f"{62:08b}",  # a sequence parameter set, baseline, level 6.2
            *map(_exp_golomb, (0, 0, 2, 1)),
            "0" + _exp_golomb(16_384 // 16 - 1) + _exp_golomb(8_640 // 16 - 1) + "1100" + "1",
        ]
    )
    forged = bytes(int(bits[at : at + 8].ljust(8, "0"), 2) for at in range(0, len(bits), 8))
    with av.open(str(path)) as container:
        extradata = container.streams.video[0].codec_context.extradata
    assert extradata is not None
    own = extradata[8 : 8 + int.from_bytes(extradata[6:8], "big")]
    data = bytearray(path.read_bytes().replace(own, forged.ljust(len(own), b"\0")))
    entry = data.index(b"avc1", data.index(b"stsd"))
    data[entry + 28 : entry + 32] = (16_384).to_bytes(2, "big") + (8_640).to_bytes(2, "big")
    path.write_bytes(data)
    return path


def _exp_golomb(value: int) -> str:
    digits = f"{value + 1:b}"
    return "0" * (len(digits) - 1) + digits


def _make_faststart(path: Path) -> None:
    moved = path.with_name("moved.mp4")
    with av.open(str(path)) as source, av.open(str(moved), "w", options={"movflags": "+faststart"}) as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                out.mux(packet)
    moved.replace(path)


def _write_wav(path: Path, seconds: float) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(bytes(2 * round(16_000 * seconds)))
