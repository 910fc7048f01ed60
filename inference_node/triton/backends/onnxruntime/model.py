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

ROWS = 8
"""Run at once. The painting network makes 72 frames/s on one thread with 1 to 8 of them, 62 with 16 and 50 with 64."""


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
        """Run the requests, each by itself: what a larger batch spares a processor it loses to its caches."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: pb.InferenceRequest) -> pb.InferenceResponse:
        wanted = set(request.requested_output_names())
        outputs = [name for name in self.outputs if name in wanted]
        feed = {name: pb.get_input_tensor_by_name(request, name).as_numpy() for name in self.inputs}
        rows = len(feed[self.inputs[0]]) if self.batched else 0
        if rows <= ROWS:
            results = self.session.run(outputs, feed)
        else:
            parts = [
                self.session.run(outputs, {name: value[row : row + ROWS] for name, value in feed.items()})
                for row in range(0, rows, ROWS)
            ]
            results = [np.concatenate(part) for part in zip(*parts, strict=True)]
        tensors = [pb.Tensor(name, np.ascontiguousarray(result)) for name, result in zip(outputs, results, strict=True)]
        return pb.InferenceResponse(output_tensors=tensors)
