"""Wav2Lip's generator in torch, written from the published structure, with random weights and any width: for tests."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor, nn

# Width of each block at width 1, and how many layers it has.
ENCODER = ((16, 1), (32, 3), (64, 4), (128, 3), (256, 3), (512, 2), (512, 2))
DECODER = ((512, 1), (512, 2), (512, 3), (384, 3), (256, 3), (128, 3), (64, 3))


class Conv(nn.Module):
    """Convolution, normalisation, ReLU; a residual one adds what it was given."""

    def __init__(
        self, cin: int, cout: int, kernel: int, stride: int | tuple[int, int], padding: int, *, residual: bool = False
    ) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(nn.Conv2d(cin, cout, kernel, stride, padding), nn.BatchNorm2d(cout))
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv_block(x)
        return torch.relu(y + x if self.residual else y)


class Up(nn.Module):
    """The same the other way."""

    def __init__(self, cin: int, cout: int, kernel: int, stride: int, padding: int, spare: int) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(
            nn.ConvTranspose2d(cin, cout, kernel, stride, padding, spare), nn.BatchNorm2d(cout)
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.conv_block(x))


def _same(width: int, count: int) -> list[nn.Module]:
    return [Conv(width, width, 3, 1, 1, residual=True) for _ in range(count)]


class Wav2Lip(nn.Module):
    """The generator for faces of 96 pixels, or 192 with one more block each way.

    Args:
        divisor: Widths are the published ones over this.
        blocks: Blocks of the encoder; 7 as published.
        smallest: Pixels a side before the last block; 3 as published.
    """

    def __init__(self, divisor: int = 1, *, blocks: int = 7, smallest: int = 3) -> None:
        super().__init__()
        more = ((512, 2),) * (blocks - 7)
        encoder = [(width // divisor, count) for width, count in (*ENCODER[:-1], *more, ENCODER[-1])]
        decoder = [
            (width // divisor, count) for width, count in (*DECODER[:2], *((512, 2),) * (blocks - 7), *DECODER[2:])
        ]
        parts = [nn.Sequential(Conv(6, encoder[0][0], 7, 1, 3))]
        last = encoder[0][0]
        for width, count in encoder[1:-1]:
            parts.append(nn.Sequential(Conv(last, width, 3, 2, 1), *_same(width, count - 1)))
            last = width
        parts.append(nn.Sequential(Conv(last, last, smallest, 1, 0), Conv(last, last, 1, 1, 0)))
        self.face_encoder_blocks = nn.ModuleList(parts)
        a, b, c, d, e = (width // divisor for width in (32, 64, 128, 256, 512))
        self.audio_encoder = nn.Sequential(
            Conv(1, a, 3, 1, 1), *_same(a, 2),
            Conv(a, b, 3, (3, 1), 1), *_same(b, 2),
            Conv(b, c, 3, 3, 1), *_same(c, 2),
            Conv(c, d, 3, (3, 2), 1), *_same(d, 1),
            Conv(d, e, 3, 1, 0), Conv(e, e, 1, 1, 0),
        )  # fmt: skip
        beside = [width for width, _ in reversed(encoder)]
        ups = [nn.Sequential(Conv(e, decoder[0][0], 1, 1, 0))]
        last = decoder[0][0] + beside[0]
        for index, (width, count) in enumerate(decoder[1:], 1):
            up = Up(last, width, smallest, 1, 0, 0) if index == 1 else Up(last, width, 3, 2, 1, 1)
            ups.append(nn.Sequential(up, *_same(width, count - 1)))
            last = width + beside[index]
        self.face_decoder_blocks = nn.ModuleList(ups)
        self.output_block = nn.Sequential(
            Conv(last, 32 // divisor, 3, 1, 1), nn.Conv2d(32 // divisor, 3, 1, 1, 0), nn.Sigmoid()
        )

    def forward(self, mel: Tensor, face: Tensor) -> Tensor:
        """Mel [B, 1, 80, 16] and face [B, 6, S, S] to a painted face [B, 3, S, S]."""
        seen = []
        for block in self.face_encoder_blocks:
            face = block(face)
            seen.append(face)
        state = self.audio_encoder(mel)
        for block in self.face_decoder_blocks:
            state = torch.cat([block(state), seen.pop()], dim=1)
        painted: Tensor = self.output_block(state)
        return painted


def random_network(seed: int = 5, divisor: int = 8, *, blocks: int = 7, smallest: int = 3) -> Wav2Lip:
    """A network of random weights whose normalisation has seen something, so that its answers differ."""
    torch.manual_seed(seed)
    network = Wav2Lip(divisor, blocks=blocks, smallest=smallest)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.7, 1.3)
            nn.init.normal_(module.bias, 0.0, 0.2)
            nn.init.normal_(module.running_mean, 0.0, 0.1)
            nn.init.uniform_(module.running_var, 0.2, 0.6)
    return network.eval()


def save(network: Wav2Lip, path: Path, *, prefix: str = "", wrapped: bool = False, legacy: bool = False) -> Path:
    """Write a checkpoint in one of the ways in which they are published."""
    state: Mapping[str, object] = {prefix + name: value for name, value in network.state_dict().items()}
    if wrapped:
        state = {"state_dict": state, "optimizer": None, "global_step": 3, "global_epoch": 1}
    torch.save(state, path, _use_new_zipfile_serialization=not legacy)
    return path


def copying_network(path: Path) -> Path:
    """Write an ONNX network with Wav2Lip's tensors that gives the face back as it came."""
    kinds, helper = onnx.TensorProto, onnx.helper
    kernel = np.zeros((3, 6, 1, 1), np.float32)
    kernel[[0, 1, 2], [3, 4, 5]] = 1.0
    nodes = [
        helper.make_node("Conv", ["face_sequences", "kernel"], ["copied"]),
        helper.make_node("ReduceMean", ["audio_sequences"], ["sound"], axes=[1, 2, 3], keepdims=1),
        helper.make_node("Mul", ["sound", "nothing"], ["silence"]),
        helper.make_node("Add", ["copied", "silence"], ["painted"]),
    ]
    inputs = [
        helper.make_tensor_value_info("face_sequences", kinds.FLOAT, ["n", 6, 96, 96]),
        helper.make_tensor_value_info("audio_sequences", kinds.FLOAT, ["n", 1, 80, 16]),
    ]
    outputs = [helper.make_tensor_value_info("painted", kinds.FLOAT, ["n", 3, 96, 96])]
    constants = [
        onnx.numpy_helper.from_array(kernel, "kernel"),
        onnx.numpy_helper.from_array(np.zeros(1, np.float32), "nothing"),
    ]
    graph = helper.make_graph(nodes, "copying", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path
