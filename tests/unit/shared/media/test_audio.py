import wave
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pytest

from shared.errors import InvalidMediaError, LimitExceededError
from shared.media.audio import (
    SPEECH_RATE,
    audio_length_us,
    check_speech_length,
    decode_speech,
    encode_opus,
    open_sound,
)
from shared.media.limits import MediaLimits
from shared.media.profile import FAST_LINK, SpeechCoding, encode_speech

LIMITS = MediaLimits()
Sound = npt.NDArray[np.float32]


def chirps(seconds: float, rate: int) -> Sound:
    """Silence with a rising tone at places that do not repeat, one at the very beginning."""
    sound = np.zeros(round(seconds * rate), np.float32)
    times = np.arange(round(0.08 * rate)) / rate
    tone = 0.6 * np.sin(2 * np.pi * (300 * times + 16_875 * times * times)) * np.hanning(len(times))
    for at in (0.0, 0.71, 1.5, 2.87):
        room = sound[round(at * rate) :][: len(tone)]
        room += tone[: len(room)]
    return sound


def lag(sound: Sound, reference: Sound) -> int:
    size = 1 << 18
    both = np.fft.irfft(np.fft.rfft(sound, size) * np.conj(np.fft.rfft(reference, size)), size)
    at = int(np.argmax(both))
    return at if at < size // 2 else at - size


@pytest.fixture
def make_sound(tmp_path: Path) -> Callable[..., Path]:
    def make(name: str, codec: str, sound: Sound, rate: int, channels: int, begin: Fraction = Fraction(0)) -> Path:
        path = tmp_path / name
        layout = "stereo" if channels == 2 else "mono"
        with av.open(str(path), "w") as out:
            pictures = out.add_stream("libx264", rate=25) if begin else None
            stream = out.add_stream(codec, rate=rate, layout=layout)
            if pictures:
                pictures.width, pictures.height, pictures.pix_fmt = 64, 64, "yuv420p"
                for _ in range(50):
                    out.mux(pictures.encode(av.VideoFrame(64, 64, "yuv420p")))
                out.mux(pictures.encode(None))
            samples = np.ascontiguousarray(np.repeat(sound[None], channels, axis=0))
            frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout=layout)
            frame.sample_rate, frame.pts, frame.time_base = rate, round(begin * rate), Fraction(1, rate)
            out.mux(stream.encode(frame))
            out.mux(stream.encode(None))
        return path

    return make


@pytest.mark.parametrize("seconds", [0.3, 2.345, 3.0])
def test_speech_survives_its_way_to_the_node_in_time_and_length(seconds: float) -> None:
    sound = chirps(seconds, SPEECH_RATE)
    data = encode_opus(iter(np.array_split(sound[None], 7, axis=1)))
    back = decode_speech(data)
    assert len(back) == len(sound)
    assert abs(lag(back, sound)) <= SPEECH_RATE // 1000
    assert data == encode_opus(iter([sound[None]]))
    assert len(data) * 8 < 30_000 * seconds + 8_000


@pytest.mark.parametrize(
    ("name", "codec", "rate", "channels"),
    [
        ("a.wav", "pcm_s16le", 8_000, 1),
        ("a.wav", "pcm_s24le", 96_000, 2),
        ("a.mp3", "libmp3lame", 44_100, 2),
        ("a.m4a", "aac", 44_100, 2),
        ("a.mp4", "aac", 48_000, 1),
        ("a.flac", "flac", 22_050, 1),
        ("a.ogg", "flac", 44_100, 2),
        ("a.opus", "libopus", 48_000, 1),
        ("a.mkv", "libopus", 48_000, 2),
    ],
)
def test_sound_of_any_kind_begins_when_it_should(
    make_sound: Callable[..., Path], name: str, codec: str, rate: int, channels: int
) -> None:
    path = make_sound(name, codec, chirps(3.0, rate), rate, channels)
    heard = decode_speech(encode_speech(path, LIMITS, SpeechCoding()))
    assert abs(lag(heard, chirps(3.0, SPEECH_RATE))) <= SPEECH_RATE // 1000
    assert abs(len(heard) / SPEECH_RATE - 3.0) < 0.05
    assert abs(audio_length_us(path, LIMITS) - len(heard) / SPEECH_RATE * 1e6) < 100


