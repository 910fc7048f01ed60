"""Train the listening network and export it: ``python -m inference_node.training.speech_train``.

Synthetic speech teaches what is heard, above all when the lips meet; with ``--clips FOLDER`` real lips teach how far
they open otherwise (``speech_lips``). ``--start MODEL`` goes on from an exported network, ``--steps 0`` only fits the
opening anew. The same seed, data and start give the same weights. The export goes straight into the model repository.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn
from torch.nn import functional

from inference_node.speech.features import BANDS, digital_silence
from inference_node.speech.listener import CONTEXT_ROWS
from inference_node.training.network_file import write_network
from inference_node.training.speech_data import DEFAULT_FOLDER
from inference_node.training.speech_lips import fitted, judged, lessons, read_clips
from inference_node.training.speech_net import APERTURE_SCALE, REACH_ROWS, ListeningNet, Opening, SpeakingNet, TalkNet
from inference_node.training.speech_talk import trained

DEFAULT_MODEL = Path(__file__).parents[1] / "model_repository" / "speech" / "1" / "model.onnx"
_ROWS = 200
_BATCH = 16
_PEAK_RATE, _GOING_ON_RATE = 3e-3, 1e-3
_SHUTTING_ROWS = 8


Net = TypeVar("Net", bound=nn.Module)


@dataclass(frozen=True, slots=True, kw_only=True)
class Speech:
    """Many clips one after another: features [T, BANDS] and mouths [T, 4]."""

    mel: npt.NDArray[np.float16]
    mouth: npt.NDArray[np.float16]


def main() -> None:
    """Train, measure on a shard that was held back, export."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=DEFAULT_FOLDER)
    parser.add_argument("--model", type=Path, default=DEFAULT_MODEL)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--start", type=Path, help="an exported network to go on from")
    parser.add_argument("--talk", action="store_true", help="with --start: learn anew when somebody speaks")
    parser.add_argument("--clips", type=Path, help="a folder of clips, each of one person who speaks")
    options = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    net = started(options.start, "heard.", ListeningNet()) if options.start else ListeningNet()
    if options.steps:
        shards = sorted(options.folder.glob("shard-*.npz"))
        if len(shards) < 2:
            raise SystemExit(f"no data in {options.folder}: run python -m inference_node.training.speech_data first")
        held_back = load(shards[-1:])
        train(net, load(shards[:-1]), held_back, options.steps, _GOING_ON_RATE if options.start else _PEAK_RATE)
        print(describe(net, held_back))  # noqa: T201 - a command's output
    talk = started(options.start, "talk.", TalkNet()) if options.start and not options.talk else trained(options.folder)
    export(SpeakingNet(net.eval(), talk.eval(), opening_of(net, options.clips)), options.model)


def opening_of(net: ListeningNet, folder: Path | None) -> Opening:
    """The reading that the clips of a folder give, after telling how well each is read by the others."""
    if folder is None:
        return Opening.as_heard()
    clips = [(clip.name, *lessons(net, clip, seed)) for seed, clip in enumerate(read_clips(folder))]
    if not clips:
        raise SystemExit(f"no clips in {folder}")
    if len(clips) > 1:
        for judgement in judged(clips):
            print(judgement)  # noqa: T201 - a command's output
    return fitted([variants for _, variants, _ in clips])


def started(path: Path, prefix: str, net: Net) -> Net:
    """A network with the weights of an exported model, where their names have a prefix."""
    found = {
        initial.name.removeprefix(prefix): torch.from_numpy(numpy_helper.to_array(initial).copy())
        for initial in onnx.load(str(path)).graph.initializer
    }
    kept = {name: value for name, value in found.items() if name in net.state_dict()}
    lacking = [name for name in net.state_dict() if name not in kept and not name.endswith("num_batches_tracked")]
    if lacking:
        raise SystemExit(f"{path} cannot be gone on from: it lacks {prefix}{lacking[0]}")
    net.load_state_dict(kept, strict=False)
    return net


def load(paths: list[Path]) -> Speech:
    """Read shards; half precision is kept, batches are widened when they are cut."""
    files = [np.load(path) for path in paths]
    return Speech(
        mel=np.concatenate([file["mel"] for file in files]), mouth=np.concatenate([file["mouth"] for file in files])
    )


