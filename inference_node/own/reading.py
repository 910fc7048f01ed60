"""What the confined child does: it reads a file, and writes the network that Triton will serve."""

from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import onnxruntime
from google.protobuf.message import DecodeError
from onnx import TensorProto

from inference_node.engine.local import REFUSALS
from inference_node.own.card import NetworkCard, card_of
from inference_node.own.engine import FACE, MEL, PAINTED, REFERENCE, VALUES
from inference_node.own.folder import NETWORK_FILE, VERSION_FOLDER, file_digest
from inference_node.own.serving import batch_limit, check_network, configuration, processor_batch, served
from shared.errors import InvalidInputError, LimitExceededError

_CONFIG: Final = "config.pbtxt"
_GPU_CONFIG: Final = Path("configs") / "gpu.pbtxt"
_TRIED: Final = 2
"""Frames that a fresh network is asked."""


def read_wav2lip(arguments: dict[str, Any]) -> dict[str, Any]:
    """A Wav2Lip checkpoint: ``path``, ``target``, ``name``, ``licence``, ``limit_bytes``; gives the card."""
    # Imported here: a network that is ONNX already needs no torch.
    from inference_node.own.checkpoint import read_tensors  # noqa: PLC0415
    from inference_node.own.wav2lip_graph import wav2lip_card, wav2lip_graph  # noqa: PLC0415
    from inference_node.own.wav2lip_plan import plan_of  # noqa: PLC0415

    path = Path(arguments["path"])
    weights = read_tensors(path, limit_bytes=int(arguments["limit_bytes"]))
    plan = plan_of({name: value.shape for name, value in weights.items()})
    card = wav2lip_card(plan, name=arguments["name"], licence=arguments["licence"])
    return _write(wav2lip_graph(plan, weights), card, path, Path(arguments["target"]))


def read_onnx(arguments: dict[str, Any]) -> dict[str, Any]:
    """Any network: ``path``, ``target``, ``card``, ``limit_bytes``; gives the card as it is kept."""
    path, card = Path(arguments["path"]), card_of(arguments["card"])
    limit = int(arguments["limit_bytes"])
    if path.stat().st_size > limit:
        message = f"{path.name} has {path.stat().st_size} bytes, at most {limit} are read"
        raise LimitExceededError(message, field="network", limit="file_bytes")
    try:
        model = onnx.load(path, load_external_data=False)
    except (DecodeError, ValueError) as error:
        raise InvalidInputError(f"{path.name} is no ONNX file", field="network") from error
    _check_inside(model)
    check_network(model, card)
    return _write(model, card, path, Path(arguments["target"]))


def _check_inside(model: onnx.ModelProto) -> None:
    """Weights must be in the file itself: paths in it are not followed."""
    if not model.graph.node:
        raise InvalidInputError("the file is no ONNX network: it has no operation in it", field="network")
    outside = [one.name for one in _tensors(model.graph) if one.data_location == TensorProto.EXTERNAL]
    if outside:
        raise InvalidInputError(
            f"{len(outside)} tensors lie in other files ({outside[0][:80]}); save the network as one file",
            field="network",
        )
    try:
        onnx.checker.check_model(model)
    except (onnx.checker.ValidationError, ValueError) as error:
        raise InvalidInputError(f"the network is not right: {_first_line(error)}", field="network") from error


def _tensors(graph: onnx.GraphProto) -> list[onnx.TensorProto]:
    found = [*graph.initializer]
    for node in graph.node:
        for attribute in node.attribute:
            found += [attribute.t] if attribute.HasField("t") else []
            found += attribute.tensors
            for inner in ([attribute.g] if attribute.HasField("g") else []) + list(attribute.graphs):
                found += _tensors(inner)
    return found


def _write(model: onnx.ModelProto, card: NetworkCard, source: Path, target: Path) -> dict[str, Any]:
    """Write the model's folder and try what was written."""
    batch = batch_limit(model, card)
    whole = served(model, card)
    network = target / VERSION_FOLDER / NETWORK_FILE
    network.parent.mkdir(parents=True)
    network.write_bytes(whole.SerializeToString(deterministic=True))
    (target / _GPU_CONFIG).parent.mkdir()
    (target / _CONFIG).write_text(configuration(card, batch=processor_batch(card, batch), on_gpu=False))
    (target / _GPU_CONFIG).write_text(configuration(card, batch=batch, on_gpu=True))
    _try(network, card, min(batch, _TRIED))
    kept = card.model_copy(update={"batch": batch, "source": file_digest(source), "network": file_digest(network)})
    told: dict[str, Any] = kept.model_dump(mode="json")
    return told


def _try(network: Path, card: NetworkCard, rows: int) -> None:
    """Ask the network once: it must load, answer in the shape of its card, and give numbers."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    face = np.full((rows, *card.size, 3), 128, np.uint8)
    inputs = {FACE: face, MEL: np.zeros((rows, card.speech.rows, card.speech.bands), np.float32)}
    if card.wants_reference:
        inputs[REFERENCE] = face
    try:
        session = onnxruntime.InferenceSession(str(network), options, providers=["CPUExecutionProvider"])
        painted, values = session.run([PAINTED, VALUES], inputs)
    except REFUSALS as error:
        raise InvalidInputError(f"the network does not run: {_first_line(error)}", field="network") from error
    if painted.shape != face.shape:
        raise InvalidInputError(
            f"the network gives {list(painted.shape)} where its card promises {list(face.shape)}",
            field="card.output.shape",
        )
    if not np.isfinite(values).all():
        raise InvalidInputError("the network gives what is no number", field="network")


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
