# ruff: noqa: INP001 - Triton loads this file by its path; it is no part of our package
"""Triton's ``onnxruntime`` backend in Python, for machines on which NVIDIA's own in C++ is not installed.

It serves the same ``config.pbtxt`` and ``model.onnx`` as NVIDIA's container. It is loaded by Triton's stub process, not
imported by the node, and runs one network on one thread.
"""

from __future__ import annotations  # the stub adds the classes of `pb` after this module is read

import json
from pathlib import Path

import numpy as np
import onnxruntime
import triton_python_backend_utils as pb


class TritonPythonModel:
    """One instance of a network."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load ``<version>/model.onnx`` of the model that Triton names."""
        config = json.loads(args["model_config"])
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        name = config.get("default_model_filename") or "model.onnx"
        path = Path(args["model_repository"]) / args["model_version"] / name
        self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.inputs = [item["name"] for item in config["input"]]
        self.outputs = [item["name"] for item in config["output"]]
        self.batched = config.get("max_batch_size", 0) > 0

    def execute(self, requests: list[pb.InferenceRequest]) -> list[pb.InferenceResponse]:
        """Run the requests that Triton put together as one batch, where their shapes allow it."""
        wanted = {name for one in requests for name in one.requested_output_names()}
        outputs = [name for name in self.outputs if name in wanted]
        feeds = [{name: pb.get_input_tensor_by_name(one, name).as_numpy() for name in self.inputs} for one in requests]
        if len(feeds) == 1 or not self.batched or len({self._row(feed) for feed in feeds}) > 1:
            return [self._answer(outputs, self.session.run(outputs, feed)) for feed in feeds]
        counts = [len(feed[self.inputs[0]]) for feed in feeds]
        whole = {name: np.concatenate([feed[name] for feed in feeds]) for name in self.inputs}
        results = self.session.run(outputs, whole)
        parts = [np.split(result, np.cumsum(counts)[:-1]) for result in results]
        return [self._answer(outputs, list(one)) for one in zip(*parts, strict=True)]

    def _row(self, feed: dict[str, np.ndarray]) -> tuple[tuple[int, ...], ...]:
        return tuple(feed[name].shape[1:] for name in self.inputs)

    def _answer(self, outputs: list[str], results: list[np.ndarray]) -> pb.InferenceResponse:
        tensors = [pb.Tensor(name, np.ascontiguousarray(result)) for name, result in zip(outputs, results, strict=True)]
        return pb.InferenceResponse(output_tensors=tensors)