def train(net: ListeningNet, speech: Speech, held_back: Speech, steps: int, peak_rate: float) -> None:
    """Fit a network in so many steps."""
    rng = np.random.default_rng(0)
    optimiser = torch.optim.AdamW(net.parameters(), lr=peak_rate, weight_decay=1e-2)
    for step in range(steps):
        spent = step / steps
        for group in optimiser.param_groups:
            group["lr"] = peak_rate * min(1.0, (step + 1) / 200) * (0.5 + 0.5 * np.cos(np.pi * spent)) + 1e-5
        mel, mouth = _batch(speech, rng)
        loss = loss_of(net.raw(mel), mouth)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call] # torch leaves it untyped
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        if step % (steps // 10 or 1) == 0:
            print(f"step {step} loss {loss.item():.4f} {describe(net, held_back)}", flush=True)  # noqa: T201 - a command's output
    net.eval()


def loss_of(raw: Tensor, mouth: Tensor) -> Tensor:
    """Distance in shape and in speed, and whether the lips are pressed; errors near closure weigh more."""
    aperture = mouth[:, 0] / APERTURE_SCALE
    nearness = 1.0 + 2.0 * torch.exp(-aperture / 0.15)
    shape = (
        3.0 * (nearness * functional.smooth_l1_loss(raw[:, 0], aperture, beta=0.4, reduction="none")).mean()
        + functional.smooth_l1_loss(3.0 * raw[:, 1], 3.0 * mouth[:, 1], beta=0.1)
        + functional.smooth_l1_loss(raw[:, 2], mouth[:, 2], beta=0.1)
    )
    speed = functional.l1_loss(raw[:, 0].diff(dim=1), aperture.diff(dim=1))
    press = functional.binary_cross_entropy_with_logits(raw[:, 3], mouth[:, 3])
    return shape + 2.0 * speed + 0.5 * press


def describe(net: ListeningNet, speech: Speech) -> str:
    """Correlation of aperture, width and rounding and the F1 of press on speech that was not learnt."""
    net.eval()
    rows = min(len(speech.mel), 60_000)
    with torch.no_grad():
        guess = net(torch.from_numpy(speech.mel[None, :rows].astype(np.float32)))[0].numpy()
    net.train()
    truth = speech.mouth[REACH_ROWS : rows - REACH_ROWS].astype(np.float32)
    shapes = [float(np.corrcoef(guess[:, column], truth[:, column])[0, 1]) for column in range(3)]
    said, is_so = guess[:, 3] > 0.5, truth[:, 3] > 0.5
    f1 = 2 * float(np.sum(said & is_so)) / max(1.0, float(np.sum(said) + np.sum(is_so)))
    spread = float(guess[:, 0].std() / truth[:, 0].std())
    return "aperture {:.3f} width {:.3f} rounding {:.3f}".format(*shapes) + f" spread {spread:.2f} press F1 {f1:.3f}"


def export(net: SpeakingNet, path: Path) -> None:
    """Write the network as ONNX with a free time axis."""
    net.eval()
    program = torch.onnx.export(
        net,
        (torch.zeros(1, 4 * CONTEXT_ROWS, BANDS),),
        input_names=["mel"],
        output_names=["shapes", "talking"],
        opset_version=18,
        dynamic_shapes={"mel": {1: torch.export.Dim("rows", min=2 * CONTEXT_ROWS + 1)}},
        dynamo=True,
    )
    if program is None:
        raise RuntimeError("the exporter returned nothing")
    write_network(program.model_proto, path)


def _batch(speech: Speech, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Random windows, now and then with the level misjudged or a few bands missing."""
    length = _ROWS + 2 * REACH_ROWS
    starts = rng.integers(0, len(speech.mel) - length, _BATCH)
    mel = np.stack([speech.mel[start : start + length] for start in starts]).astype(np.float32)
    mouth = np.stack([speech.mouth[start + REACH_ROWS : start + REACH_ROWS + _ROWS] for start in starts])
    mel += rng.normal(0.0, 0.15, (_BATCH, 1, 1)).astype(np.float32)
    mel += rng.normal(0.0, 0.05, mel.shape).astype(np.float32)
    if rng.random() < 0.3:
        first = int(rng.integers(0, BANDS - 6))
        mel[:, :, first : first + 6] += np.float32(rng.normal(0.0, 0.5))
    for window in range(_BATCH):
        if rng.random() < 0.25:
            _cut(mel[window], mouth[window], rng)
    return torch.from_numpy(mel), torch.from_numpy(mouth.astype(np.float32)).transpose(1, 2)


def _cut(mel: npt.NDArray[np.float32], mouth: npt.NDArray[np.float16], rng: np.random.Generator) -> None:
    """Let the speech begin or end all of a sudden, as files do; before and after it the mouth is closed."""
    cut = int(rng.integers(0, len(mel)))
    outside = np.arange(len(mel)) < cut if rng.random() < 0.5 else np.arange(len(mel)) >= cut
    mel[outside] = digital_silence()
    distance = np.abs(np.arange(len(mel)) - cut) * outside
    ajar = np.clip(1.0 - distance / _SHUTTING_ROWS, 0.0, 1.0)[REACH_ROWS:-REACH_ROWS, None]
    mouth *= ajar.astype(np.float16)


if __name__ == "__main__":
    main()
