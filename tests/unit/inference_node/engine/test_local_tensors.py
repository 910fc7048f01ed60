import shutil
from pathlib import Path

import numpy as np
import pytest

from inference_node.engine.local import LocalRuntime, LocalTensors
from inference_node.engine.registry import MODEL_REPOSITORY
from shared.errors import EngineUnavailableError, InternalError


async def test_networks_are_found_in_every_repository_and_let_go(tmp_path: Path) -> None:
    tensors = LocalTensors(MODEL_REPOSITORY, tmp_path, observe=lambda *_: None)
    runtime = LocalRuntime(tensors)
    with pytest.raises(EngineUnavailableError, match="not in the model repository"):
        await runtime.add("own-probe")
    shutil.copytree(MODEL_REPOSITORY / "probe", tmp_path / "own-probe")
    await runtime.add("own-probe")
    question = {"INPUT": np.arange(4, dtype=np.uint8)[None]}
    for model in ("probe", "own-probe"):
        assert (await tensors.infer(model, question, ["BYTES"]))["BYTES"].tolist() == [[7, 10, 13, 16]]
    (tmp_path / "own-probe" / "1" / "model.onnx").write_bytes(b"broken")
    await tensors.infer("own-probe", question, ["BYTES"])
    await runtime.drop("own-probe")
    with pytest.raises(EngineUnavailableError, match="cannot be loaded"):
        await runtime.add("own-probe")


async def test_a_network_that_refuses_its_input_is_a_fault_of_ours() -> None:
    tensors = LocalTensors(MODEL_REPOSITORY, observe=lambda *_: None)
    with pytest.raises(InternalError, match="probe failed"):
        await tensors.infer("probe", {"INPUT": np.zeros((1, 4), np.float32)}, ["BYTES"])
