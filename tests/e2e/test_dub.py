"""`viseme dub` on the real edge, node and Triton: what a user brings, and what comes back."""

import itertools
import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from shared.media.priority import usual_priority
from tests.bench.aperture import aperture_curve
from tests.bench.clips import late_seconds, look, sound
from tests.stack import Stack

pytestmark = pytest.mark.stack


def test_a_portrait_speaks(stack: Stack, portrait: Path, speech: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.mp4"
    report = stack.dub(portrait, speech, output)
    seen = look(output)
    heard = sound(speech)
    assert seen.size == (512, 512)
    assert seen.frames == report["frames"]
    assert abs(seen.seconds - len(heard) / 16_000) <= 1 / 25
    assert abs(late_seconds(sound(output), heard)) <= 1 / 25
    assert aperture_curve(output).std() > 0.005, "the mouth does not move"
    assert report["sync"]["score"] >= 75
    assert abs(report["sync"]["lag_ms"]) <= 20
    assert (report["unscored"], report["untouched"]) == (None, [])
    with av.open(str(output)) as media:
        told = json.loads(media.metadata["viseme"])
    assert told["sync"] == report["sync"]
    assert (told["engine"], told["generator"].split()[0]) == (report["engine"], "viseme")
    assert f"sync {report['sync']['score']}" in stack.viseme("jobs", "--limit", "1").stdout


def test_a_phones_photo_is_reduced_and_the_job_says_so(
    stack: Stack, portrait: Path, short_speech: Path, tmp_path: Path
) -> None:
    photo, output = tmp_path / "photo.jpg", tmp_path / "out.mp4"
    with Image.open(portrait) as small:
        small.resize((3600, 3600)).save(photo)
    told = stack.viseme("dub", str(photo), str(short_speech), "-o", str(output), "--json").stdout
    (notice,) = [line for line in map(json.loads, told.splitlines()) if line.get("reason") == "photo_reduced"]
    assert "3600x3600" in notice["message"]
    assert "3072x3072" in notice["message"]
    seen = look(output)
    assert (seen.size, seen.frames) == ((3072, 3072), 50)


def test_the_result_starts_with_its_index(stack: Stack, clip: Path, short_speech: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.mp4"
    stack.dub(clip, short_speech, output)
    data = output.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    with av.open(str(output)) as media:
        assert media.streams.video[0].codec_context.name == "h264"
        assert media.streams.audio[0].codec_context.name == "aac"


def test_the_report_has_the_documented_shape(stack: Stack, clip: Path, short_speech: Path, tmp_path: Path) -> None:
    report = stack.dub(clip, short_speech, tmp_path / "out.mp4")
    assert set(report) == {
        "job_id", "frames", "fps", "segments", "stages", "wan", "engine", "link_profile",
        "sync", "unscored", "untouched_frames", "untouched", "untouched_left_out",
    }  # fmt: skip
    assert set(report["wan"]) == {"up_bytes", "down_bytes"}
    stages = ("upload", "prepare", "send", "queue", "infer", "return", "composite", "download", "total")
    assert set(stages) <= set(report["stages"])
    assert report["frames"] == 50
    assert report["fps"] == pytest.approx(25)
    assert report["engine"] == "viseme"
    assert report["link_profile"] == "balanced"


def test_a_second_job_on_a_face_sends_its_speech_alone(
    stack: Stack, clip: Path, speech: Path, short_speech: Path, tmp_path: Path
) -> None:
    stack.dub(clip, short_speech, tmp_path / "first.mp4")
    again = stack.dub(clip, speech, tmp_path / "second.mp4")
    seconds = again["frames"] / again["fps"]
    assert again["wan"]["up_bytes"] * 60 / seconds < 300_000


@pytest.mark.parametrize(
    ("fit", "frames"),
    [("bounce", 199), ("loop", 199), ("hold", 199), ("trim", 100)],
    ids=["bounce", "loop", "hold", "trim"],
)
def test_speech_longer_than_the_video(
    stack: Stack, clip: Path, speech: Path, tmp_path: Path, fit: str, frames: int
) -> None:
    report = stack.dub(clip, speech, tmp_path / "out.mp4", "--fit", fit)
    assert report["frames"] == frames
    assert look(tmp_path / "out.mp4").frames == frames


def test_keep_length_keeps_the_whole_video(stack: Stack, clip: Path, short_speech: Path, tmp_path: Path) -> None:
    report = stack.dub(clip, short_speech, tmp_path / "out.mp4", "--keep-length")
    assert report["frames"] == 100


def _convert(source: Path, target: Path, codec: str, *, size: tuple[int, int] = (320, 400), skip: int = 0) -> None:
    """Write the clip's first two seconds again; ``skip`` leaves out one frame in n but keeps times: VFR."""
    with usual_priority(), av.open(str(source)) as media, av.open(str(target), "w") as made:
        stream = made.add_stream(codec, rate=25)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, 25)
        for index, frame in enumerate(media.decode(video=0)):
            if index == 50:
                break
            if skip and index % skip == 1:
                continue
            picture = frame.reformat(width=size[0], height=size[1], format="yuv420p")
            picture.pts, picture.time_base = index, Fraction(1, 25)
            made.mux(stream.encode(picture))
        made.mux(stream.encode(None))


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.mov", "libx265"),
        ("a.mkv", "libx264"),
        ("a.webm", "libvpx-vp9"),
        ("b.webm", "libsvtav1"),
        ("a.avi", "libx264"),
        ("a.flv", "libx264"),
    ],
)
def test_containers_and_codecs(
    stack: Stack, clip: Path, short_speech: Path, tmp_path: Path, name: str, codec: str
) -> None:
    source = tmp_path / name
    _convert(clip, source, codec)
    report = stack.dub(source, short_speech, tmp_path / "out.mp4")
    assert report["frames"] == look(tmp_path / "out.mp4").frames
    assert abs(report["frames"] - 50) <= 1


