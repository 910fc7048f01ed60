"""Bad input through the command line: a clear line that names field and limit, and an edge that serves on."""

import struct
import zlib
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tests.stack import Stack

pytestmark = pytest.mark.stack


def _video(path: Path, *, frames: int, size: tuple[int, int] = (320, 240), level: int = 16) -> None:
    with av.open(str(path), "w") as made:
        stream = made.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        picture = av.VideoFrame.from_ndarray(np.full((size[1] * 3 // 2, size[0]), level, np.uint8), format="yuv420p")
        for index in range(frames):
            picture.pts, picture.time_base = index, Fraction(1, 25)
            made.mux(stream.encode(picture))
        made.mux(stream.encode(None))


def _refused(stack: Stack, video: Path, speech: Path, tmp_path: Path) -> tuple[int, str]:
    done = stack.viseme("dub", str(video), str(speech), "-o", str(tmp_path / "out.mp4"), check=False)
    assert done.returncode != 0
    assert not (tmp_path / "out.mp4").exists()
    assert "Traceback" not in done.stderr
    assert stack.viseme("engines").returncode == 0, "the edge does not serve any more"
    return done.returncode, done.stdout + done.stderr


def test_an_empty_file(stack: Stack, speech: Path, tmp_path: Path) -> None:
    video = tmp_path / "empty.mp4"
    video.touch()
    code, said = _refused(stack, video, speech, tmp_path)
    assert code == 3
    assert "empty" in said


def test_a_truncated_file(stack: Stack, clip: Path, speech: Path, tmp_path: Path) -> None:
    video = tmp_path / "cut.mp4"
    video.write_bytes(clip.read_bytes()[:40_000])
    code, said = _refused(stack, video, speech, tmp_path)
    assert code == 3
    assert "video" in said


def test_a_mislabelled_file(stack: Stack, speech: Path, tmp_path: Path) -> None:
    video = tmp_path / "text.mp4"
    video.write_text("This is not a video.\n" * 100)
    code, said = _refused(stack, video, speech, tmp_path)
    assert code == 3
    assert "video" in said


def test_sound_given_as_the_video(stack: Stack, speech: Path, tmp_path: Path) -> None:
    code, said = _refused(stack, speech, speech, tmp_path)
    assert code == 3
    assert "video" in said


def test_a_silent_video_given_as_the_speech(stack: Stack, clip: Path, tmp_path: Path) -> None:
    silent = tmp_path / "silent.mp4"
    _video(silent, frames=25)
    code, said = _refused(stack, clip, silent, tmp_path)
    assert code == 3
    assert "speech" in said


def test_a_photo_larger_than_the_limit(stack: Stack, speech: Path, tmp_path: Path) -> None:
    """A PNG header that claims 16384x8640 costs its claimant a refusal, not the edge its memory."""
    photo = tmp_path / "huge.png"
    header = struct.pack(">IIBBBBB", 16384, 8640, 8, 2, 0, 0, 0)
    photo.write_bytes(
        b"\x89PNG\r\n\x1a\n" + _png_chunk(b"IHDR", header) + _png_chunk(b"IDAT", b"") + _png_chunk(b"IEND", b"")
    )
    code, said = _refused(stack, photo, speech, tmp_path)
    assert code == 3
    assert "photo_pixels" in said


def _png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def test_speech_shorter_than_the_limit(stack: Stack, clip: Path, tmp_path: Path) -> None:
    speech = tmp_path / "tick.wav"
    with av.open(str(speech), "w") as made:
        stream = made.add_stream("pcm_s16le", rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.ones((1, 1600), np.int16), format="s16", layout="mono")
        frame.sample_rate = 16_000
        made.mux(stream.encode(frame))
    code, said = _refused(stack, clip, speech, tmp_path)
    assert code == 3
    assert "speech" in said
    assert "min_speech_seconds" in said


def test_a_clip_without_a_face_says_where_it_looked(stack: Stack, speech: Path, tmp_path: Path) -> None:
    video = tmp_path / "grey.mp4"
    _video(video, frames=50, level=120)
    code, said = _refused(stack, video, speech, tmp_path)
    assert code == 3
    assert "face" in said
    assert " s" in said


@pytest.mark.slow
def test_two_minutes_of_black(stack: Stack, speech: Path, tmp_path: Path) -> None:
    video = tmp_path / "black.mp4"
    _video(video, frames=3000, size=(1920, 1080))
    code, said = _refused(stack, video, speech, tmp_path)
    assert code == 3
    assert "video" in said


def test_an_engine_that_is_not_there(stack: Stack, clip: Path, speech: Path, tmp_path: Path) -> None:
    done = stack.viseme(
        "dub", str(clip), str(speech), "-o", str(tmp_path / "out.mp4"), "--engine", "nonesuch", check=False
    )
    assert done.returncode == 3
    assert "engine" in done.stderr
    assert "nonesuch" in done.stderr


def test_a_file_that_is_not_there(stack: Stack, speech: Path, tmp_path: Path) -> None:
    done = stack.viseme("dub", str(tmp_path / "no.mp4"), str(speech), "-o", str(tmp_path / "out.mp4"), check=False)
    assert done.returncode in (2, 3)
    assert "no.mp4" in done.stderr
