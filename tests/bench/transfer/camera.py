"""Material as people bring it: a minute from a camera, a minute of speech. Made once, kept in the temporary folder."""

import itertools
import os
import tempfile
import wave
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

MEDIA = Path(__file__).resolve().parents[4] / "shared" / "media"
VIDEO = MEDIA / "v03_latentsync_demo3_1080x1920_30.mp4"
SPEECH = MEDIA / "a03_en_a2f_claire_neutral_13s_16k.wav"
OTHER = MEDIA / "a05_zh_sadtalker_news_8s_48k_stereo.wav"
WIDTH, HEIGHT = 1080, 1920
BIT_RATE = 8_000_000
RATE = 30
_NOISE = 3.0
"""Of a sensor in a room, in steps of luma."""
_NOISES = 7


def _folder() -> Path:
    folder = Path(tempfile.gettempdir()) / "viseme-bench-media"
    folder.mkdir(exist_ok=True)
    return folder


def _pictures(count: int) -> Iterator[av.VideoFrame]:
    """The clip to and fro, with noise that is another one in every picture."""
    chance = np.random.default_rng(1)
    with av.open(str(VIDEO)) as source:
        source.streams.video[0].thread_type = "AUTO"
        once = [frame.reformat(format="yuv420p").to_ndarray() for frame in source.decode(video=0)]
    height = once[0].shape[0] * 2 // 3
    noises = [chance.normal(0, _NOISE, (height, once[0].shape[1])).astype(np.int8) for _ in range(_NOISES)]
    for number, picture in enumerate(itertools.islice(itertools.cycle(once + once[-2:0:-1]), count)):
        noisy = picture.copy()
        noise = np.roll(noises[number % _NOISES], number * 37, axis=1)
        noisy[:height] = np.clip(picture[:height].astype(np.int16) + noise, 16, 235)
        yield av.VideoFrame.from_ndarray(noisy, format="yuv420p")


def camera(seconds: int) -> Path:
    """1080p at about 8 Mbit/s."""
    path = _folder() / f"camera-{seconds}.mp4"
    if path.exists():
        return path
    part = path.with_name(f"{path.stem}.{os.getpid()}.mp4")
    with av.open(str(part), "w", options={"movflags": "faststart"}) as target:
        stream = target.add_stream(
            "libx264", rate=RATE, options={"preset": "veryfast", "maxrate": "9M", "bufsize": "9M"}
        )
        stream.bit_rate, stream.pix_fmt = BIT_RATE, "yuv420p"
        stream.width, stream.height = WIDTH, HEIGHT
        for number, picture in enumerate(_pictures(seconds * RATE)):
            picture.pts, picture.time_base = number, Fraction(1, RATE)
            target.mux(stream.encode(picture))
        target.mux(stream.encode())
    return part.rename(path)


def speech(seconds: int, source: Path = SPEECH) -> Path:
    """A recording over and over."""
    path = _folder() / f"{source.stem}-{seconds}.wav"
    if path.exists():
        return path
    with wave.open(str(source)) as once:
        parameters, data = once.getparams(), once.readframes(once.getnframes())
    wanted = seconds * parameters.framerate * parameters.sampwidth * parameters.nchannels
    with wave.open(str(path), "wb") as target:
        target.setparams(parameters)
        target.writeframes((data * (wanted // len(data) + 1))[:wanted])
    return path
