"""Train the painting network and export it: ``python -m inference_node.training.paint_train FACES``.

FACES is a folder of crop files, made by ``python -m inference_node.training.faces CLIPS FACES``. About half an hour on
one core; a GPU is used where torch sees one. ``--hold-out NAME`` keeps a face for judging alone.
"""

import argparse
import math
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from inference_node.engine.learning import solve
from inference_node.engine.likeness import WIDTH_PX
from inference_node.engine.painter import HEAD_OUTPUTS, LIKENESSES, VARIABLES
from inference_node.engine.registry import MODEL_REPOSITORY
from inference_node.training.paint_data import Pages, joined, pages_of, read_face
from inference_node.training.paint_export import export
from inference_node.training.paint_net import Painter, Scene, personal, sums

_BATCH = 16
_PEAK_RATE = 2e-3
_PAIRS = 1800
_JUDGED = 200
_SHIFTS = ((0, 0), (-2, 0), (2, 0), (-4, 0), (4, 0), (0, -2), (0, 2), (-2, -2), (-2, 2), (2, -2), (2, 2))
_SQUARE = 8
_TEMPER = 0.004
_INSIDE = 2.0
"""How much more the inside of the lips weighs than what is around."""


def main() -> None:
    """Train, judge on what was held out, export."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faces", type=Path)
    parser.add_argument("--hold-out", action="append", default=[], metavar="NAME")
    parser.add_argument("--minutes", type=float, default=25.0)
    parser.add_argument("--repository", type=Path, default=MODEL_REPOSITORY)
    options = parser.parse_args()
    torch.manual_seed(0)
    names = {path.stem: path for path in sorted(options.faces.glob("*.npz"))}
    held_out = {name: pages_of(read_face(names.pop(name)), _JUDGED, 1, as_seen=True) for name in options.hold_out}
    pages = joined([pages_of(read_face(path), _PAIRS, seed) for seed, path in enumerate(names.values())])
    painter = train(pages, held_out, options.minutes)
    export(painter, options.repository)


def train(pages: Pages, held_out: dict[str, Pages], minutes: float) -> Painter:
    """Fit a network for so many minutes."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    rng, painter = np.random.default_rng(0), Painter().to(device)
    optimiser = torch.optim.AdamW(painter.parameters(), lr=_PEAK_RATE, weight_decay=1e-3)
    weights = _weights(pages)
    started, step, reported = time.monotonic(), 0, 0.0
    while (spent := (time.monotonic() - started) / (60 * minutes)) < 1.0:
        for group in optimiser.param_groups:
            group["lr"] = _PEAK_RATE * min(1.0, (step + 1) / 100) * (0.5 + 0.5 * math.cos(math.pi * spent)) + 1e-5
        scene, truth = pages.scene(rng.choice(len(weights), _BATCH, p=weights))
        scene, truth = _varied(Scene(*(part.to(device) for part in scene)), truth.to(device), rng)
        painted, _ = painter(scene)
        loss = loss_of(scene, painted, truth)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call] # torch leaves it untyped
        torch.nn.utils.clip_grad_norm_(painter.parameters(), 1.0)
        optimiser.step()
        step += 1
        if spent >= reported:
            reported += 0.1
            told = " ".join(f"{name}: {describe(painter, judged)}" for name, judged in held_out.items())
            print(f"{spent:4.0%} step {step} loss {loss.item():.4f} {told}", flush=True)  # noqa: T201 - a command's output
    return painter.cpu().eval()


