"""Networks run in the node's own process, without Triton: by the operator's explicit wish, and said so everywhere."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime

from inference_node.triton.watchdog import TritonState
from shared.errors import EngineUnavailableError, InternalError

Array = npt.NDArray[np.generic]


class LocalTensors:
    """The ``Tensors`` port on onnxruntime in this process.

    Args:
        repository: The model repository that Triton would serve.
        observe: Told about every answered call: the model and the seconds it took.
    """

    def __init__(self, repository: Path, *, observe: Callable[[str, float], None]) -> None:
        self._repository = repository
        self._observe = observe
        self._sessions: dict[str, onnxruntime.InferenceSession] = {}

    async def infer(self, model: str, inputs: Mapping[str, Array], outputs: Sequence[str]) -> dict[str, Array]:
        """Run one batch through a network."""
        return await asyncio.to_thread(self._run, model, dict(inputs), list(outputs))

    def _run(self, model: str, inputs: dict[str, Array], outputs: list[str]) -> dict[str, Array]:
        begun = time.perf_counter()
        session = self._session(model)
        try:
            answer = session.run(outputs, inputs)
        except (RuntimeError, ValueError) as error:
            raise InternalError(f"The network {model} failed; the node's log says why.") from error
        self._observe(model, time.perf_counter() - begun)
        return dict(zip(outputs, answer, strict=True))

    def _session(self, model: str) -> onnxruntime.InferenceSession:
        known = self._sessions.get(model)
        if known is not None:
            return known
        path = self._repository / model / "1" / "model.onnx"
        if not path.is_file():
            raise EngineUnavailableError(f"The network {model} is not in the model repository.")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        return self._sessions.setdefault(model, session)


class LocalRuntime:
    """Stands where the watchdog stands when there is no Triton to watch."""

    @property
    def state(self) -> TritonState:
        """Always the same."""
        return TritonState.LOCAL

    async def next_state(self, seen: TritonState | None) -> TritonState:
        """The state once; it never becomes another."""
        if seen is TritonState.LOCAL:
            await asyncio.Event().wait()
        return TritonState.LOCAL

    async def recovered(self, timeout_s: float) -> None:
        """Nothing to wait for."""
        del timeout_s
