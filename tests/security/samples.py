"""Small real files of every container and codec that viseme opens, made of the committed clip and portrait."""

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from av.audio.stream import AudioStream
from av.container import OutputContainer

from shared.media.priority import usual_priority

ROOT = Path(__file__).resolve().parents[2]
CLIP, PORTRAIT = ROOT / "tests/media/clip.mp4", ROOT / "deploy/demo/portrait.jpg"
FRAMES, RATE, SOUND_RATE = 15, 25, 48_000
FILMS = {
    "h264-aac.mp4": ("mp4", "libx264", "aac", {"movflags": "faststart"}),
    "h264-late.mp4": ("mp4", "libx264", "aac", {}),
    "fragmented.mp4": ("mp4", "libx264", "aac", {"movflags": "frag_keyframe+delay_moov"}),
    "hevc.mov": ("mov", "libx265", "pcm_s16le", {}),
    "h264-mp3.mkv": ("matroska", "libx264", "libmp3lame", {}),
    "vp9-opus.webm": ("webm", "libvpx-vp9", "libopus", {}),
    "av1.mp4": ("mp4", "libsvtav1", "aac", {}),
    "mpeg4.avi": ("avi", "mpeg4", "mp2", {}),
    "flv.flv": ("flv", "flv", "libmp3lame", {}),
}
SOUNDS = {
    "pcm.wav": ("wav", "pcm_s16le"),
    "float.wav": ("wav", "pcm_f32le"),
    "a.mp3": ("mp3", "libmp3lame"),
    "a.m4a": ("ipod", "aac"),
    "a.aac": ("adts", "aac"),
    "a.flac": ("flac", "flac"),
    "flac.ogg": ("ogg", "flac"),
    "opus.ogg": ("ogg", "libopus"),
}


def make_samples(folder: Path) -> list[Path]:
    """Write them; gives their paths, always in the same order."""
    pictures = _pictures()
    for name, (container, codec, sound, options) in FILMS.items():
        _film(folder / name, container, (codec, sound), options, pictures)
    for name, (container, codec) in SOUNDS.items():
        with av.open(str(folder / name), "w", format=container) as out:
            _hum(out, _sound(out, codec))
    cv2.imwrite(str(folder / "portrait.jpg"), pictures[0])
    cv2.imwrite(str(folder / "portrait.png"), pictures[0])
    return sorted(path for path in folder.iterdir() if path.is_file())


def _pictures() -> list[np.ndarray]:
    with av.open(str(CLIP)) as clip:
        decoded = (frame.to_ndarray(format="bgr24") for frame in clip.decode(video=0))
        return [next(decoded) for _ in range(FRAMES)]


def _film(
    path: Path, container: str, codecs: tuple[str, str], options: dict[str, str], pictures: list[np.ndarray]
) -> None:
    with usual_priority(), av.open(str(path), "w", format=container, options=options) as out:
        stream = out.add_stream(codecs[0], rate=RATE)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        sound = _sound(out, codecs[1])
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
        _hum(out, sound)


def _sound(out: OutputContainer, codec: str) -> AudioStream:
    return out.add_stream(codec, rate=44_100 if out.format.name == "flv" else SOUND_RATE, layout="mono")


def _hum(out: OutputContainer, stream: AudioStream) -> None:
    rate = stream.rate
    wave = 0.3 * np.sin(np.arange(rate * FRAMES // RATE) * 2 * np.pi * 220 / rate)
    frame = av.AudioFrame.from_ndarray(wave.astype(np.float32)[None], format="flt", layout="mono")
    frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
    size = stream.codec_context.frame_size
    for part in av.AudioResampler(format=stream.format, layout="mono", rate=rate, frame_size=size).resample(frame):
        out.mux(stream.encode(part))
    out.mux(stream.encode(None))
