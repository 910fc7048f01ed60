"""A Wav2Lip checkpoint as an ONNX graph and a card."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from inference_node.own.card import NetworkCard, card_of
from inference_node.own.wav2lip_plan import MEL_BANDS, MEL_ROWS, Layer, Wav2LipPlan
from shared.errors import InvalidInputError

Weights = Mapping[str, npt.NDArray[np.generic]]

OPSET: Final = 17
IR_VERSION: Final = 8
"""The oldest that this opset goes with: every Triton since 2022 reads it."""
LICENCE: Final = (
    "Wav2Lip's published weights are for personal, research and non-commercial use only; "
    "of other weights, ask their makers"
)
_EPSILON: Final = 1e-5
"""What torch adds to variances."""
_AUDIO: Final = "audio_sequences"
_FACE: Final = "face_sequences"
_OUTPUT: Final = "painted"


def wav2lip_card(plan: Wav2LipPlan, *, name: str, licence: str = "") -> NetworkCard:
    """The card of a network of this kind: sound, box, mask and colours as in the published code."""
    size = plan.size
    return card_of(
        {
            "name": name,
            "summary": f"Wav2Lip, {size} pixels: paints the lower face anew",
            "licence": licence or LICENCE,
            "frame_rate": 25.0,
            "pictures": [
                {
                    "tensor": _FACE,
                    "layout": "BCHW",
                    "shape": [-1, 6, size, size],
                    "colour": "bgr",
                    "range": [0.0, 1.0],
                    "pictures": ["masked", "frame"],
                }
            ],
            "mel": {"tensor": _AUDIO, "layout": "B1MT", "shape": [-1, 1, MEL_BANDS, MEL_ROWS]},
            "speech": {
                "n_fft": 800,
                "window": 800,
                "hop": 200,
                "bands": MEL_BANDS,
                "low_hz": 55.0,
                "high_hz": 7600.0,
                "preemphasis": 0.97,
                "rows": MEL_ROWS,
            },
            "output": {
                "tensor": _OUTPUT,
                "layout": "BCHW",
                "shape": [-1, 3, size, size],
                "colour": "bgr",
                "range": [0.0, 1.0],
            },
            # The published code adds ten pixels below the chin to the faces that it finds.
            "face": {"pad_bottom": 0.05},
        }
    )


def wav2lip_graph(plan: Wav2LipPlan, weights: Weights) -> onnx.ModelProto:
    """The network as ONNX, normalisation folded into the convolutions; tensors as in the card.

    Raises:
        InvalidInputError: a weight is not a number, or a variance is negative.
    """
    size, batch = plan.size, "batch"
    made = _Nodes(weights)
    seen = []
    state = _FACE
    for block in plan.encoder:
        for layer in block:
            state = made.layer(layer, state)
        seen.append(state)
    state = _AUDIO
    for layer in plan.audio:
        state = made.layer(layer, state)
    for block, beside in zip(plan.decoder, reversed(seen), strict=True):
        for layer in block:
            state = made.layer(layer, state)
        state = made.add("Concat", [state, beside], axis=1)
    state = made.layer(plan.output, state)
    last = [made.weight("output_block.1.weight"), made.weight("output_block.1.bias")]
    state = made.add("Conv", [state, *last], kernel_shape=[1, 1])
    made.add("Sigmoid", [state], output=_OUTPUT)
    graph = helper.make_graph(
        made.nodes,
        "wav2lip",
        [
            helper.make_tensor_value_info(_AUDIO, TensorProto.FLOAT, [batch, 1, MEL_BANDS, MEL_ROWS]),
            helper.make_tensor_value_info(_FACE, TensorProto.FLOAT, [batch, 6, size, size]),
        ],
        [helper.make_tensor_value_info(_OUTPUT, TensorProto.FLOAT, [batch, 3, size, size])],
        made.initializers,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)


class _Nodes:
    """The nodes of the graph, in order."""

    def __init__(self, weights: Weights) -> None:
        self._weights = weights
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []

    def add(self, kind: str, inputs: list[str], *, output: str = "", **attributes: Any) -> str:
        """Add a node; gives the name of its output."""
        name = output or f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        return name

    def weight(self, key: str) -> str:
        """Use a tensor of the checkpoint as it is."""
        return self._keep(key, self._read(key))

    def layer(self, layer: Layer, state: str) -> str:
        """A convolution with its normalisation folded in, what it adds to, and its ReLU."""
        kernel, bias = self._folded(layer)
        inputs = [state, self._keep(f"{layer.name}.weight", kernel), self._keep(f"{layer.name}.bias", bias)]
        kind = "ConvTranspose" if layer.is_transposed else "Conv"
        settings: dict[str, Any] = {
            "kernel_shape": [layer.kernel] * 2,
            "strides": list(layer.stride),
            "pads": [layer.padding] * 4,
        }
        if layer.is_transposed:
            settings["output_padding"] = [layer.output_padding] * 2
        made = self.add(kind, inputs, **settings)
        if layer.is_residual:
            made = self.add("Add", [made, state])
        return self.add("Relu", [made])

    def _folded(self, layer: Layer) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        kernel, bias = (self._read(f"{layer.name}.conv_block.0.{kind}") for kind in ("weight", "bias"))
        norm = f"{layer.name}.conv_block.1"
        gain, shift, mean, variance = (
            self._read(f"{norm}.{kind}") for kind in ("weight", "bias", "running_mean", "running_var")
        )
        if (variance < 0).any():
            raise InvalidInputError(f"the checkpoint's {norm}.running_var is negative", field="checkpoint")
        scale = gain / np.sqrt(variance + _EPSILON)
        along = (1, -1, 1, 1) if layer.is_transposed else (-1, 1, 1, 1)
        return kernel * scale.reshape(along), (bias - mean) * scale + shift

    def _read(self, key: str) -> npt.NDArray[np.float64]:
        value = self._weights[key].astype(np.float64)
        if not np.isfinite(value).all():
            raise InvalidInputError(f"the checkpoint's {key} holds what is no number", field="checkpoint")
        return value

    def _keep(self, name: str, value: npt.NDArray[np.float64]) -> str:
        self.initializers.append(numpy_helper.from_array(value.astype(np.float32), name))
        return name