@pytest.mark.parametrize("turns", [1, 2, 3], ids=["90", "180", "270"])
def test_a_video_held_sideways_comes_back_upright(
    stack: Stack, clip: Path, short_speech: Path, tmp_path: Path, turns: int
) -> None:
    """As phones write it: the sensor's picture, and a display matrix that says how to turn it."""
    source, output = tmp_path / "turned.mp4", tmp_path / "out.mp4"
    upright = []
    with av.open(str(clip)) as media, av.open(str(source), "w") as made:
        stream = made.add_stream("libx264", rate=25, options={"crf": "12", "preset": "ultrafast"})
        for index, frame in enumerate(itertools.islice(media.decode(video=0), 50)):
            upright.append(frame.to_ndarray(format="rgb24"))
            lying = av.VideoFrame.from_ndarray(np.ascontiguousarray(np.rot90(upright[-1], -turns)), format="rgb24")
            if index == 0:
                stream.width, stream.height, stream.pix_fmt = lying.width, lying.height, "yuv420p"
                stream.set_display_rotation(90 * turns)
            lying.pts, lying.time_base = index, Fraction(1, 25)
            made.mux(stream.encode(lying))
        made.mux(stream.encode(None))
    stack.dub(source, short_speech, output)
    height, width = upright[0].shape[:2]
    assert look(output).size == (width, height)
    with av.open(str(output)) as media:
        assert not any(frame.rotation for frame in media.decode(video=0))
        media.seek(0)
        shown = [frame.to_ndarray(format="rgb24") for frame in media.decode(video=0)]
    for before, after in zip(upright, shown, strict=True):
        # The upper half holds no lips: it is the source's, but for two encodings.
        assert np.abs(before[: height // 2].astype(int) - after[: height // 2]).mean() < 6


def test_odd_sizes_are_padded_to_even(stack: Stack, clip: Path, short_speech: Path, tmp_path: Path) -> None:
    source = tmp_path / "odd.webm"
    _convert(clip, source, "libvpx-vp9", size=(319, 399))
    stack.dub(source, short_speech, tmp_path / "out.mp4")
    assert look(tmp_path / "out.mp4").size == (320, 400)


def test_variable_frame_rate_keeps_its_times(stack: Stack, clip: Path, short_speech: Path, tmp_path: Path) -> None:
    source = tmp_path / "vfr.mkv"
    _convert(clip, source, "libx264", skip=5)
    stack.dub(source, short_speech, tmp_path / "out.mp4")

    def times(path: Path) -> list[float]:
        with av.open(str(path)) as media:
            shown = [frame.time or 0.0 for frame in media.decode(video=0)]
        return [time - shown[0] for time in shown]

    assert np.allclose(times(source), times(tmp_path / "out.mp4"), atol=0.002)


def _encode_speech(source: Path, target: Path, codec: str, rate: int, layout: str) -> None:
    with av.open(str(source)) as media, av.open(str(target), "w") as made:
        stream = made.add_stream(codec, rate=rate, layout=layout)
        for frame in media.decode(audio=0):
            made.mux(stream.encode(frame))
        made.mux(stream.encode(None))


@pytest.mark.parametrize(
    ("name", "codec", "rate", "layout"),
    [
        ("a.mp3", "libmp3lame", 44_100, "stereo"),
        ("a.m4a", "aac", 48_000, "stereo"),
        ("a.aac", "aac", 22_050, "mono"),
        ("a.flac", "flac", 96_000, "mono"),
        ("a.ogg", "libopus", 24_000, "stereo"),
        ("a.opus", "libopus", 48_000, "mono"),
        ("a.wav", "pcm_s16le", 8_000, "mono"),
    ],
)
def test_speech_in_every_form(
    stack: Stack, portrait: Path, short_speech: Path, tmp_path: Path, name: str, codec: str, rate: int, layout: str
) -> None:
    speech = tmp_path / name
    _encode_speech(short_speech, speech, codec, rate, layout)
    report = stack.dub(portrait, speech, tmp_path / "out.mp4")
    assert abs(report["frames"] / report["fps"] - len(sound(speech)) / 16_000) <= 1 / 25
    assert abs(late_seconds(sound(tmp_path / "out.mp4"), sound(speech))) <= 1 / 25


def test_a_videos_own_sound_can_be_the_speech(stack: Stack, portrait: Path, clip: Path, tmp_path: Path) -> None:
    report = stack.dub(portrait, clip, tmp_path / "out.mp4")
    assert abs(report["frames"] / report["fps"] - len(sound(clip)) / 16_000) <= 1 / 25


def test_a_clip_can_speak_its_own_sound(stack: Stack, clip: Path, tmp_path: Path) -> None:
    report = stack.dub(clip, clip, tmp_path / "out.mp4")
    assert abs(report["frames"] / report["fps"] - len(sound(clip)) / 16_000) <= 1 / 25


def test_jobs_engines_and_download_speak_json(
    stack: Stack, clip: Path, short_speech: Path, tmp_path: Path, run_json: Callable[..., object]
) -> None:
    report = stack.dub(clip, short_speech, tmp_path / "out.mp4")
    jobs = run_json("jobs")
    assert report["job_id"] in json.dumps(jobs)
    assert "viseme" in json.dumps(run_json("engines"))
    stack.viseme("download", report["job_id"], "-o", str(tmp_path / "again.mp4"))
    assert (tmp_path / "again.mp4").read_bytes() == (tmp_path / "out.mp4").read_bytes()


@pytest.fixture
def run_json(stack: Stack) -> Callable[..., object]:
    def run(*arguments: str) -> object:
        told = stack.viseme(*arguments, "--json").stdout
        return [json.loads(line) for line in told.splitlines() if line.strip()]

    return run
