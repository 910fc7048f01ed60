"""The listening network: a stack of dilated convolutions over log-mel rows."""

import torch
from torch import Tensor, nn

from inference_node.speech.features import BANDS
from inference_node.speech.listener import CONTEXT_ROWS

APERTURE_SCALE = 0.1
"""The network speaks of apertures in this unit, so that its outputs are all of one size."""

_CHANNELS = 112
_DILATIONS = (1, 2, 3, 4, 6, 8)


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
    """Log-mel rows [1, T, BANDS] to mouth shapes [1, T - 2 * CONTEXT_ROWS, 4], columns as in ``Shape``."""

    def __init__(self, aperture_gain: float = 1.0) -> None:
        super().__init__()
        self.aperture_gain = aperture_gain
        self.enter = nn.Conv1d(BANDS, _CHANNELS, 3)
        self.blocks = nn.Sequential(*[_Block(_CHANNELS, dilation) for dilation in _DILATIONS])
        self.leave = nn.Sequential(nn.BatchNorm1d(_CHANNELS), nn.ReLU(), nn.Conv1d(_CHANNELS, 4, 1))
        if 1 + sum(_DILATIONS) != CONTEXT_ROWS:
            raise ValueError("the listener gives another context than the network takes")

    def raw(self, mel: Tensor) -> Tensor:
        """What training compares: aperture in ``APERTURE_SCALE``, width, rounding, logit of press; [N, 4, rows]."""
        out: Tensor = self.leave(self.blocks(self.enter(mel.transpose(1, 2))))
        return out

    def forward(self, mel: Tensor) -> Tensor:
        """Mouth shapes; see the class."""
        aperture, width, rounding, press = self.raw(mel).unbind(dim=1)
        shapes = (
            torch.relu(aperture) * (APERTURE_SCALE * self.aperture_gain),
            width,
            rounding.clamp(0.0, 1.0),
            torch.sigmoid(press),
        )
        return torch.stack(shapes, dim=2)