def test_the_sound_of_a_video_is_in_step_with_its_pictures(make_sound: Callable[..., Path]) -> None:
    path = make_sound("late.mkv", "pcm_s16le", chirps(3.0, 48_000), 48_000, 1, Fraction(1, 4))
    heard = decode_speech(encode_speech(path, LIMITS, SpeechCoding()))
    assert abs(lag(heard, chirps(3.0, SPEECH_RATE)) - SPEECH_RATE // 4) <= SPEECH_RATE // 1000


def test_speech_as_flac_is_the_sound_itself(make_sound: Callable[..., Path]) -> None:
    path = make_sound("a.wav", "pcm_s16le", chirps(1.0, SPEECH_RATE), SPEECH_RATE, 1)
    data = encode_speech(path, LIMITS, FAST_LINK.speech)
    assert data == encode_speech(path, LIMITS, FAST_LINK.speech)
    heard = decode_speech(data)
    assert len(heard) == SPEECH_RATE
    assert np.abs(heard - chirps(1.0, SPEECH_RATE)).max() <= 2 / 32768


def test_channels_and_rate_are_given_as_asked(make_sound: Callable[..., Path]) -> None:
    path = make_sound("a.wav", "pcm_s16le", chirps(1.0, 22_050), 22_050, 2)
    with open_sound(path, LIMITS) as sound:
        assert (sound.info.rate, sound.info.channels) == (22_050, 2)
        blocks = list(sound.blocks(rate=48_000))
    assert {block.shape[0] for block in blocks} == {2}
    assert abs(sum(block.shape[1] for block in blocks) - 48_000) <= 2


def test_speech_of_a_wrong_length_names_the_limit(tmp_path: Path) -> None:
    for length_us, name in ((100_000, "min_speech_seconds"), (1_300_000_000, "duration_seconds")):
        with pytest.raises(LimitExceededError) as error:
            check_speech_length(length_us, LIMITS, "speech")
        assert (error.value.field, error.value.limit) == ("speech", name)
    path = tmp_path / "long.wav"
    _write_wav(path, np.zeros(16_000 * 3))
    with pytest.raises(LimitExceededError) as error:
        audio_length_us(path, MediaLimits(duration_seconds=2), "speech")
    assert error.value.limit == "duration_seconds"


@pytest.mark.parametrize("data", [b"", b"words, only words", b"OggS" + bytes(200), b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_sound_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidMediaError) as error:
        decode_speech(data)
    assert error.value.field == "speech"


def test_too_much_speech_in_few_bytes_is_refused() -> None:
    data = encode_opus(iter([np.zeros((1, SPEECH_RATE * 60), np.float32)]))
    assert len(data) < 50_000
    with pytest.raises(LimitExceededError):
        decode_speech(data, max_seconds=30)


def _write_wav(path: Path, samples: Any) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SPEECH_RATE)
        file.writeframes(samples.astype("<i2").tobytes())


def test_a_short_recording_in_fragments_whose_length_is_a_little_overstated_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "recorded.mp4"
    with av.open(str(path), "w", options={"movflags": "frag_keyframe+empty_moov"}) as out:
        stream = out.add_stream("aac", rate=44_100, layout="mono")
        pictures = out.add_stream("libx264", rate=25)
        pictures.width, pictures.height, pictures.pix_fmt = 64, 64, "yuv420p"
        for _ in range(12):
            out.mux(pictures.encode(av.VideoFrame(64, 64, "yuv420p")))
        for begin in range(0, 14_336, 1024):
            frame = av.AudioFrame.from_ndarray(chirps(1.0, 44_100)[None, begin : begin + 1024], "fltp", "mono")
            frame.sample_rate, frame.pts = 44_100, begin
            out.mux(stream.encode(frame))
        for last in (pictures, stream):
            out.mux(last.encode(None))
    with av.open(str(path)) as media:
        sound = media.streams.audio[0]
        declared = float((sound.duration or 0) * (sound.time_base or 0))
        there = sum(frame.samples for frame in media.decode(audio=0)) / 44_100
    assert there < 0.9 * declared
    assert encode_speech(path, LIMITS, SpeechCoding())


def test_recordings_that_were_joined_in_two_forms_are_heard_to_their_end(
    make_sound: Callable[..., Path], tmp_path: Path
) -> None:
    parts = [
        make_sound("first.aac", "aac", chirps(4, 48_000), 48_000, 2),
        make_sound("second.aac", "aac", chirps(4, 24_000), 24_000, 1),
    ]
    joined = tmp_path / "joined.aac"
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    with open_sound(joined, LIMITS, "speech") as sound:
        heard = np.concatenate(list(sound.blocks(rate=SPEECH_RATE, channels=1)), axis=1)[0]
    assert len(heard) / SPEECH_RATE == pytest.approx(8, abs=0.2)
    second = heard[4 * SPEECH_RATE :]
    assert np.abs(second).max() > 0.3
    assert abs(lag(second, chirps(4, SPEECH_RATE))) < 0.1 * SPEECH_RATE
