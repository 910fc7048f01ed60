"""Outside the mouth, is a result as good as a plain transcode of the original?

    python -m tests.bench.outside

A clip is dubbed through the real programs, and encoded once more without any change at the result's own settings and in
the same segments. Both are compared with the original, in luma, outside a box around the lower face; one encoder makes
both, so equal figures mean that nothing but the encoder touched those pixels.
"""

import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from edge_gateway.settings import EdgeSettings
from shared.media.encode import Encoding
from shared.media.limits import MediaLimits
from shared.media.planes import Planes
from shared.media.video import FrameReader, decode_video, encode_video
from tests.bench.aperture import mouth_points
from tests.stack import Stack

MEDIA = Path(__file__).resolve().parents[3] / "shared" / "media"
PAIRS = [
    ("v05_retalking_face4_700x700_30.mp4", "a06_dhlive_audio0_8s_16k.wav"),
    ("v07_dhlive_000002_720x1080_25.mp4", "a06_dhlive_audio0_8s_16k.wav"),
]


def pictures(path: Path) -> Iterator[Planes]:
    """The frames of a video."""
    with FrameReader(path, MediaLimits()) as reader:
        for frame in reader:
            yield frame.planes


def transcoded(path: Path) -> list[Planes]:
    """The frames of a video after one encoding as the edge does it."""
    settings = EdgeSettings()
    limits = MediaLimits()
    with FrameReader(path, limits) as reader:
        source = reader.source
        encoding = Encoding(
            rate=source.rate,
            crf=settings.result_crf,
            preset=settings.result_preset,
            colour=source.colour,
            aspect=source.aspect,
            threads=2,
        )
        out: list[Planes] = []
        frames = iter(reader)
        while part := list(itertools.islice(frames, round(settings.segment_seconds * float(source.rate)))):
            data = encode_video(
                (frame.planes for frame in part), [frame.time_us - part[0].time_us for frame in part], encoding
            )
            out += decode_video(data, max_frames=len(part), max_pixels=limits.frame_pixels)
    return out


def main() -> None:
    """Print the table."""
    print("| clip | result against original | transcode against original | frames |\n|---|---|---|---|")
    with Stack() as stack, tempfile.TemporaryDirectory() as folder:
        for video, speech in PAIRS:
            output = Path(folder) / "out.mp4"
            stack.dub(MEDIA / video, MEDIA / speech, output)
            _, points = mouth_points(MEDIA / video)
            errors: list[tuple[float, float]] = []
            triples = zip(pictures(MEDIA / video), pictures(output), transcoded(MEDIA / video), strict=False)
            for found, (source, result, plain) in zip(points, triples, strict=False):
                if found is None:
                    continue
                outside = np.ones(source.y.shape, bool)
                height = float(np.linalg.norm(found[10, :2] - found[152, :2]))
                x, y = found[13, :2]
                left, top = max(0, int(x - 0.7 * height)), max(0, int(y - 0.6 * height))
                outside[top : int(y + 0.8 * height), left : int(x + 0.7 * height)] = False
                truth = source.y[outside].astype(np.float32)
                rows, columns = source.y.shape
                ours = result.y[:rows, :columns][outside] - truth
                theirs = plain.y[:rows, :columns][outside] - truth
                errors.append((float(np.mean(ours**2)), float(np.mean(theirs**2))))
            decibels = 10 * np.log10(255**2 / np.mean(errors, axis=0))
            print(f"| {video[:3]} | {decibels[0]:.2f} dB | {decibels[1]:.2f} dB | {len(errors)} |", flush=True)


if __name__ == "__main__":
    main()
