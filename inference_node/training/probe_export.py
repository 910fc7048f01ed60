"""Writes ``model_repository/probe/1/model.onnx``: arithmetic on bytes whose answer is known exactly.

``python -m inference_node.training.probe_export``. BYTES is ``(3 * INPUT + 7) mod 256``, FLOATS is ``INPUT / 4``.
"""

from pathlib import Path

import onnx
from onnx import TensorProto, helper

TARGET = Path(__file__).resolve().parent.parent / "model_repository" / "probe" / "1" / "model.onnx"
_OPSET = 17
_IR_VERSION = 8


def network() -> onnx.ModelProto:
    """Build the network."""
    scalars = {"three": 3, "seven": 7, "whole": 256}
    constants = [helper.make_tensor(name, TensorProto.INT32, [], [value]) for name, value in scalars.items()]
    constants.append(helper.make_tensor("quarter", TensorProto.FLOAT, [], [0.25]))
    nodes = [
        helper.make_node("Cast", ["INPUT"], ["integers"], to=TensorProto.INT32),
        helper.make_node("Mul", ["integers", "three"], ["tripled"]),
        helper.make_node("Add", ["tripled", "seven"], ["moved"]),
        helper.make_node("Mod", ["moved", "whole"], ["wrapped"]),
        helper.make_node("Cast", ["wrapped"], ["BYTES"], to=TensorProto.UINT8),
        helper.make_node("Cast", ["INPUT"], ["reals"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["reals", "quarter"], ["FLOATS"]),
    ]
    shape = ["batch", "length"]
    graph = helper.make_graph(
        nodes,
        "probe",
        [helper.make_tensor_value_info("INPUT", TensorProto.UINT8, shape)],
        [
            helper.make_tensor_value_info("BYTES", TensorProto.UINT8, shape),
            helper.make_tensor_value_info("FLOATS", TensorProto.FLOAT, shape),
        ],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], producer_name="viseme")
    model.ir_version = _IR_VERSION
    onnx.checker.check_model(model, full_check=True)
    return model


def main() -> None:
    """Write the file."""
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_bytes(network().SerializeToString(deterministic=True))


if __name__ == "__main__":
    main()
