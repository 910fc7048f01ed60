"""Networks run in the node's own process, without Triton: by the operator's explicit wish, and said so everywhere."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as refusals

from inference_node.triton.watchdog import TritonState
from shared.errors import EngineUnavailableError, InternalError

Array = npt.NDArray[np.generic]

REFUSALS: Final = (
    RuntimeError,
    ValueError,
    refusals.EPFail,
    refusals.Fail,
    refusals.InvalidArgument,
    refusals.InvalidGraph,
    refusals.InvalidProtobuf,
    refusals.NoSuchFile,
    refusals.NotImplemented,
    refusals.RuntimeException,
)
"""What onnxruntime raises; its own errors have no class of their own above them."""


class LocalTensors:
    """The ``Tensors`` port on onnxruntime in this process.

    Args:
        repositories: The model repositories that Triton would serve.
        observe: Told about every answered call: the model and the seconds it took.
    """

    def __init__(self, *repositories: Path, observe: Callable[[str, float], None]) -> None:
        self._repositories = repositories
        self._observe = observe
        self._sessions: dict[str, onnxruntime.InferenceSession] = {}

    async def infer(self, model: str, inputs: Mapping[str, Array], outputs: Sequence[str]) -> dict[str, Array]:
        """Run one batch through a network."""
        return await asyncio.to_thread(self._run, model, dict(inputs), list(outputs))

    async def load(self, model: str) -> None:
        """Load a network.

        Raises:
            EngineUnavailableError: it is not there, or cannot be loaded.
        """
        await asyncio.to_thread(self._session, model)

    def forget(self, model: str) -> None:
        """Let a network go."""
        self._sessions.pop(model, None)

    def _run(self, model: str, inputs: dict[str, Array], outputs: list[str]) -> dict[str, Array]:
        begun = time.perf_counter()
        session = self._session(model)
        try:
            answer = session.run(outputs, inputs)
        except REFUSALS as error:
            raise InternalError(f"The network {model} failed; the node's log says why.") from error
        self._observe(model, time.perf_counter() - begun)
        return dict(zip(outputs, answer, strict=True))

    def _session(self, model: str) -> onnxruntime.InferenceSession:
        known = self._sessions.get(model)
        if known is not None:
            return known
        paths = [place / model / "1" / "model.onnx" for place in self._repositories]
        path = next((path for path in paths if path.is_file()), None)
        if path is None:
            raise EngineUnavailableError(f"The network {model} is not in the model repository.")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except REFUSALS as error:
            raise EngineUnavailableError(f"The network {model} cannot be loaded.") from error
        return self._sessions.setdefault(model, session)


class NoTensors:
    """The ``Tensors`` port where nothing is run: for engines that are only asked for their cards."""

    async def infer(self, model: str, inputs: Mapping[str, Array], outputs: Sequence[str]) -> dict[str, Array]:
        """Refuse."""
        del inputs, outputs
        raise EngineUnavailableError(f"The network {model} is not run here.")


class LocalRuntime:
    """Stands where the watchdog stands when there is no Triton to watch.

    Args:
        tensors: Where networks run.
    """

    def __init__(self, tensors: LocalTensors) -> None:
        self._tensors = tensors

    async def add(self, name: str) -> None:
        """Load one more network."""
        await self._tensors.load(name)

    async def drop(self, name: str) -> None:
        """Let it go."""
        self._tensors.forget(name)

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
