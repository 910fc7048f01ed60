"""The network as Triton serves it: between bytes of pictures and the tensors that a card declares.

Conversion, masking and stacking become part of the network, so that pictures cross as uint8.
"""

from typing import Any, Final

import numpy as np
import onnx
from onnx import TensorProto, compose, helper, numpy_helper

from inference_node.own.card import CHANNELS, NetworkCard, PictureInput, PictureTensor
from inference_node.own.engine import FACE, MEL, PAINTED, REFERENCE, VALUES
from shared.errors import InvalidInputError

OLDEST_OPSET: Final = 13
_INSIDE: Final = "net/"
_BATCH: Final = "batch"
_PROCESSOR_PIXELS: Final = 8 * 96 * 96
_COMMA: Final = ",\n  "
_TYPES: Final = {"float32": TensorProto.FLOAT, "float16": TensorProto.FLOAT16, "uint8": TensorProto.UINT8}


def check_network(model: onnx.ModelProto, card: NetworkCard) -> None:
    """Compare a network's tensors with its card.

    Raises:
        InvalidInputError: they differ; names the card's field.
    """
    opset = next((one.version for one in model.opset_import if one.domain in {"", "ai.onnx"}), 0)
    if opset < OLDEST_OPSET:
        raise InvalidInputError(
            f"the network is of ONNX opset {opset}; export it with {OLDEST_OPSET} or newer", field="network"
        )
    graph = model.graph
    constant = {one.name for one in graph.initializer}
    inputs = {one.name: one for one in graph.input if one.name not in constant}
    outputs = {one.name: one for one in graph.output}
    wanted: list[tuple[str, str, str, tuple[int, ...]]] = [
        (f"card.pictures.{number}", one.tensor, one.dtype, one.shape) for number, one in enumerate(card.pictures)
    ]
    wanted.append(("card.mel", card.mel.tensor, card.mel.dtype, card.mel.shape))
    for field, tensor, dtype, shape in wanted:
        _check_tensor(field, tensor, dtype, shape, inputs)
    if unfed := sorted(inputs.keys() - {tensor for _, tensor, _, _ in wanted}):
        raise InvalidInputError(f"the network has inputs that the card does not name: {', '.join(unfed)}", field="card")
    _check_tensor("card.output", card.output.tensor, card.output.dtype, card.output.shape, outputs)


def served(model: onnx.ModelProto, card: NetworkCard) -> onnx.ModelProto:
    """Wrap a network that was checked: FACE, MEL and, where the card asks, REFERENCE in; PAINTED and VALUES out."""
    inside = compose.add_prefix(model, _INSIDE)
    height, width = card.size
    before = _Before(card)
    for picture in card.pictures:
        before.picture(picture)
    before.mel()
    after = _After(card.output)
    inputs = [helper.make_tensor_value_info(FACE, TensorProto.UINT8, [_BATCH, height, width, CHANNELS])]
    if card.wants_reference:
        inputs.append(helper.make_tensor_value_info(REFERENCE, TensorProto.UINT8, [_BATCH, height, width, CHANNELS]))
    inputs.append(helper.make_tensor_value_info(MEL, TensorProto.FLOAT, [_BATCH, card.speech.rows, card.speech.bands]))
    outputs = [
        helper.make_tensor_value_info(name, kind, [_BATCH, height, width, CHANNELS])
        for name, kind in ((PAINTED, TensorProto.UINT8), (VALUES, TensorProto.FLOAT))
    ]
    graph = helper.make_graph(
        [*before.nodes, *inside.graph.node, *after.nodes],
        card.name,
        inputs,
        outputs,
        [*before.constants, *inside.graph.initializer, *after.constants],
        sparse_initializer=list(inside.graph.sparse_initializer),
    )
    made = helper.make_model(
        graph,
        opset_imports=list(inside.opset_import),
        functions=list(inside.functions),
        ir_version=inside.ir_version,
    )
    made.producer_name = "viseme"
    return made


def batch_limit(model: onnx.ModelProto, card: NetworkCard) -> int:
    """How many frames the network takes at once: one where its file says so, else what the card says."""
    tensors = [*model.graph.input, *model.graph.output]
    fixed = any(_sizes(one)[:1] == [1] for one in tensors)
    said = any(shape[0] == 1 for shape in (*(one.shape for one in card.pictures), card.mel.shape, card.output.shape))
    return 1 if fixed or said else card.batch


