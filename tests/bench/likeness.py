"""Self-reconstruction: a clip is dubbed with its own speech; is what comes out what was there?

The truth is the clip itself. PSNR and SSIM are of the luma in the box around the true lips, widened by half its width
and height; ``still`` is what the same engine reaches with a speech of silence, so what a shut mouth would reach.
"""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from shared.media.limits import MediaLimits
from shared.media.video import FrameReader
from tests.bench.aperture import agreement, mouth_points
from tests.bench.cast import Clip
from tests.bench.mouths import RenderedMouth

LIPS = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 185, 40, 39, 37, 0, 267, 269, 270, 409)
_SIDE = 96
_BLUR = 1.5
"""Standard deviation of SSIM's window in pixels (Wang et al., 2004)."""
_STABLE = ((0.01 * 255) ** 2, (0.03 * 255) ** 2)

Luma = npt.NDArray[np.float64]


def print_likeness(mouth: RenderedMouth, clips: list[Clip]) -> None:
    """Print a row for each clip whose lips speak."""
    head = (
        "self-reconstruction | clip | correlation | lag (1/25 s) | amplitude | PSNR dB | SSIM | still PSNR | still SSIM"
    )
    print(f"\n| {head} |\n|{'---|' * 9}")
    for clip in clips:
        if not clip.speaks:
            continue
        boxes = mouth_boxes(clip.path)
        score = agreement(mouth.says(clip, clip.speech).curve, clip.curve)
        spoken = alike(clip.path, mouth.video(clip, clip.speech), boxes)
        still = alike(clip.path, mouth.video(clip, np.zeros_like(clip.speech)), boxes)
        figures = " | ".join(f"{psnr:.2f} | {ssim:.3f}" for psnr, ssim in (spoken, still))
        curve = f"{score.peak:.2f} | {score.lag_frames:+d} | {score.amplitude:.2f}"
        print(f"| {mouth.name} | {clip.name} | {curve} | {figures} |", flush=True)


def mouth_boxes(path: Path) -> list[tuple[int, int, int, int] | None]:
    """Left, top, right and bottom of the box around each frame's lips; None where no face is seen."""
    _, found = mouth_points(path)
    return [None if points is None else _box(points[list(LIPS), :2]) for points in found]


def alike(truth: Path, result: Path, boxes: list[tuple[int, int, int, int] | None]) -> tuple[float, float]:
    """PSNR in dB (of the mean square error) and mean SSIM of the boxes, scaled to one size."""
    errors, ssims = [], []
    for box, theirs, ours in zip(boxes, _lumas(truth), _lumas(result), strict=False):
        if box is None:
            continue
        left, top, right, bottom = (max(0, edge) for edge in box)
        pieces = [
            cv2.resize(luma[top:bottom, left:right], (_SIDE, _SIDE), interpolation=cv2.INTER_AREA).astype(np.float64)
            for luma in (theirs, ours)
        ]
        errors.append(float(np.mean(np.square(pieces[0] - pieces[1]))))
        ssims.append(_ssim(*pieces))
    return float(10 * np.log10(255**2 / np.mean(errors))), float(np.mean(ssims))


def _box(lips: npt.NDArray[np.float32]) -> tuple[int, int, int, int]:
    low, high = lips.min(axis=0), lips.max(axis=0)
    margin = (high - low) * 0.25
    margin[1] = max(margin[1], (high - low)[0] * 0.25)  # closed lips are flat, and open from the same place
    (left, top), (right, bottom) = low - margin, high + margin
    return int(left), int(top), int(right) + 1, int(bottom) + 1


def _lumas(path: Path) -> Iterator[npt.NDArray[np.uint8]]:
    with FrameReader(path, MediaLimits()) as reader:
        for frame in reader:
            yield frame.planes.y


def _ssim(one: Luma, other: Luma) -> float:
    def blurred(image: Luma) -> Luma:
        return np.asarray(cv2.GaussianBlur(image, (11, 11), _BLUR), dtype=np.float64)

    first, second = blurred(one), blurred(other)
    spread = blurred(one * one) - first**2 + blurred(other * other) - second**2
    together = blurred(one * other) - first * second
    above = (2 * first * second + _STABLE[0]) * (2 * together + _STABLE[1])
    return float(np.mean(above / ((first**2 + second**2 + _STABLE[0]) * (spread + _STABLE[1]))))
