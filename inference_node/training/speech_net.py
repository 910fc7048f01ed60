"""The listening network: dilated convolutions over log-mel rows, and what real lips add to how far it opens."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from inference_node.speech.features import BANDS
from inference_node.speech.listener import CONTEXT_ROWS

APERTURE_SCALE = 0.1
"""The network speaks of apertures in this unit, so that its outputs are all of one size."""
SHAPES = 4

_CHANNELS = 112
_DILATIONS = (1, 2, 3, 4, 6, 8)
REACH_ROWS = 1 + sum(_DILATIONS)
"""Rows that the convolutions look back and ahead."""
_TALK_CHANNELS = 32
_TALK_DILATIONS = (1, 3, 6, 12)
_LAGS = (-12, -8, -4, 0, 4, 8, 12)
_GROUP = 2
_SMOOTHING = np.hanning(9)[1:-1] / np.hanning(9).sum()
_SOUND_ROWS = max(_LAGS) + len(_SMOOTHING) // 2
SOUNDS = len(_LAGS) * (BANDS // _GROUP)
_HELD_ROWS, _READY_ROWS, _FADE_ROWS = 6, 14, 5
"""A mouth stays open for so long after the last sound, opens so long before the next, and takes so long to change."""
_SPEAKING_FROM, _SPEAKING_AT = 0.012, 0.026
"""Below the first aperture nobody speaks for certain, above the second somebody does."""


_MAXIMUM_STEPS = (1, 2, 4, 8, 5)
_MARGIN_ROWS = CONTEXT_ROWS - REACH_ROWS
if 2 * sum(_TALK_DILATIONS) != CONTEXT_ROWS:
    raise ValueError("the listener gives another context than hearing somebody speak takes")
if _MARGIN_ROWS != _READY_ROWS + _FADE_ROWS or sum(_MAXIMUM_STEPS) != _HELD_ROWS + _READY_ROWS:
    raise ValueError("the listener gives another context than the network takes")


class _Block(nn.Module):
    """A gated residual step; it consumes ``dilation`` rows on either side."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.dilation = dilation
        self.normal = nn.BatchNorm1d(channels)
        self.wide = nn.Conv1d(channels, channels, 3, dilation=dilation)
        self.mix = nn.Conv1d(channels, channels, 1)

    def forward(self, rows: Tensor) -> Tensor:
        step: Tensor = self.mix(torch.relu(self.wide(self.normal(rows))))
        return rows[:, :, self.dilation : -self.dilation] + step