def processor_batch(card: NetworkCard, batch: int) -> int:
    """How many frames at once on a processor, where more make nothing faster and a call must end in time."""
    height, width = card.size
    return max(1, min(batch, _PROCESSOR_PIXELS // (height * width)))


def configuration(card: NetworkCard, *, batch: int, on_gpu: bool) -> str:
    """Triton's ``config.pbtxt``."""
    height, width = card.size
    face = f"TYPE_UINT8 dims: [ {height}, {width}, {CHANNELS} ]"
    inputs = [f'{{ name: "{FACE}" data_type: {face} }}']
    if card.wants_reference:
        inputs.append(f'{{ name: "{REFERENCE}" data_type: {face} }}')
    inputs.append(f'{{ name: "{MEL}" data_type: TYPE_FP32 dims: [ {card.speech.rows}, {card.speech.bands} ] }}')
    outputs = [
        f'{{ name: "{PAINTED}" data_type: {face} }}',
        f'{{ name: "{VALUES}" data_type: TYPE_FP32 dims: [ {height}, {width}, {CHANNELS} ] }}',
    ]
    lines = [
        "# Written by `viseme engines import`.",
        f'name: "{card.model}"',
        'backend: "onnxruntime"',
        f"max_batch_size: {batch}",
        f"input [\n  {_COMMA.join(inputs)}\n]",
        f"output [\n  {_COMMA.join(outputs)}\n]",
        f"instance_group [{{ count: 1 kind: {'KIND_GPU' if on_gpu else 'KIND_CPU'} }}]",
    ]
    if batch > 1:
        lines.append(f"dynamic_batching {{ preferred_batch_size: [ {batch} ] max_queue_delay_microseconds: 2000 }}")
    return "\n".join(lines) + "\n"


class _Graph:
    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def add(self, kind: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        name = output or f"{self._prefix}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        return name

    def constant(self, value: np.ndarray) -> str:
        name = f"{self._prefix}constant{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(value, name))
        return name

    def number(self, value: float) -> str:
        return self.constant(np.array(value, np.float32))

    def flipped(self, state: str) -> str:
        """Red and blue changed over."""
        return self.add("Gather", state, self.constant(np.array([2, 1, 0], np.int64)), axis=3)


class _Before(_Graph):
    """From what the node sends to what the network takes."""

    def __init__(self, card: NetworkCard) -> None:
        super().__init__("before/")
        self._card = card
        self._floats: dict[str, str] = {}

    def picture(self, told: PictureInput) -> None:
        parts = [self._shown(kind) for kind in told.pictures]
        if told.colour == "bgr":
            parts = [self.flipped(part) for part in parts]
        state = parts[0] if len(parts) == 1 else self.add("Concat", *parts, axis=3)
        low, high = told.range
        if (low, high) != (0.0, 255.0):
            state = self.add("Mul", state, self.number((high - low) / 255.0))
        if low:
            state = self.add("Add", state, self.number(low))
        if told.layout == "BCHW":
            state = self.add("Transpose", state, perm=[0, 3, 1, 2])
        self.add("Cast", state, output=_INSIDE + told.tensor, to=_TYPES[told.dtype])

    def mel(self) -> None:
        told = self._card.mel
        state = MEL
        if "MT" in told.layout:
            state = self.add("Transpose", state, perm=[0, 2, 1])
        if "1" in told.layout:
            state = self.add("Unsqueeze", state, self.constant(np.array([1], np.int64)))
        self.add("Cast", state, output=_INSIDE + told.tensor, to=_TYPES[told.dtype])

    def _shown(self, kind: str) -> str:
        if kind == "masked":
            height = self._card.size[0]
            mask = np.ones((1, height, 1, 1), np.float32)
            mask[:, int(height * self._card.face.mask_from) :] = 0.0
            return self.add("Mul", self._float(FACE), self.constant(mask))
        return self._float(FACE if kind == "frame" else REFERENCE)

    def _float(self, name: str) -> str:
        if name not in self._floats:
            self._floats[name] = self.add("Cast", name, to=TensorProto.FLOAT)
        return self._floats[name]


class _After(_Graph):
    """From what the network gives to what goes back to the node."""

    def __init__(self, told: PictureTensor) -> None:
        super().__init__("after/")
        state = self.add("Cast", _INSIDE + told.tensor, to=TensorProto.FLOAT)
        if told.layout == "BCHW":
            state = self.add("Transpose", state, perm=[0, 2, 3, 1])
        if told.colour == "bgr":
            state = self.flipped(state)
        low, high = told.range
        if low:
            state = self.add("Sub", state, self.number(low))
        if high - low != 1.0:
            state = self.add("Div", state, self.number(high - low))
        values = self.add("Identity", state, output=VALUES)
        state = self.add("Clip", values, self.number(0.0), self.number(1.0))
        state = self.add("Mul", state, self.number(255.0))
        self.add("Cast", self.add("Round", state), output=PAINTED, to=TensorProto.UINT8)


def _check_tensor(
    field: str, tensor: str, dtype: str, shape: tuple[int, ...], found: dict[str, onnx.ValueInfoProto]
) -> None:
    one = found.get(tensor)
    if one is None:
        raise InvalidInputError(
            f"the network has no tensor {tensor!r} there; it has {', '.join(sorted(found)) or 'none'}",
            field=f"{field}.tensor",
        )
    kind = one.type.tensor_type.elem_type
    if kind != _TYPES[dtype]:
        raise InvalidInputError(
            f"{tensor} is {TensorProto.DataType.Name(kind)} in the network and {dtype} in the card",
            field=f"{field}.dtype",
        )
    sizes = _sizes(one)
    same = len(sizes) == len(shape) and all(a in {-1, b} for a, b in zip(sizes[1:], shape[1:], strict=True))
    if not same or sizes[0] not in {-1, 1}:
        raise InvalidInputError(
            f"{tensor} is {sizes} in the network and {list(shape)} in the card (-1: any)", field=f"{field}.shape"
        )


def _sizes(value: onnx.ValueInfoProto) -> list[int]:
    """Sizes of a tensor, -1 where any goes."""
    return [size.dim_value if size.HasField("dim_value") else -1 for size in value.type.tensor_type.shape.dim]
