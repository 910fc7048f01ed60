"""Every shared clip with its own and with every other speech: does each result have the right frames, length and sound?

    python -m tests.bench.clips

One row a job. ``frames`` is what the result has against what it should have; ``offset`` is how late the result's sound
is against the given speech, by cross-correlation, and must stay within one frame.
"""

import tempfile
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

from tests.stack import Stack

MEDIA = Path(__file__).resolve().parents[3] / "shared" / "media"
RATE = 16_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a finished file holds."""

    frames: int
    seconds: float
    rate: Fraction
    size: tuple[int, int]


def look(path: Path) -> Seen:
    """Decode a file's pictures and count them."""
    with av.open(str(path)) as media:
        stream = media.streams.video[0]
        times = [frame.time or 0.0 for frame in media.decode(video=0)]
        rate = stream.average_rate or Fraction(25)
        return Seen(
            frames=len(times),
            seconds=times[-1] - times[0] + float(1 / rate),
            rate=rate,
            size=(stream.width, stream.height),
        )


def sound(path: Path) -> npt.NDArray[np.float32]:
    """A file's sound, float32 mono at 16 kHz; empty where it has none."""
    resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE)
    with av.open(str(path)) as media:
        if not media.streams.audio:
            return np.zeros(0, np.float32)
        start = media.streams.audio[0].start_time or 0
        pieces = [out.to_ndarray()[0] for frame in media.decode(audio=0) for out in resampler.resample(frame)]
        pieces += [out.to_ndarray()[0] for out in resampler.resample(None)]
        lead = int(max(0.0, float(start * (media.streams.audio[0].time_base or 0))) * RATE)
    return np.concatenate([np.zeros(lead, np.float32), *pieces])


def late_seconds(result: npt.NDArray[np.float32], speech: npt.NDArray[np.float32]) -> float:
    """By how much a sound is late against another, in seconds, by cross-correlation over half a second either way."""
    length = min(len(result), len(speech))
    size = 1 << (2 * length - 1).bit_length()
    cross = np.fft.irfft(np.fft.rfft(result[:length], size) * np.conj(np.fft.rfft(speech[:length], size)), size)
    reach = RATE // 2
    window = np.concatenate([cross[-reach:], cross[: reach + 1]])
    return (int(np.argmax(window)) - reach) / RATE


def main() -> None:
    """Render every pair and print the table."""
    videos = sorted(MEDIA.glob("v*.mp4"))
    speeches = [*(path for path in videos if len(sound(path))), *sorted(MEDIA.glob("a*.wav"))]
    wrong = 0
    print("| video | speech | frames | size | length | offset of the sound | |\n|---|---|---|---|---|---|---|")
    with Stack() as stack, tempfile.TemporaryDirectory() as folder:
        for video in videos:
            source = look(video)
            for speech in speeches:
                heard = sound(speech)
                seconds = len(heard) / RATE
                output = Path(folder) / "out.mp4"
                report = stack.dub(video, speech, output)
                result = look(output)
                late = late_seconds(sound(output), heard) if np.any(heard) else None  # silence has no offset
                frame = float(1 / source.rate)
                right = (
                    abs(result.seconds - seconds) <= frame
                    and (late is None or abs(late) <= frame)
                    and result.frames == report["frames"]
                    and result.size == source.size
                )
                wrong += not right
                figures = f"{result.frames} of {report['frames']} | {result.size[0]}x{result.size[1]}"
                offset = "silent" if late is None else f"{late * 1000:+.0f} ms"
                lengths = f"{result.seconds:.2f} of {seconds:.2f} s | {offset}"
                row = f"| {video.name[:3]} | {speech.name[:3]} | {figures} | {lengths} |"
                print(f"{row} {'right' if right else 'WRONG'} |", flush=True)
    print(f"{wrong} wrong")


if __name__ == "__main__":
    main()
