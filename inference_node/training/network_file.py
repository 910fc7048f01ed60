"""The file that a trained or exported network is kept in."""

from pathlib import Path

import onnx


def write_network(model: onnx.ModelProto, path: Path) -> None:
    """Check a network and write it, without the exporter's notes, which hold paths of the machine that it ran on."""
    graph = model.graph
    notes = [model.metadata_props, graph.metadata_props]
    notes += [node.metadata_props for node in graph.node] + [value.metadata_props for value in graph.value_info]
    for note in notes:
        del note[:]
    onnx.checker.check_model(model, full_check=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model.SerializeToString(deterministic=True))
