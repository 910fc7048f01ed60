"""Sound under the speech, on the real edge, node and Triton."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest

from tests.bench.clips import RATE, late_seconds, sound
from tests.e2e.test_preview import packets
from tests.stack import Stack

pytestmark = pytest.mark.stack


def hum(path: Path, seconds: float, *, pitch: float = 330.0) -> Path:
    """A steady tone that tells where it began: it fades over its whole length."""
    times = np.arange(round(seconds * RATE)) / RATE
    tone = 0.5 * np.sin(2 * np.pi * pitch * times) * (1 - 0.8 * times / seconds)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("pcm_s16le", rate=RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray((tone * 32767).astype(np.int16)[None], format="s16", layout="mono")
        frame.sample_rate = RATE
        out.mux([*stream.encode(frame), *stream.encode(None)])
    return path


def loudness(heard: npt.NDArray[np.float32], pitch: float = 330.0) -> list[float]:
    """How loud a tone is in every quarter of a second."""
    step = RATE // 4
    wave = np.exp(-2j * np.pi * pitch * np.arange(step) / RATE)
    return [float(2 * abs(heard[at : at + step] @ wave) / step) for at in range(0, len(heard) - step, step)]


def test_a_file_is_heard_under_the_speech_again_and_again_and_in_the_preview(
    stack: Stack, clip: Path, speech: Path, tmp_path: Path
) -> None:
    under, output, preview = hum(tmp_path / "hum.wav", 1.0), tmp_path / "out.mp4", tmp_path / "preview.mp4"
    with_it = ("--background", str(under), "--background-volume", "0.2", "--preview", str(preview))
    stack.viseme("dub", str(clip), str(speech), "-o", str(output), *with_it)
    for kind in ("audio", "video"):
        assert [data for _, data in packets(preview.read_bytes(), kind)] == [
            data for _, data in packets(output.read_bytes(), kind)
        ]
    said, heard = sound(speech), sound(output)
    assert abs(late_seconds(heard, said)) < 0.002
    size = min(len(said), len(heard))
    added = loudness(heard[:size] - said[:size])
    expected = [0.1 * (1 - 0.8 * (at % 4 + 0.5) / 4) for at in range(len(added))]
    assert added == pytest.approx(expected, abs=0.02)


def test_the_videos_own_sound_is_kept_and_goes_with_its_pictures(
    stack: Stack, clip: Path, speech: Path, tmp_path: Path
) -> None:
    video, output = tmp_path / "own.mkv", tmp_path / "out.mp4"
    seconds = mux(clip, hum(tmp_path / "hum.wav", 60.0), video)
    loud = ("--background", "keep", "--background-volume", "0.2", "--fit", "hold")
    stack.viseme("dub", str(video), str(speech), "-o", str(output), *loud)
    said, heard = sound(speech), sound(output)
    assert len(said) / RATE > seconds + 1.0
    added = loudness(heard[: len(said)] - said[: len(heard)])
    end = int(seconds * 4)
    assert min(added[: end - 1]) > 0.07
    assert max(added[end + 2 :]) < 0.02


def mux(pictures: Path, heard: Path, target: Path) -> float:
    """The pictures of one file with as much of the sound of another; gives its length in seconds."""
    with av.open(str(pictures)) as film, av.open(str(heard)) as record, av.open(str(target), "w") as out:
        source = film.streams.video[0]
        picture = out.add_stream_from_template(source)
        track = out.add_stream("flac", rate=RATE, layout="mono")
        shown = [packet for packet in film.demux(source) if packet.size]
        seconds = len(shown) / float(source.average_rate or 25)
        for packet in shown:
            packet.stream = picture
            out.mux(packet)
        for frame in record.decode(audio=0):
            if (frame.time or 0) < seconds:
                frame.time_base = Fraction(1, RATE)
                out.mux(track.encode(frame))
        out.mux(track.encode(None))
    return seconds


def test_a_background_without_sound_is_refused_by_name(
    stack: Stack, portrait: Path, short_speech: Path, tmp_path: Path
) -> None:
    for under in (str(portrait), "keep"):
        command = ("dub", str(portrait), str(short_speech), "-o", str(tmp_path / "out.mp4"), "--background", under)
        done = stack.viseme(*command, check=False)
        assert done.returncode == 3
        assert "background: " in done.stderr
        assert "Traceback" not in done.stderr
