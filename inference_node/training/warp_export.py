"""Writes ``model_repository/warp/1/model.onnx``: the pixels of the warp engine.

``python -m inference_node.training.warp_export``. The network has no weights: it is the per-pixel half of
``inference_node/engine/warp.py``, kept as a network so that it runs where networks run. Lips and skin are sampled
through two fields, one above the lip line and one below; between the lips' edges shows the inside of the mouth, a
picture of which comes along in the mouth's own axes.
"""

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from inference_node.engine.field import GRID_STEP, REACH
from inference_node.engine.inside import BOTTOM, SIDE, TOP
from inference_node.engine.warp import INPUTS, OUTPUT, PATCH
from inference_node.training.network_file import write_network

TARGET = Path(__file__).resolve().parent.parent / "model_repository" / "warp" / "1" / "model.onnx"
_OPSET = 20


def _cubic(count: int, nodes: int) -> Tensor:
    """Catmull-Rom from nodes ``GRID_STEP`` apart to every pixel, as a matrix [count, nodes]."""
    places = torch.arange(count, dtype=torch.float64) / GRID_STEP
    first = places.floor().long().clamp(max=nodes - 2)
    part = places - first
    weights = (
        ((2.0 - part) * part - 1.0) * part / 2.0,
        ((3.0 * part - 5.0) * part * part + 2.0) / 2.0,
        ((4.0 - 3.0 * part) * part + 1.0) * part / 2.0,
        (part - 1.0) * part * part / 2.0,
    )
    matrix = torch.zeros(count, nodes, dtype=torch.float64)
    for shift, weight in enumerate(weights):
        matrix.scatter_add_(1, (first + shift - 1).clamp(0, nodes - 1)[:, None], weight[:, None])
    return matrix.float()


def _smooth(value: Tensor) -> Tensor:
    part = value.clamp(0.0, 1.0)
    return part * part * (3.0 - 2.0 * part)


class _Mouth(NamedTuple):
    """Every pixel in the mouth's terms, [N, 1, height, width] each; lengths in heights of the face."""

    along: Tensor
    """Right of the middle, in reaches."""
    depth: Tensor
    """Below the closed lip line."""
    upper: Tensor
    """Depth of the upper lip's edge here."""
    lower: Tensor
    """Depth of the lower lip's edge here."""
    aside: Tensor
    """How far inside the nearer corner of the mouth; negative outside."""
    numbers: Tensor
    """The input ``TONE`` [N, 9, 1, 1]."""


