"""Writes the networks ``viseme`` and ``viseme_learn`` into a model repository."""

from pathlib import Path

import torch
from torch import nn

from inference_node.engine import painter as tensors_of
from inference_node.engine.registry import MODEL_REPOSITORY
from inference_node.training.network_file import write_network
from inference_node.training.paint_net import LearningNetwork, Painter, PaintingNetwork

_OPSET = 20


def export(painter: Painter, repository: Path = MODEL_REPOSITORY) -> None:
    """Write both for onnxruntime; they share the painter's weights."""
    _write(PaintingNetwork(painter), tensors_of.INPUTS, [tensors_of.OUTPUT], repository / "viseme")
    learning = LearningNetwork(painter)
    _write(learning, tensors_of.LEARN_INPUTS, list(tensors_of.LEARN_OUTPUTS), repository / "viseme_learn")


def _write(network: nn.Module, inputs: tensors_of.Inputs, outputs: list[str], folder: Path) -> None:
    example = tuple(torch.zeros(2, *shape, dtype=getattr(torch, kind)) for shape, kind in inputs.values())
    batch = torch.export.Dim("batch", min=1, max=tensors_of.MOST_FRAMES)
    program = torch.onnx.export(
        network.eval(),
        example,
        dynamo=True,
        opset_version=_OPSET,
        input_names=list(inputs),
        output_names=outputs,
        dynamic_shapes=(tuple({0: batch} for _ in inputs),),
        verbose=False,
    )
    if program is None:
        raise RuntimeError("the exporter returned nothing")
    write_network(program.model_proto, folder / "1" / "model.onnx")
