"""Networks run by Triton, over gRPC and, on the same machine, shared memory. The only place that knows its client."""

import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from math import prod
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from tritonclient.grpc import InferInput, InferRequestedOutput
from tritonclient.grpc.aio import InferenceServerClient
from tritonclient.utils import InferenceServerException, np_to_triton_dtype, triton_to_np_dtype

from inference_node.engine.regions import SHARED_MEMORY, Region, RegionPool
from shared.errors import DeadlineError, EngineUnavailableError, InternalError, VisemeError
from shared.telemetry import tracing
from shared.telemetry.logging import get_logger

Array = npt.NDArray[np.generic]
Observe = Callable[[str, float], None]
"""Told about every answered call: the model and the seconds it took."""

SHARED_FROM_BYTES: Final = 32 << 10
"""Tensors from this size on go through shared memory; below it the detour costs more than it saves."""

_REGIONS_BYTES: Final = 256 << 20
_UNKNOWN_DIMENSION: Final = 128
_UNKNOWN_REGION: Final = "shared memory region"
_NETWORK_GONE: Final = (
    _UNKNOWN_REGION,
    "Stub process",
    "is not ready",
    "unknown model",
    "not found",
    "no available versions",
)
_LOG: Final = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tensor:
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    """Without the batch axis; -1 where any size goes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Signature:
    inputs: Mapping[str, _Tensor]
    outputs: Mapping[str, _Tensor]
    max_batch: int
    """0 where the network does not batch."""


class TritonTensors:
    """The ``Tensors`` port on a Triton server, and the ``ModelServer`` of its watchdog.

    Args:
        url: ``host:port`` or ``unix:/path``.
        shares_memory: Whether to try the server with shared memory; one that does not see it gets tensors inline.
        deadline_s: What one call may take.
        observe: Told about every answered call.
    """

    def __init__(self, url: str, *, shares_memory: bool = True, deadline_s: float, observe: Observe) -> None:
        options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        # A server that was started again is found at once.
        options += [("grpc.initial_reconnect_backoff_ms", 50), ("grpc.max_reconnect_backoff_ms", 1000)]
        self._client = InferenceServerClient(url, channel_args=options)
        self._url = url
        self._deadline_s = deadline_s
        self._observe = observe
        self._signatures: dict[str, _Signature] = {}
        self._answered_at: dict[str, float] = {}
        self._regions = RegionPool(self._register, limit_bytes=_REGIONS_BYTES)
        self._tries_sharing = shares_memory and SHARED_MEMORY.is_dir()
        self._shares = self._tries_sharing

    async def infer(self, model: str, inputs: Mapping[str, Array], outputs: Sequence[str]) -> dict[str, Array]:
        """Run one batch through a network, in several calls where it is larger than the network takes."""
        return await self._infer(model, inputs, outputs, self._deadline_s)

    async def is_live(self) -> bool:
        """Whether the server answers at all."""
        try:
            return bool(await self._client.is_server_live(client_timeout=1.0))
        except InferenceServerException:
            return False

    async def load(self, model: str) -> None:
        """Load a network, again when it is loaded: a mere load leaves a dead one as it is."""
        self._signatures.pop(model, None)
        with _boundary(model):
            try:
                await self._client.unload_model(model, client_timeout=self._deadline_s)
            except InferenceServerException:  # it was not loaded, or the load below says what is wrong
                _LOG.debug("model was not unloaded", model=model)
            await self._client.load_model(model, client_timeout=self._deadline_s)

    async def unload(self, model: str) -> None:
        """Unload a network."""
        self._signatures.pop(model, None)
        self._answered_at.pop(model, None)
        with _boundary(model):
            await self._client.unload_model(model, client_timeout=self._deadline_s)

    async def ask(self, model: str, deadline_s: float) -> None:
        """Run zeros through a network: it answers, or an error of ours says that it does not."""
        with _boundary(model):
            signature = await self._signature(model)
        shapes = {name: _sized(tensor.shape, batch=signature.max_batch) for name, tensor in signature.inputs.items()}
        zeros = {name: np.zeros(shapes[name], tensor.dtype) for name, tensor in signature.inputs.items()}
        try:
            await self._infer(model, zeros, list(signature.outputs), deadline_s)
        except InternalError:  # the network refused zeros, so it lives
            self._answered_at[model] = time.monotonic()

    def answered_at(self, model: str) -> float:
        """When a network answered last, by the monotonic clock; 0 for never."""
        return self._answered_at.get(model, 0.0)

    def forget_server(self) -> None:
        """Forget what an earlier server process had: signatures and mapped regions."""
        self._signatures.clear()
        self._regions.clear()
        self._shares = self._tries_sharing

    async def close(self) -> None:
        """Give the regions and the connection back."""
        for name in self._regions.names:
            if not await self._unregister(name):
                break  # the server is gone, and its mappings with it
        self._regions.clear()
        await self._client.close()

    async def _infer(
        self, model: str, inputs: Mapping[str, Array], outputs: Sequence[str], deadline_s: float
    ) -> dict[str, Array]:
        with _boundary(model):
            signature = await self._signature(model)
            rows = len(next(iter(inputs.values())))
            step = signature.max_batch or rows
            if rows <= step:
                return await self._call(model, signature, inputs, outputs, deadline_s)
            parts = [
                await self._call(
                    model,
                    signature,
                    {name: value[first : first + step] for name, value in inputs.items()},
                    outputs,
                    deadline_s,
                )
                for first in range(0, rows, step)
            ]
        return {name: np.concatenate([part[name] for part in parts]) for name in outputs}

    async def _call(
        self,
        model: str,
        signature: _Signature,
        inputs: Mapping[str, Array],
        outputs: Sequence[str],
        deadline_s: float,
    ) -> dict[str, Array]:
        begun = time.perf_counter()
        layout = _Layout(signature, inputs, outputs)
        with tracing.part(f"triton {model}", kind=tracing.Kind.CLIENT):
            answer = await self._ask(model, layout, outputs, deadline_s)
        self._observe(model, time.perf_counter() - begun)
        self._answered_at[model] = time.monotonic()
        return answer

    async def _ask(self, model: str, layout: "_Layout", outputs: Sequence[str], deadline_s: float) -> dict[str, Array]:
        async with self._region(layout.size_bytes) as region:
            result = await self._client.infer(
                model,
                layout.infer_inputs(region),
                outputs=layout.infer_outputs(region),
                client_timeout=deadline_s,
                headers=dict(tracing.metadata()) or None,
            )
            return {
                name: layout.read(region, name) if layout.is_shared(region, name) else _inline(result, name)
                for name in outputs
            }

    @asynccontextmanager
    async def _region(self, size_bytes: int) -> AsyncIterator[Region | None]:
        region = await self._take_region(size_bytes) if self._shares and size_bytes else None
        try:
            yield region
        except InferenceServerException as error:
            if region is not None:
                self._regions.discard(region)
                await self._unregister(region.name)
            if _UNKNOWN_REGION in str(error.message()):  # the server was started again behind our back
                self._regions.clear()
            raise
        except BaseException:
            if region is not None:
                self._regions.discard(region)
            raise
        if region is not None:
            self._regions.put_back(region)

    async def _take_region(self, size_bytes: int) -> Region | None:
        try:
            return await self._regions.take(size_bytes)
        except OSError as error:
            _LOG.warning("no shared memory; tensors go inline", words=error.strerror)
        except InferenceServerException as error:
            if any(code in str(error.status()) for code in ("UNAVAILABLE", "DEADLINE_EXCEEDED")):
                raise
            self._shares = False
            _LOG.info("triton does not see our shared memory; tensors go inline", url=self._url)
        return None

    async def _register(self, name: str, key: str, size_bytes: int) -> None:
        await self._client.register_system_shared_memory(name, key, size_bytes, client_timeout=self._deadline_s)

    async def _unregister(self, name: str) -> bool:
        try:
            await self._client.unregister_system_shared_memory(name, client_timeout=1.0)
        except InferenceServerException:
            return False
        return True

    async def _signature(self, model: str) -> _Signature:
        known = self._signatures.get(model)
        if known is None:
            answer = await self._client.get_model_config(model, client_timeout=self._deadline_s)
            known = self._signatures[model] = _signature_of(answer.config)
        return known


class _Layout:
    """Which tensors of one call lie where in a region."""

    def __init__(self, signature: _Signature, inputs: Mapping[str, Array], outputs: Sequence[str]) -> None:
        self._inputs = {name: np.ascontiguousarray(value) for name, value in inputs.items()}
        self._outputs = outputs
        rows = len(next(iter(self._inputs.values())))
        shapes = {name: signature.outputs[name] for name in outputs if name in signature.outputs}
        self._known = {
            name: _Tensor(dtype=tensor.dtype, shape=(rows, *tensor.shape) if signature.max_batch else tensor.shape)
            for name, tensor in shapes.items()
            if -1 not in tensor.shape
        }
        self._places: dict[str, tuple[int, int]] = {}
        self.size_bytes = 0
        for name, value in self._inputs.items():
            self._place(f"in {name}", value.nbytes)
        for name, tensor in self._known.items():
            self._place(f"out {name}", prod(tensor.shape) * tensor.dtype.itemsize)

    def _place(self, key: str, size: int) -> None:
        if size >= SHARED_FROM_BYTES:
            self._places[key] = (self.size_bytes, size)
            self.size_bytes += -(-size // 64) * 64

    def infer_inputs(self, region: Region | None) -> list[InferInput]:
        """What the client sends, large tensors copied into the region."""
        made: list[InferInput] = []
        for name, value in self._inputs.items():
            tensor = InferInput(name, value.shape, np_to_triton_dtype(value.dtype))
            place = self._places.get(f"in {name}")
            if region is None or place is None:
                tensor.set_data_from_numpy(value)
            else:
                offset, size = place
                region.memory[offset : offset + size] = value.reshape(-1).view(np.uint8).data
                tensor.set_shared_memory(region.name, size, offset)
            made.append(tensor)
        return made

    def infer_outputs(self, region: Region | None) -> list[InferRequestedOutput]:
        """What the client asks for."""
        made: list[InferRequestedOutput] = []
        for name in self._outputs:
            output = InferRequestedOutput(name)
            if region is not None and self.is_shared(region, name):
                offset, size = self._places[f"out {name}"]
                output.set_shared_memory(region.name, size, offset)
            made.append(output)
        return made

    def is_shared(self, region: Region | None, name: str) -> bool:
        """Whether an output comes through the region."""
        return region is not None and f"out {name}" in self._places

    def read(self, region: Region | None, name: str) -> Array:
        """Copy an output out of the region."""
        if region is None:
            raise InternalError(f"Output {name} was to come through shared memory, and there is none.")
        offset, size = self._places[f"out {name}"]
        tensor = self._known[name]
        return np.frombuffer(region.memory[offset : offset + size], tensor.dtype).reshape(tensor.shape)


def _signature_of(config: Any) -> _Signature:
    def read(items: Any) -> dict[str, _Tensor]:
        return {item.name: _Tensor(dtype=_dtype(item.data_type), shape=tuple(item.dims)) for item in items}

    return _Signature(inputs=read(config.input), outputs=read(config.output), max_batch=config.max_batch_size)


def _dtype(number: int) -> np.dtype[Any]:
    names = ("", "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32")
    kind: np.dtype[Any] = np.dtype(triton_to_np_dtype(names[number] if number < len(names) else "FP64"))
    return kind


def _sized(shape: tuple[int, ...], *, batch: int) -> tuple[int, ...]:
    sized = tuple(_UNKNOWN_DIMENSION if size < 0 else size for size in shape)
    return (1, *sized) if batch else sized


def _inline(result: Any, name: str) -> Array:
    value: Array | None = result.as_numpy(name)
    if value is None:
        raise InternalError(f"The network gave no output {name}.")
    return value


@contextmanager
def _boundary(model: str) -> Iterator[None]:
    """Turn what Triton's client raises into errors of ours; its messages may hold paths and go to the log alone."""
    try:
        yield
    except VisemeError:
        raise
    except InferenceServerException as error:
        status, words = str(error.status() or ""), str(error.message() or "")
        _LOG.debug("triton refused", model=model, status=status, words=words)
        if "DEADLINE_EXCEEDED" in status:
            raise DeadlineError(f"The network {model} took longer than it may.") from error
        if "UNAVAILABLE" in status or any(part in words for part in _NETWORK_GONE):
            raise EngineUnavailableError(f"The network {model} does not answer.", retry_after_s=2.0) from error
        _LOG.warning("network failed", model=model, status=status, words=words)
        raise InternalError(f"The network {model} failed; the node's log says why.") from error
    except (TimeoutError, OSError) as error:
        raise EngineUnavailableError(f"Triton cannot be reached for {model}.", retry_after_s=2.0) from error
