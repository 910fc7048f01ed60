from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from edge_gateway.mix import mix, picture_seconds
from shared.errors import InvalidMediaError
from shared.media.audio import open_sound
from shared.media.limits import MediaLimits
from tests.signing import Recorder
from tests.unit.edge_gateway.test_finish import write_wav

RATE = 48_000


def noise(seed: int, seconds: float, loud: float = 0.2, rate: int = RATE) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-loud, loud, round(seconds * rate))


def heard(path: Path, rate: int = RATE) -> np.ndarray:
    with open_sound(path, MediaLimits()) as sound:
        return np.concatenate(list(sound.blocks(rate=rate)), axis=1)


def assert_near(found: np.ndarray, expected: np.ndarray) -> None:
    """Equal but for the rounding to 16 bits."""
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= 1.01 / 32768


def mixed(folder: Path, speech: Path, background: Path, **more: Any) -> np.ndarray:
    output = folder / "mixed.flac"
    order = {
        "speeches": [str(speech)],
        "length_us": round(heard(speech).shape[1] * 1e6 / RATE),
        "background": str(background),
        "volume": 0.5,
        "video": str(folder / "none"),
        "keeps_sound": False,
        "keeps_length": False,
        "fit": "bounce",
        "output": str(output),
    }
    channel = Recorder()
    mix(channel, order | more)  # type: ignore[arg-type] # a recorder does for a channel
    found = heard(output)
    assert channel.headers == [{"kind": "mixed", "samples": found.shape[1]}]
    return found


def video(path: Path, *, frames: int, sound: np.ndarray | None) -> Path:
    """Grey pictures, 25 a second, and the sound as it is."""
    with av.open(str(path), "w", format="matroska") as out:
        pictures = out.add_stream("libx264", rate=25)
        pictures.width = pictures.height = 64
        pictures.pix_fmt = "yuv420p"
        track = None if sound is None else out.add_stream("flac", rate=RATE, layout="mono")
        for index in range(frames):
            frame = av.VideoFrame.from_ndarray(np.full((96, 64), 99, np.uint8), format="yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            out.mux(pictures.encode(frame))
        out.mux(pictures.encode(None))
        if track is not None and sound is not None:
            levels = np.rint(sound[None] * 32768).astype(np.int16)
            part = av.AudioFrame.from_ndarray(levels, format="s16", layout="mono")
            part.sample_rate, part.pts, part.time_base = RATE, 0, Fraction(1, RATE)
            out.mux([*track.encode(part), *track.encode(None)])
    return path


def test_the_speech_is_as_loud_as_it_was_to_the_last_bit(tmp_path: Path) -> None:
    speech = write_wav(tmp_path / "s.wav", noise(1, 2), RATE)
    loud = write_wav(tmp_path / "b.wav", noise(2, 3), RATE)
    assert np.array_equal(mixed(tmp_path, speech, loud, volume=0.0)[:, : 2 * RATE], heard(speech))
    difference = mixed(tmp_path, speech, loud, volume=0.5)[:, : 2 * RATE] - heard(speech)
    assert_near(difference, 0.5 * heard(loud)[:, : 2 * RATE])


def test_the_same_arguments_give_the_same_bytes(tmp_path: Path) -> None:
    speech = write_wav(tmp_path / "s.wav", noise(1, 2), RATE)
    once = [mixed(tmp_path, speech, speech), (tmp_path / "mixed.flac").read_bytes()]
    mixed(tmp_path, speech, speech)
    assert (tmp_path / "mixed.flac").read_bytes() == once[1]


@pytest.mark.parametrize("seconds", [0.001, 0.4, 1.3])
def test_a_background_that_is_shorter_begins_again(tmp_path: Path, seconds: float) -> None:
    speech = write_wav(tmp_path / "s.wav", 0 * noise(1, 2), RATE)
    background = write_wav(tmp_path / "b.wav", noise(2, seconds), RATE)
    once = 0.5 * heard(background)[0]
    under = mixed(tmp_path, speech, background)[0]
    assert len(under) == 3 * RATE
    assert_near(under, np.resize(once, len(under)))


def test_one_channel_and_two_go_together_and_rates_are_the_speechs(tmp_path: Path) -> None:
    speech = write_wav(tmp_path / "s.wav", noise(1, 1, rate=16_000), 16_000)
    background = write_wav(tmp_path / "b.wav", noise(2, 1, rate=44_100), 44_100, channels=2)
    found = mixed(tmp_path, speech, background, volume=0.0)
    assert found.shape[0] == 2
    assert np.array_equal(found[0], found[1])
    assert np.abs(found[0, :RATE]).max() == pytest.approx(np.abs(heard(speech)).max(), abs=0.01)


@pytest.mark.parametrize(
    ("fit", "sound_s"),
    [("loop", 1.0), ("bounce", 1.0), ("loop", 0.5), ("loop", 1.6), ("hold", 1.0), ("trim", 1.0)],
)
def test_a_sound_that_is_kept_goes_with_the_pictures(tmp_path: Path, fit: str, sound_s: float) -> None:
    own = video(tmp_path / "v.mkv", frames=25, sound=noise(3, sound_s))
    assert picture_seconds(own, MediaLimits()) == pytest.approx(1.0, abs=0.002)
    speech = write_wav(tmp_path / "s.wav", 0 * noise(1, 2.5), RATE)
    under = mixed(tmp_path, speech, own, keeps_sound=True, video=str(own), fit=fit)[0]
    once = 0.5 * heard(own)[0][:RATE]
    one = np.pad(once, (0, RATE - len(once)))
    again = fit in {"loop", "bounce"}
    assert_near(under, np.resize(one, len(under)) if again else np.pad(one, (0, len(under) - len(one))))


def test_a_video_that_keeps_its_length_has_background_to_its_end(tmp_path: Path) -> None:
    long = video(tmp_path / "v.mkv", frames=100, sound=None)
    speech = write_wav(tmp_path / "s.wav", noise(1, 1), RATE)
    background = write_wav(tmp_path / "b.wav", noise(2, 0.7), RATE)
    found = mixed(tmp_path, speech, background, keeps_length=True, video=str(long))
    assert found.shape[1] == pytest.approx(5 * RATE, abs=0.01 * RATE)
    assert np.abs(found[:, 3 * RATE :]).max() > 0.05


def test_a_background_without_sound_is_named(tmp_path: Path) -> None:
    speech = write_wav(tmp_path / "s.wav", noise(1, 1), RATE)
    silent = video(tmp_path / "v.mkv", frames=5, sound=None)
    for file in (silent, Path(__file__)):
        with pytest.raises(InvalidMediaError) as refused:
            mixed(tmp_path, speech, file)
        assert refused.value.field == "background"
    with pytest.raises(InvalidMediaError, match="own sound cannot be kept"):
        mixed(tmp_path, speech, silent, keeps_sound=True, video=str(silent))


def test_a_photo_has_no_pictures_that_go_on() -> None:
    portrait = Path(__file__).parents[3] / "deploy" / "demo" / "portrait.jpg"
    assert picture_seconds(portrait, MediaLimits()) == 0.0
