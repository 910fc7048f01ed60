"""Writes ``model_repository/warp/1/model.onnx``: the pixels of the warp engine.

``python -m inference_node.training.warp_export``. The network has no weights: it is the per-pixel half of
``inference_node/engine/warp.py``, kept as a network so that it runs where networks run. Lips and skin are sampled
through two fields, one above the lip line and one below; between the lips' edges shows the inside of the mouth, a
picture of which comes along in the mouth's own axes.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from inference_node.engine.field import GRID_STEP, REACH
from inference_node.engine.inside import BOTTOM, HEIGHT_PX, SIDE, TOP, WIDTH_PX
from inference_node.engine.warp import INPUTS, OUTPUT, PATCH
from inference_node.training.network_file import write_network
from inference_node.training.sampling import follow, look_up

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


def smooth(value: Tensor) -> Tensor:
    """0 below 0, 1 above 1, smooth between."""
    part = value.clamp(0.0, 1.0)
    return part * part * (3.0 - 2.0 * part)


class Mouth(NamedTuple):
    """Pixels in the mouth's terms, [N, h, w] each; lengths in heights of the face."""

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

    @property
    def softness(self) -> Tensor:
        """How wide the lips' edges are."""
        return self.numbers[:, 8] + 0.5 * (-self.aside).clamp(min=0.0)

    @property
    def lip_above(self) -> Tensor:
        """How much of a pixel is upper lip, or what is above it."""
        return ((self.upper - self.depth) / self.softness + 0.5).clamp(0.0, 1.0)

    @property
    def lip_below(self) -> Tensor:
        """How much of it is lower lip, or what is below it."""
        return ((self.depth - self.lower) / self.softness + 0.5).clamp(0.0, 1.0)


def mouth_at(tensors: Mapping[str, Tensor], x: Tensor, y: Tensor) -> Mouth:
    """Pixels of the patch at x and y [1 or N, h, w]."""
    axes, numbers = tensors["AXES"][:, :, None, None], tensors["TONE"][:, :, None, None]
    along = axes[:, 0] * x + axes[:, 1] * y + axes[:, 2]
    depth = axes[:, 3] * x + axes[:, 4] * y + axes[:, 5]
    lines = follow(tensors["CURVES"], along)
    aside = torch.minimum(along - numbers[:, 6], numbers[:, 7] - along) * REACH
    return Mouth(along, depth, lines[0], lines[1], aside, numbers)


def paint(tensors: Mapping[str, Tensor], mouth: Mouth, flows: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Lips, skin and what shows between the lips, 0 to 255 [3, N, h, w]; ``flows`` is [N, 4, h, w]."""
    above = look_up(tensors["PATCH"], flows[:, 0] + x, flows[:, 1] + y)
    below = look_up(tensors["PATCH"], flows[:, 2] + x, flows[:, 3] + y)
    lip_above, lip_below = mouth.lip_above, mouth.lip_below
    hole = (1.0 - lip_above - lip_below).clamp(min=0.0)
    edge = torch.minimum((mouth.depth - mouth.upper).abs(), (mouth.depth - mouth.lower).abs()) / 0.008
    beside = (1.0 + mouth.aside.clamp(max=0.0) / 0.02).clamp(min=0.0)
    crease = 1.0 - mouth.numbers[:, 5] * beside * torch.exp(-edge * edge)
    # Between lips that hardly part there is lip to be seen, in the shade.
    seam = smooth((mouth.lower - mouth.upper) / 0.016)
    whole = lip_above + lip_below + hole
    shaded = 0.3 * (1.0 - seam) * hole
    inside = _inside(tensors["INSIDE"], mouth) * (seam * hole / whole)
    return above * ((lip_above * crease + shaded) / whole) + below * ((lip_below * crease + shaded) / whole) + inside


def _inside(picture: Tensor, mouth: Mouth) -> Tensor:
    """The inside of the mouth at every pixel: upper teeth stay with the skull, what is below sinks with the jaw."""
    gap = (mouth.lower - mouth.upper).clamp(min=1e-4)
    part = (mouth.depth - mouth.upper) / gap
    place = mouth.depth + mouth.numbers[:, 3] * smooth((part - 0.4) / 0.6)
    along = mouth.along * mouth.numbers[:, 4] / SIDE
    columns = (along + 1.0) * ((WIDTH_PX - 1) / 2.0)
    seen = look_up(picture, columns, (place - TOP) * ((HEIGHT_PX - 1) / (BOTTOM - TOP)))
    # Little light falls into a narrow gap, under the upper lip and beside the teeth, and what does has been red skin
    # before: shades are red.
    narrow = (1.0 - smooth(gap / 0.055)) * 0.45
    lip = 0.3 * torch.exp((mouth.upper - mouth.depth).clamp(max=0.0) / 0.02)
    corner = 0.55 * (1.0 - smooth(mouth.aside / 0.045))
    left = (1.0 - narrow) * (1.0 - lip) * (1.0 - corner)
    dimmed = left**1.3
    return seen * mouth.numbers[:, :3].transpose(0, 1) * torch.stack([left, dimmed, dimmed])


class Spread(nn.Module):
    """From the nodes of a field to every pixel of the patch, or of a part of it."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("down", _cubic(PATCH.height, PATCH.height // GRID_STEP + 1))
        self.register_buffer("across", _cubic(PATCH.width, PATCH.width // GRID_STEP + 1))

    def forward(self, flows: Tensor) -> Tensor:
        """[N, C, rows, columns] of nodes to [N, C, height, width] of pixels."""
        return torch.matmul(torch.matmul(self.get_buffer("down"), flows), self.get_buffer("across").T)

    def part(self, flows: Tensor, corner: Tensor, width: int, height: int) -> Tensor:
        """The same for a part of the patch with these corners [N, 2]."""
        rows = corner[:, 1].long()[:, None] + torch.arange(height)
        columns = corner[:, 0].long()[:, None] + torch.arange(width)
        down = torch.index_select(self.get_buffer("down"), 0, rows.reshape(-1)).reshape(-1, 1, height, flows.shape[2])
        across = torch.index_select(self.get_buffer("across"), 0, columns.reshape(-1))
        across = across.reshape(-1, 1, width, flows.shape[3]).transpose(2, 3)
        return torch.matmul(torch.matmul(down, flows), across)


def pixels(width: int, height: int) -> tuple[Tensor, Tensor]:
    """Places of all pixels: x and y [1, height, width]."""
    down, right = torch.meshgrid(torch.arange(float(height)), torch.arange(float(width)), indexing="ij")
    return right[None].clone(), down[None].clone()


class WarpNetwork(nn.Module):
    """Patch, picture of the inside, fields and curves in; painted patch out, bytes both."""

    def __init__(self) -> None:
        super().__init__()
        self.spread = Spread()
        x, y = pixels(PATCH.width, PATCH.height)
        self.register_buffer("x", x)
        self.register_buffer("y", y)

    def forward(self, *given: Tensor) -> Tensor:
        """Paint N patches; the tensors are those of ``INPUTS``, in that order."""
        tensors = dict(zip(INPUTS, given, strict=True))
        x, y = self.get_buffer("x"), self.get_buffer("y")
        mixed = paint(tensors, mouth_at(tensors, x, y), self.spread(tensors["FLOWS"]), x, y)
        return (mixed + 0.5).clamp(0.0, 255.0).to(torch.uint8).permute(1, 2, 3, 0)


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
