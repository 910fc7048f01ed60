"""The node's figures for Prometheus, labelled by engine and node, never by job."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from inference_node.triton.watchdog import TritonState
from shared.telemetry.metrics import CALL_BUCKETS, stage_histogram

Level = Callable[[], float]


class NodeMetrics:
    """Everything that the node counts.

    Args:
        registry: Where the figures are registered.
        node: The node's name.
    """

    def __init__(self, registry: CollectorRegistry, *, node: str) -> None:
        self._node = node
        by_node, by_engine = ("node",), ("node", "engine")
        self._frames = Counter("viseme_node_frames_rendered", "Frames rendered.", by_engine, registry=registry)
        self._segments = Counter("viseme_node_segments_rendered", "Segments rendered.", by_engine, registry=registry)
        self._steps = stage_histogram(
            registry, "viseme_node_step_seconds", "Seconds of one step of a segment.", labels=(*by_engine, "step")
        )
        self._waits = stage_histogram(
            registry, "viseme_node_queue_seconds", "Seconds that a segment waited in the queue.", labels=by_node
        )
        self._calls = Histogram(
            "viseme_node_network_seconds",
            "Seconds of one call of a network.",
            ("node", "model"),
            buckets=CALL_BUCKETS,
            registry=registry,
        )
        self._bytes = Counter("viseme_node_bytes", "Bytes of media.", ("node", "direction"), registry=registry)
        self._reloads = Counter(
            "viseme_node_triton_reloads",
            "Networks, or all of Triton, brought back.",
            ("node", "what"),
            registry=registry,
        )
        self._state = Gauge(
            "viseme_node_triton_state", "1 for the state of Triton.", ("node", "state"), registry=registry
        )
        self._queued = Gauge("viseme_node_queue_depth", "Segments that wait.", by_node, registry=registry)
        self._jobs = Gauge("viseme_node_jobs", "Render streams open.", by_node, registry=registry)
        self._cache = Gauge("viseme_node_cache_bytes", "Bytes in the cache on disk.", by_node, registry=registry)
        for direction in ("in", "out"):
            self._bytes.labels(node, direction)

    def sample(self, *, queued: Level, jobs: Level, cache_bytes: Level) -> None:
        """Have levels read whenever the page is scraped."""
        self._queued.labels(self._node).set_function(queued)
        self._jobs.labels(self._node).set_function(jobs)
        self._cache.labels(self._node).set_function(cache_bytes)

    def rendered(self, *, engine: str, frames: int) -> None:
        """A segment was rendered."""
        self._segments.labels(self._node, engine).inc()
        self._frames.labels(self._node, engine).inc(frames)

    def waited(self, seconds: float) -> None:
        """A segment's turn came."""
        self._waits.labels(self._node).observe(seconds)

    @contextmanager
    def step(self, name: str, *, engine: str) -> Iterator[None]:
        """Time one step."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            self._steps.labels(self._node, engine, name).observe(time.perf_counter() - begun)

    def called(self, model: str, seconds: float) -> None:
        """A network answered."""
        self._calls.labels(self._node, model).observe(seconds)

    def received(self, size: int) -> None:
        """Media came from an edge."""
        self._bytes.labels(self._node, "in").inc(size)

    def sent(self, size: int) -> None:
        """Media went to an edge."""
        self._bytes.labels(self._node, "out").inc(size)

    def reloaded(self, what: str) -> None:
        """A network, or the whole server, was brought back."""
        self._reloads.labels(self._node, what).inc()

    def triton(self, state: TritonState) -> None:
        """Triton's state became another."""
        for one in TritonState:
            self._state.labels(self._node, one.name.lower()).set(one is state)
