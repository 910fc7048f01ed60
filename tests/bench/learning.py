"""What the painting network and learning a face are worth, in the picture.

    python -m tests.bench.learning [--repository DIR] [--clips DIR] [NAME ...]

A face is learnt from the first half of its clip. In the second half each of up to 150 pairs of near frames is taken:
the one is painted with the lips of the other, laid on it, which is the truth (``inference_node/engine/practice.py``).
PSNR (of red, green and blue) and SSIM (of luma) are those of a box around the asked lips: as warped alone, as painted
by the network, and as painted with what was learnt. ``--repository`` takes networks from elsewhere, such as those that
never saw the clip.
"""

import argparse
import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from inference_node.engine import painter, warp
from inference_node.engine.canvas import canvas
from inference_node.engine.lips import rows
from inference_node.engine.local import LocalTensors
from inference_node.engine.port import FaceFrames, Pixels
from inference_node.engine.practice import lesson, pairs_of
from inference_node.engine.registry import MODEL_REPOSITORY
from inference_node.engine.rig import LOWER_OUTER, UPPER_OUTER
from inference_node.engine.viseme import VisemeEngine
from inference_node.engine.warp import PATCH, usable
from tests.bench.profiles import Clip, Node, ssim

MEDIA = Path(__file__).resolve().parents[3] / "shared" / "media"
PAIRS = 150
BATCH = 8
SIDE_PX = 6
WAYS = ("warp", "network", "learnt")


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One clip: mouths as they should be and as each way made them, and what learning took."""

    truth: list[Pixels]
    made: dict[str, list[Pixels]]
    learning_s: float


def read_frames(path: Path) -> FaceFrames:
    """A clip's frames as a node has them."""
    clip = Clip(path, 1e6)
    node = Node(clip)
    parts = [node.faces(told, data) for told, data in clip.segments]
    frames = FaceFrames(
        crops=np.concatenate([part.crops for part in parts]),
        landmarks=np.concatenate([part.landmarks for part in parts]),
    )
    return frames.part(usable(frames.landmarks))


async def judge(frames: FaceFrames, tensors: LocalTensors) -> Judged:
    """Learn from the first half, paint in the second."""
    half = len(frames.crops) // 2
    known, unknown = frames.part(range(half)), frames.part(range(half, len(frames.crops)))
    begun = time.process_time()
    memory = await VisemeEngine(tensors).remember(known)
    learning_s = time.process_time() - begun
    truth: list[Pixels] = []
    made: dict[str, list[Pixels]] = {way: [] for way in WAYS}
    pairs = pairs_of(unknown, PAIRS)
    for start in range(0, len(pairs), BATCH):
        taught = lesson(unknown, pairs[start : start + BATCH], memory.looks.warp.rest_width, PATCH)
        drawn = canvas(taught.sketch, memory.looks)
        boxes = list(_boxes(taught.sketch.move.target))
        head = memory.heads(drawn)
        only = {name: drawn.inputs[name] for name in warp.INPUTS}
        found = (
            await tensors.infer("warp", only, [warp.OUTPUT]),
            await tensors.infer("viseme", {**drawn.inputs, "HEAD": np.zeros_like(head)}, [painter.OUTPUT]),
            await tensors.infer("viseme", {**drawn.inputs, "HEAD": head}, [painter.OUTPUT]),
        )
        truth += _mouths(taught.truth, boxes)
        for way, answer in zip(WAYS, found, strict=True):
            made[way] += _mouths(answer[painter.OUTPUT].astype(np.uint8), boxes)
    return Judged(truth=truth, made=made, learning_s=learning_s)


def _boxes(targets: npt.NDArray[np.float64]) -> Iterator[tuple[slice, slice]]:
    for target in targets:
        lips = target[rows((*UPPER_OUTER, *LOWER_OUTER))] - (PATCH.x, PATCH.y)
        left, top = np.maximum(lips.min(axis=0) - SIDE_PX, 0).astype(int)
        right, bottom = (lips.max(axis=0) + SIDE_PX).astype(int)
        yield slice(top, bottom), slice(left, right)


def _mouths(patches: Pixels, boxes: Sequence[tuple[slice, slice]]) -> list[Pixels]:
    return [patch[box] for patch, box in zip(patches, boxes, strict=True)]


def _alike(ours: Sequence[Pixels], truth: Sequence[Pixels]) -> tuple[float, float]:
    """PSNR in dB of the mean square error of all mouths, and mean SSIM."""
    errors = [np.square(a.astype(np.float64) - b).mean() for a, b in zip(ours, truth, strict=True)]
    grey = [[cv2.cvtColor(mouth, cv2.COLOR_RGB2GRAY) for mouth in mouths] for mouths in (ours, truth)]
    similar = [ssim(a, b) for a, b in zip(*grey, strict=True)]
    return float(10.0 * np.log10(255.0**2 / np.mean(errors))), float(np.mean(similar))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repository", type=Path, default=MODEL_REPOSITORY)
    parser.add_argument("--clips", type=Path, default=MEDIA)
    parser.add_argument("names", nargs="*", default=["v01", "v03", "v05"], help="how the clips' names begin")
    options = parser.parse_args()
    tensors = LocalTensors(options.repository, MODEL_REPOSITORY, observe=lambda _model, _seconds: None)
    ways = " | ".join(f"{way}: PSNR dB | SSIM" for way in WAYS)
    print(f"| clip | pairs | {ways} | learning, CPU s |\n|---|---|{'---|---|' * len(WAYS)}---|")
    for name in options.names:
        found = asyncio.run(judge(read_frames(next(iter(sorted(options.clips.glob(f"{name}*.mp4"))))), tensors))
        figures = []
        for way in WAYS:
            decibels, similar = _alike(found.made[way], found.truth)
            figures.append(f"{decibels:.2f} | {similar:.3f}")
        print(f"| {name} | {len(found.truth)} | {' | '.join(figures)} | {found.learning_s:.1f} |", flush=True)


if __name__ == "__main__":
    main()