class WarpNetwork(nn.Module):
    """Patch, picture of the inside, fields and curves in; painted patch out, bytes both."""

    def __init__(self) -> None:
        super().__init__()
        height, width = PATCH.height, PATCH.width
        self.register_buffer("down", _cubic(height, height // GRID_STEP + 1))
        self.register_buffer("across", _cubic(width, width // GRID_STEP + 1).T.contiguous())
        rows = torch.arange(height, dtype=torch.float32)[:, None].expand(height, width)
        columns = torch.arange(width, dtype=torch.float32)[None].expand(height, width)
        places = torch.stack([columns.reshape(-1), rows.reshape(-1), torch.ones(height * width)])
        self.register_buffer("places", places)

    def forward(self, *tensors: Tensor) -> Tensor:
        """Paint N patches; the tensors are those of ``INPUTS``, in that order."""
        patch, inside, flows, axes, curves, tone = tensors
        above, below = self._warped(patch.permute(0, 3, 1, 2).float(), flows)
        mouth = self._mouth(axes, curves, tone)
        upper, lower, depth, numbers = mouth.upper, mouth.lower, mouth.depth, mouth.numbers
        outside = (-mouth.aside).clamp(min=0.0)
        softness = numbers[:, 8:9] + 0.5 * outside
        lip_above = ((upper - depth) / softness + 0.5).clamp(0.0, 1.0)
        lip_below = ((depth - lower) / softness + 0.5).clamp(0.0, 1.0)
        hole = (1.0 - lip_above - lip_below).clamp(min=0.0)
        edge = torch.minimum((depth - upper).abs(), (depth - lower).abs()) / 0.008
        crease = 1.0 - numbers[:, 5:6] * (1.0 - outside / 0.02).clamp(min=0.0) * torch.exp(-edge * edge)
        skin = (above * lip_above + below * lip_below) * crease
        # Between lips that hardly part there is lip to be seen, in the shade.
        seam = _smooth((lower - upper) / 0.016)
        paint = _inside(inside.permute(0, 3, 1, 2).float(), mouth) * seam + (above + below) * 0.3 * (1.0 - seam)
        mixed = (skin + paint * hole) / (lip_above + lip_below + hole)
        return (mixed + 0.5).clamp(0.0, 255.0).permute(0, 2, 3, 1).to(torch.uint8)

    def _warped(self, picture: Tensor, flows: Tensor) -> tuple[Tensor, Tensor]:
        dense = torch.matmul(torch.matmul(self.get_buffer("down"), flows), self.get_buffer("across"))
        home = self.get_buffer("places")[:2].reshape(1, 2, PATCH.height, PATCH.width)
        scale = torch.tensor([2.0 / (PATCH.width - 1), 2.0 / (PATCH.height - 1)]).reshape(1, 2, 1, 1)
        above = _sample(picture, (dense[:, :2] + home) * scale - 1.0)
        return above, _sample(picture, (dense[:, 2:] + home) * scale - 1.0)

    def _mouth(self, axes: Tensor, curves: Tensor, tone: Tensor) -> _Mouth:
        places = torch.matmul(axes.reshape(-1, 2, 3), self.get_buffer("places"))
        places = places.reshape(-1, 2, PATCH.height, PATCH.width)
        along, depth = places[:, :1], places[:, 1:]
        lines = _sample(curves[:, :, None], torch.cat([along, torch.zeros_like(along)], dim=1))
        numbers = tone[:, :, None, None]
        aside = torch.minimum(along - numbers[:, 6:7], numbers[:, 7:8] - along) * REACH
        return _Mouth(along, depth, lines[:, :1], lines[:, 1:], aside, numbers)


def _sample(picture: Tensor, places: Tensor) -> Tensor:
    grid = places.permute(0, 2, 3, 1)
    return functional.grid_sample(picture, grid, mode="bilinear", padding_mode="border", align_corners=True)


def _inside(picture: Tensor, mouth: _Mouth) -> Tensor:
    """The inside of the mouth at every pixel: upper teeth stay with the skull, what is below sinks with the jaw."""
    gap = (mouth.lower - mouth.upper).clamp(min=1e-4)
    part = (mouth.depth - mouth.upper) / gap
    place = mouth.depth + mouth.numbers[:, 3:4] * _smooth((part - 0.4) / 0.6)
    along = mouth.along * mouth.numbers[:, 4:5] / SIDE
    seen = _sample(picture, torch.cat([along, (place - TOP) * (2.0 / (BOTTOM - TOP)) - 1.0], dim=1))
    seen = seen * mouth.numbers[:, :3]
    # Little light falls into a narrow gap, under the upper lip and beside the teeth, and what does has been red skin
    # before: shades are red.
    narrow = (1.0 - _smooth(gap / 0.055)) * 0.45
    lip = 0.3 * torch.exp((mouth.upper - mouth.depth).clamp(max=0.0) / 0.02)
    corner = 0.55 * (1.0 - _smooth(mouth.aside / 0.045))
    left = (1.0 - narrow) * (1.0 - lip) * (1.0 - corner)
    return torch.cat([seen[:, :1] * left, seen[:, 1:] * left**1.3], dim=1)


def export(target: Path) -> None:
    """Write the network for onnxruntime."""
    network = WarpNetwork().eval()
    example = tuple(torch.zeros(2, *shape, dtype=getattr(torch, kind)) for shape, kind in INPUTS.values())
    batch = torch.export.Dim("batch", min=1, max=64)
    program = torch.onnx.export(
        network,
        example,
        dynamo=True,
        opset_version=_OPSET,
        input_names=list(INPUTS),
        output_names=[OUTPUT],
        dynamic_shapes=(tuple({0: batch} for _ in INPUTS),),
        verbose=False,
    )
    if program is None:
        raise RuntimeError("the exporter returned nothing")
    write_network(program.model_proto, target)


def main() -> None:
    """Write the file."""
    export(TARGET)


if __name__ == "__main__":
    main()