class ListeningNet(nn.Module):
    """Log-mel rows [1, T, BANDS] to mouth shapes [1, T - 2 * REACH_ROWS, 4], columns as in ``Shape``."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Conv1d(BANDS, _CHANNELS, 3)
        self.blocks = nn.Sequential(*[_Block(_CHANNELS, dilation) for dilation in _DILATIONS])
        self.leave = nn.Sequential(nn.BatchNorm1d(_CHANNELS), nn.ReLU(), nn.Conv1d(_CHANNELS, SHAPES, 1))

    def raw(self, mel: Tensor) -> Tensor:
        """What training compares: aperture in ``APERTURE_SCALE``, width, rounding, logit of press; [N, 4, rows]."""
        out: Tensor = self.leave(self.blocks(self.enter(mel.transpose(1, 2))))
        return out

    def forward(self, mel: Tensor) -> Tensor:
        """Mouth shapes; see the class."""
        aperture, width, rounding, press = self.raw(mel).unbind(dim=1)
        shapes = (torch.relu(aperture) * APERTURE_SCALE, width, rounding.clamp(0.0, 1.0), torch.sigmoid(press))
        return torch.stack(shapes, dim=2)


class TalkNet(nn.Module):
    """Log-mel rows [N, T, BANDS] to the log odds that somebody speaks, [N, T - 2 * CONTEXT_ROWS]."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        entering = BANDS
        for dilation in _TALK_DILATIONS:
            layers += [nn.Conv1d(entering, _TALK_CHANNELS, 5, dilation=dilation), nn.ReLU()]
            entering = _TALK_CHANNELS
        self.layers = nn.Sequential(*layers, nn.Conv1d(_TALK_CHANNELS, 1, 1))

    def forward(self, mel: Tensor) -> Tensor:
        """Log odds; see the class."""
        odds: Tensor = self.layers(mel.transpose(1, 2))
        return odds[:, 0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """A linear reading of the aperture, from sounds (:func:`sounds_of`) and from the shapes that are heard.

    ``sounds`` is [SOUNDS], ``shapes`` [4], ``level`` the aperture where all of them are 0.
    """

    sounds: npt.NDArray[np.float64]
    shapes: npt.NDArray[np.float64]
    level: float

    @classmethod
    def as_heard(cls) -> "Opening":
        """The aperture as the phonetic table has it."""
        return cls(sounds=np.zeros(SOUNDS), shapes=np.eye(SHAPES)[0], level=0.0)


class SpeakingNet(nn.Module):
    """What is exported: rows with CONTEXT_ROWS on either side to shapes, the aperture read by an :class:`Opening`.

    Where the listening network hears nobody speak, the mouth is closed whatever the reading.
    """

    def __init__(self, heard: ListeningNet, talk: TalkNet, opening: Opening) -> None:
        super().__init__()
        self.heard = heard
        self.talk = talk
        kernel = np.einsum("s,sbk->bk", opening.sounds, sound_basis())
        self.kernel = nn.Parameter(torch.from_numpy(kernel[None].astype(np.float32)), requires_grad=False)
        self.weights = nn.Parameter(torch.from_numpy(opening.shapes.astype(np.float32)), requires_grad=False)
        self.level = opening.level

    def forward(self, mel: Tensor) -> tuple[Tensor, Tensor]:
        """Mouth shapes [1, T - 2 * CONTEXT_ROWS, 4] and log odds that somebody speaks [1, T - 2 * CONTEXT_ROWS]."""
        heard = self.heard(mel)
        speaking = ((heard[:, :, 0] - _SPEAKING_FROM) / (_SPEAKING_AT - _SPEAKING_FROM)).clamp(0.0, 1.0)
        unused = _MARGIN_ROWS - _FADE_ROWS - _HELD_ROWS
        speaking = speaking[:, unused:]
        for step in _MAXIMUM_STEPS:  # a pooling layer would fix the number of rows in the export
            speaking = torch.maximum(speaking[:, :-step], speaking[:, step:])
        speaking = nn.functional.avg_pool1d(speaking[:, None], 2 * _FADE_ROWS + 1, stride=1)[:, 0]
        spare = CONTEXT_ROWS - _SOUND_ROWS
        sounds = nn.functional.conv1d(mel.transpose(1, 2)[:, :, spare:-spare], self.kernel)[:, 0]
        kept = heard[:, _MARGIN_ROWS:-_MARGIN_ROWS]
        aperture = torch.relu(sounds + (kept * self.weights).sum(dim=2) + self.level) * speaking
        return torch.cat([aperture[:, :, None], kept[:, :, 1:]], dim=2), self.talk(mel)


def sound_basis() -> npt.NDArray[np.float64]:
    """The kernels that make sounds of log-mel rows: pairs of bands, smoothed, at seven times; [SOUNDS, BANDS, rows]."""
    basis = np.zeros((len(_LAGS), BANDS // _GROUP, BANDS, 2 * _SOUND_ROWS + 1))
    for place, lag in enumerate(_LAGS):
        first = _SOUND_ROWS + lag - len(_SMOOTHING) // 2
        for group in range(BANDS // _GROUP):
            bands = slice(group * _GROUP, (group + 1) * _GROUP)
            basis[place, group, bands, first : first + len(_SMOOTHING)] = _SMOOTHING / _GROUP
    return basis.reshape(SOUNDS, BANDS, -1)


def sounds_of(mel: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Sounds of log-mel rows [T, BANDS] with their context, [T - 2 * CONTEXT_ROWS, SOUNDS]."""
    spare = CONTEXT_ROWS - _SOUND_ROWS
    rows = torch.from_numpy(mel[spare:-spare].T[None].astype(np.float32))
    basis = torch.from_numpy(sound_basis().astype(np.float32))
    return np.asarray(nn.functional.conv1d(rows, basis)[0].T.numpy(), dtype=np.float64)
