"""Teach when somebody speaks: a small network on the same rows, learnt from speech over tunes and tunes alone."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from inference_node.speech.features import BANDS
from inference_node.speech.listener import CONTEXT_ROWS
from inference_node.training.speech_net import TalkNet
from inference_node.training.speech_talk_data import talking_rows

_STEPS = 2500
_ROWS, _BATCH = 200, 32
_PEAK_RATE = 2e-3
_TALK_SHARE = 0.7
_MISSED_WEIGHS = 2.0
"""To shut a mouth that speaks is worse than to open one that does not."""
_NARROW_SHARE, _NARROW_TO = 0.2, (6, 28)
"""How often the lowest and highest bands are taken away, and the least that is left: 300 to 3400 Hz."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Talk:
    """Many clips one after another: features [T, BANDS] and whether somebody speaks [T, 1]."""

    mel: npt.NDArray[np.float16]
    talking: npt.NDArray[np.float16]


def trained(folder: Path, steps: int = _STEPS) -> TalkNet:
    """A network trained on the shards of a folder, the last ones held back to tell how well it does."""
    talks, speeches = sorted(folder.glob("talk-*.npz")), sorted(folder.glob("shard-*.npz"))
    if len(talks) < 2 or not speeches:
        raise SystemExit(f"no data in {folder}: run python -m inference_node.training.speech_data first")
    learnt, held_back = (_talk(talks[:-1]), _speech(speeches[:-1] or speeches)), _talk(talks[-1:])
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    net = TalkNet()
    optimiser = torch.optim.AdamW(net.parameters(), lr=_PEAK_RATE, weight_decay=1e-2)
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = _PEAK_RATE * min(1.0, (step + 1) / 100) * (0.5 + 0.5 * np.cos(np.pi * step / steps)) + 1e-5
        mel, talking = _batch(learnt[0], learnt[1], rng)
        weight = 1.0 + (_MISSED_WEIGHS - 1.0) * talking
        loss = functional.binary_cross_entropy_with_logits(net(mel), talking, weight=weight)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call] # torch leaves it untyped
        optimiser.step()
        if step % (steps // 5 or 1) == 0:
            print(f"talk, step {step} loss {loss.item():.4f} {_describe(net, held_back)}", flush=True)  # noqa: T201 - a command's output
    print(f"talk, {_describe(net, held_back)}", flush=True)  # noqa: T201 - a command's output
    return net.eval()


def _talk(paths: list[Path]) -> Talk:
    files = [np.load(path) for path in paths]
    return Talk(mel=np.concatenate([f["mel"] for f in files]), talking=np.concatenate([f["talking"] for f in files]))


def _speech(paths: list[Path]) -> Talk:
    files = [np.load(path) for path in paths]
    talking = np.concatenate([talking_rows(file["mouth"].astype(np.float32)) for file in files])
    return Talk(mel=np.concatenate([file["mel"] for file in files]), talking=talking.astype(np.float16))


def _describe(net: TalkNet, talk: Talk) -> str:
    """How often speech is heard, and how often what is none is taken for it, on what was not learnt."""
    rows = min(len(talk.mel), 60_000)
    with torch.no_grad():
        guess = net(torch.from_numpy(talk.mel[None, :rows].astype(np.float32)))[0].numpy() > 0
    truth = talk.talking[CONTEXT_ROWS : rows - CONTEXT_ROWS, 0] > 0
    return f"heard {guess[truth].mean():.3f} wrongly {guess[~truth].mean():.3f}"


def _batch(talk: Talk, speech: Talk, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    length = _ROWS + 2 * CONTEXT_ROWS
    mels, told = [], []
    for _ in range(_BATCH):
        source = talk if rng.random() < _TALK_SHARE else speech
        start = int(rng.integers(0, len(source.mel) - length))
        mel = source.mel[start : start + length].astype(np.float32)
        if rng.random() < _NARROW_SHARE:
            # Without its colour, what never changes is 0.
            mel[:, : int(rng.integers(2, _NARROW_TO[0]))] = 0.0
            mel[:, int(rng.integers(_NARROW_TO[1], BANDS)) :] = 0.0
        mels.append(mel + np.float32(rng.normal(0.0, 0.15)))
        told.append(source.talking[start + CONTEXT_ROWS : start + CONTEXT_ROWS + _ROWS, 0].astype(np.float32))
    mel = np.stack(mels)
    mel += rng.normal(0.0, 0.05, mel.shape).astype(np.float32)
    return torch.from_numpy(mel), torch.from_numpy(np.stack(told))
