"""The settings of an inference node."""

import os
import socket
from enum import StrEnum
from pathlib import Path

from pydantic import Field

from inference_node.engine.registry import DEFAULT_ENGINE
from inference_node.render.limits import StreamLimits
from shared.settings import ServiceSettings

PREFIX = "VISEME_NODE_"
_LIMITS = StreamLimits()


class EngineRuntime(StrEnum):
    """Where networks run."""

    TRITON = "triton"
    LOCAL = "local"
    """In the node's own process: for machines on which no Triton runs, and only when asked for."""


class NodeSettings(ServiceSettings):
    """What a node can be told."""

    listen: str = Field("127.0.0.1:50061", description="where edges call")
    peer_ca: Path | None = Field(
        None, description="who vouches for edges, in PEM; whoever shows no certificate of an edge is refused"
    )
    metrics: str = Field("127.0.0.1:9465", description="where Prometheus scrapes /metrics")
    data: Path = Field(Path("viseme-node"), description="folder of the cache; all in it may be deleted")
    name: str = Field("", description="how the node calls itself; the machine's name where none is given")
    region: str = Field("", max_length=64, description="where this node stands")
    engine: str = Field(DEFAULT_ENGINE, description="the engine that is taken where a job names none")
    engine_runtime: EngineRuntime = Field(
        EngineRuntime.TRITON, description="where networks run: triton, or local (no Triton, in this process)"
    )

    triton_url: str = Field("", description="a Triton that runs elsewhere (HOST:PORT of its gRPC); none launches one")
    triton_environment: Path | None = Field(
        None, description="the folder made by `python -m inference_node.triton.environment`; by default .triton"
    )
    triton_config: str = Field("", description="which configs/NAME.pbtxt of the models Triton takes, such as gpu")
    triton_metrics: str = Field("", description="loopback ADDR:PORT on which the launched Triton serves its metrics")
    model_repository: Path | None = Field(None, description="the models; by default those that come with viseme")
    models: Path | None = Field(
        None, description="folder of networks of your own (viseme engines import); none by default"
    )
    models_seconds: float = Field(2.0, gt=0, le=3600, description="how often that folder is looked at")
    network_deadline_seconds: float = Field(30.0, gt=0, description="what one call of a network may take")
    recovery_seconds: float = Field(45.0, gt=0, description="how long a segment waits for a Triton that is down")

    workers: int = Field(2, ge=1, le=64, description="segments that are rendered at the same time")
    threads: int = Field(0, ge=0, description="threads that decode, find landmarks and encode; 0 for one a core")
    queue_segments: int = Field(64, ge=1, description="segments of all jobs that may wait")
    stream_segments: int = Field(
        _LIMITS.stream_segments, ge=1, description="segments of one job that may wait, be rendered or be sent"
    )
    outbox_bytes: int = Field(
        _LIMITS.outbox_bytes,
        ge=1,
        description="rendered bytes of one job that may wait to be sent before more is rendered",
    )
    max_streams: int = Field(_LIMITS.max_streams, ge=1, description="jobs that may be connected at once")
    batch_frames: int = Field(16, ge=1, le=64, description="frames that an engine gets at once")

    cache_bytes: int = Field(2 << 30, ge=1 << 10, description="crop segments and speech kept on disk")
    cache_keep_s: float = Field(
        604_800.0, ge=0, description="time after their last use after which they go; 0: when room is needed"
    )
    frames_bytes: int = Field(128 << 20, ge=1, description="decoded crop segments kept in memory")
    results_bytes: int = Field(32 << 20, ge=0, description="rendered segments kept in memory for a stream that was cut")
    max_speech_bytes: int = Field(_LIMITS.max_speech_bytes, ge=1, description="largest encoded speech")
    max_crop_bytes: int = Field(_LIMITS.max_crop_bytes, ge=1, description="largest crop segment")
    max_open_bytes: int = Field(_LIMITS.max_open_bytes, ge=1, description="crop bytes of one job that are arriving")
    max_crop_segments: int = Field(_LIMITS.max_crop_segments, ge=1, description="crop segments of one job")

    @property
    def node_name(self) -> str:
        """How the node calls itself."""
        return self.name or socket.gethostname()

    @property
    def thread_count(self) -> int:
        """Threads that decode, find landmarks and encode."""
        return self.threads or os.cpu_count() or 1

    def limits(self) -> StreamLimits:
        """What one stream may ask for."""
        return StreamLimits(
            max_speech_bytes=self.max_speech_bytes,
            max_crop_bytes=self.max_crop_bytes,
            max_crop_segments=self.max_crop_segments,
            stream_segments=self.stream_segments,
            outbox_bytes=self.outbox_bytes,
            max_streams=self.max_streams,
            max_open_bytes=self.max_open_bytes,
        )
