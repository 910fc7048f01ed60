"""Writes ``model_repository/warp/1/model.onnx``: the pixels of the warp engine.

``python -m inference_node.training.warp_export``. The network has no weights: it is the per-pixel half of
``inference_node/engine/warp.py``, kept as a network so that it runs where networks run. Lips and skin are sampled
through two fields, one above the lip line and one below; between the lips' edges shows the inside of the mouth, a
picture of which comes along in the mouth's own axes.
"""

from pathlib import Path

import onnx
import torch
from torch import Tensor, nn
from torch.nn import functional

from inference_node.engine.field import GRID_STEP, REACH
from inference_node.engine.inside import BOTTOM, SIDE, TOP
from inference_node.engine.warp import INPUTS, OUTPUT, PATCH

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

    def forward(
        self, patch: Tensor, inside: Tensor, flows: Tensor, axes: Tensor, curves: Tensor, tone: Tensor
    ) -> Tensor:
        """Paint N patches; the shapes are those of ``config.pbtxt``."""
        height, width = PATCH.height, PATCH.width
        places: Tensor = self.get_buffer("places")
        picture = patch.permute(0, 3, 1, 2).float()
        dense = torch.matmul(torch.matmul(self.get_buffer("down"), flows), self.get_buffer("across"))
        home = places[:2].reshape(1, 2, height, width)
        scale = torch.tensor([2.0 / (width - 1), 2.0 / (height - 1)]).reshape(1, 2, 1, 1)
        above = self._sample(picture, (dense[:, :2] + home) * scale - 1.0)
        below = self._sample(picture, (dense[:, 2:] + home) * scale - 1.0)

        mouth = torch.matmul(axes.reshape(-1, 2, 3), places).reshape(-1, 2, height, width)
        along, depth = mouth[:, :1], mouth[:, 1:]
        lines = self._sample(curves[:, :, None], torch.cat([along, torch.zeros_like(along)], dim=1))
        upper, lower = lines[:, :1], lines[:, 1:]
        numbers = tone[:, :, None, None]
        outside = torch.maximum(numbers[:, 6:7] - along, along - numbers[:, 7:8]).clamp(min=0.0) * REACH
        softness = numbers[:, 8:9] + 0.5 * outside
        lip_above = ((upper - depth) / softness + 0.5).clamp(0.0, 1.0)
        lip_below = ((depth - lower) / softness + 0.5).clamp(0.0, 1.0)
        hole = (1.0 - lip_above - lip_below).clamp(min=0.0)
        edge = torch.minimum((depth - upper).abs(), (depth - lower).abs()) / 0.008
        crease = 1.0 - numbers[:, 5:6] * (1.0 - outside / 0.02).clamp(min=0.0) * torch.exp(-edge * edge)
        skin = above * lip_above + below * lip_below
        flesh = (above + below) * 0.3
        paint = self._inside(inside, along, depth, upper, lower, numbers)
        seam = _smooth((lower - upper) / 0.016)
        paint = paint * seam + flesh * (1.0 - seam)
        mixed = (skin * crease + paint * hole) / (lip_above + lip_below + hole)
        return (mixed + 0.5).clamp(0.0, 255.0).permute(0, 2, 3, 1).to(torch.uint8)

    @staticmethod
    def _sample(picture: Tensor, places: Tensor) -> Tensor:
        grid = places.permute(0, 2, 3, 1)
        return functional.grid_sample(picture, grid, mode="bilinear", padding_mode="border", align_corners=True)

    def _inside(
        self, inside: Tensor, along: Tensor, depth: Tensor, upper: Tensor, lower: Tensor, numbers: Tensor
    ) -> Tensor:
        gap = (lower - upper).clamp(min=1e-4)
        part = (depth - upper) / gap
        place = depth + numbers[:, 3:4] * _smooth((part - 0.4) / 0.6)
        grid = torch.cat([along * numbers[:, 4:5] / SIDE, (place - TOP) * (2.0 / (BOTTOM - TOP)) - 1.0], dim=1)
        picture = self._sample(inside.permute(0, 3, 1, 2).float(), grid) * numbers[:, :3]
        # Little light falls into a narrow gap, under the upper lip and beside the teeth, and what does has been red skin
        # before: shades are red.
        shade = (1.0 - _smooth(gap / 0.055)) * 0.45
        lip = 0.3 * torch.exp((upper - depth).clamp(max=0.0) / 0.02)
        aside = torch.minimum(along - numbers[:, 6:7], numbers[:, 7:8] - along) * REACH
        corner = 0.55 * (1.0 - _smooth(aside / 0.045))
        left = (1.0 - shade) * (1.0 - lip) * (1.0 - corner)
        return torch.cat([picture[:, :1] * left, picture[:, 1:] * left**1.3], dim=1)


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
        dynamic_shapes=tuple({0: batch} for _ in INPUTS),
        verbose=False,
    )
    if program is None:
        raise RuntimeError("the exporter returned nothing")
    model = program.model_proto
    onnx.checker.check_model(model, full_check=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(model.SerializeToString(deterministic=True))


def main() -> None:
    """Write the file."""
    export(TARGET)


if __name__ == "__main__":
    main()