def loss_of(scene: Scene, painted: Tensor, truth: Tensor) -> Tensor:
    """How far a painting is from the truth, forgiving a few pixels.

    Landmarks tell where lips are to a pixel or two. A loss that insisted on the very pixel would be least for a blur,
    so the truth may be shifted, square by square, to where it fits best; large areas must agree where they are, and
    squares must be as rich in detail as they are in truth.
    """
    weight = scene.mask * (1.0 + _INSIDE * (functional.interpolate(scene.shape[:, :1], scale_factor=2.0) > 0.0))
    fits = []
    for down, right in _SHIFTS:
        left = (painted - truth.roll((down, right), dims=(2, 3))).abs() * weight
        fits.append(functional.avg_pool2d(left.mean(dim=1, keepdim=True), _SQUARE, stride=_SQUARE // 2))
    stacked = torch.stack(fits)
    nearest = -_TEMPER * (torch.logsumexp(-stacked / _TEMPER, dim=0) - math.log(len(_SHIFTS))).mean()
    broad = functional.avg_pool2d((painted - truth) * weight, 4).abs().mean()
    detail = (_detail(painted, weight) - _detail(truth, weight)).abs().mean()
    return 10.0 * (nearest + 0.5 * broad + 3.0 * detail)


def _detail(picture: Tensor, weight: Tensor) -> Tensor:
    """How much colours change from pixel to pixel, square by square."""
    grey = picture.mean(dim=1, keepdim=True)
    change = grey.diff(dim=2).abs()[..., 1:] + grey.diff(dim=3).abs()[:, :, 1:]
    return functional.avg_pool2d(change * weight[:, :, 1:, 1:], _SQUARE, stride=_SQUARE // 2)


def describe(painter: Painter, pages: Pages) -> str:
    """PSNR within the mask, of the warp, the network, and the network with a face learnt from the first half."""
    device = next(painter.parameters()).device
    count = len(pages.truth)
    half = count // 2
    with torch.no_grad():
        head = learnt(painter, pages, np.arange(half), device)
        errors = np.zeros(3)
        for start in range(half, count, _BATCH):
            scene, truth = pages.scene(np.arange(start, min(start + _BATCH, count)))
            scene, truth = Scene(*(part.to(device) for part in scene)), truth.to(device)
            painted, features = painter(scene)
            own = painted + personal(scene, features, head.expand(len(truth), -1, -1))
            for place, picture in enumerate((scene.warped, painted, own)):
                left = (picture.clamp(0.0, 1.0) - truth) * (scene.mask > 0.5)
                errors[place] += float(left.square().sum() / (scene.mask > 0.5).sum() / 3) * len(truth)
    psnr = -10.0 * np.log10(errors / (count - half))
    return "{:.2f} {:.2f} {:.2f} dB".format(*psnr)


def learnt(painter: Painter, pages: Pages, rows: npt.NDArray[np.intp], device: torch.device) -> Tensor:
    """A face's own part of the last layer, as the node finds it."""
    gram = np.zeros((VARIABLES, VARIABLES))
    right = np.zeros((VARIABLES, HEAD_OUTPUTS))
    for start in range(0, len(rows), _BATCH):
        scene, truth = pages.scene(rows[start : start + _BATCH])
        scene = Scene(*(part.to(device) for part in scene))
        painted, features = painter(scene)
        one, other = sums(scene, painted, features, truth.to(device))
        gram += one.cpu().numpy().astype(np.float64).sum(axis=0)
        right += other.cpu().numpy().astype(np.float64).sum(axis=0)
    return torch.from_numpy(solve(gram, right))[None].to(device)


def _weights(pages: Pages) -> npt.NDArray[np.float64]:
    """Wide and changed mouths are rare and matter most."""
    asked, own = pages.told[:, LIKENESSES].astype(np.float64), pages.told[:, LIKENESSES + 2].astype(np.float64)
    weights = 0.3 + np.minimum(asked, 1.5) + np.abs(asked - own)
    return np.asarray(weights / weights.sum(), dtype=np.float64)


def _varied(scene: Scene, truth: Tensor, rng: np.random.Generator) -> tuple[Scene, Tensor]:
    """Other skins, other light, the other side."""
    count = len(truth)

    def random(*shape: int, spread: float) -> Tensor:
        return torch.from_numpy(rng.normal(0.0, spread, (count, *shape)).astype(np.float32)).to(truth.device)

    gain, lift = torch.exp(random(1, 1, 1, spread=0.25) + random(3, 1, 1, spread=0.08)), random(3, 1, 1, spread=0.03)
    gamma = torch.exp(random(1, 1, 1, spread=0.2))
    other = torch.exp(random(3 * LIKENESSES, 1, 1, spread=0.04))  # a likeness is of another moment

    def coloured(picture: Tensor) -> Tensor:
        return (picture.clamp(0.0, 1.0) ** gamma * gain + lift).clamp(0.0, 1.0)

    each = (gain.repeat_interleave(LIKENESSES, 0).squeeze(-1).squeeze(-1), lift.repeat_interleave(LIKENESSES, 0))
    pictures = (scene.pictures / 255.0) ** gamma.repeat_interleave(LIKENESSES, 0)
    pictures = pictures * each[0][:, None, None] + each[1].reshape(-1, 1, 1, 3)
    scene = scene._replace(
        warped=coloured(scene.warped),
        pictures=pictures.clamp(0.0, 1.0) * 255.0,
        gains=scene.gains * other.reshape(count, LIKENESSES, 3),
    )
    truth = coloured(truth)
    if rng.random() < 0.5:
        sides = torch.tensor([1.0, 1.0, 1.0, 1.0, -1.0, 1.0], device=truth.device)[:, None, None]
        x, y = scene.places[:, :, :1], scene.places[:, :, 1:]
        scene = scene._replace(
            warped=scene.warped.flip(3),
            pictures=scene.pictures.flip(2),
            places=torch.cat([WIDTH_PX - 1.0 - x, y], dim=2).flip(4),
            shape=scene.shape.flip(3) * sides,
            mask=scene.mask.flip(3),
        )
        truth = truth.flip(3)
    return scene, truth


if __name__ == "__main__":
    main()
