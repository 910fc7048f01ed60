"""The node's figures for Prometheus, labelled by node, region and engine, never by job."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from inference_node.triton.watchdog import TritonState
from shared.telemetry import tracing
from shared.telemetry.metrics import CALL_BUCKETS, Bounded, disk_gauges, exemplar_of, stage_histogram

Level = Callable[[], float]


class NodeMetrics:
    """Everything that the node counts.

    Args:
        registry: Where the figures are registered.
        node: The node's name.
        region: Where it stands.
    """

    def __init__(self, registry: CollectorRegistry, *, node: str, region: str = "") -> None:
        self.here = {"node": node, "region": region}
        """Labels of every figure."""
        self._registry = registry
        self._engine_of = Bounded()
        self._model_of = Bounded()
        self._what_of = Bounded()
        by_node = tuple(self.here)
        by_engine = (*by_node, "engine")
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
            (*by_node, "model"),
            buckets=CALL_BUCKETS,
            registry=registry,
        )
        self._bytes = Counter("viseme_node_bytes", "Bytes of media.", (*by_node, "direction"), registry=registry)
        self._reloads = Counter(
            "viseme_node_triton_reloads",
            "Networks, or all of Triton, brought back.",
            (*by_node, "what"),
            registry=registry,
        )
        self._state = Gauge(
            "viseme_node_triton_state", "1 for the state of Triton.", (*by_node, "state"), registry=registry
        )
        self._queued = Gauge("viseme_node_queue_depth", "Segments that wait.", by_node, registry=registry)
        self._jobs = Gauge("viseme_node_jobs", "Render streams open.", by_node, registry=registry)
        self._cache = Gauge("viseme_node_cache_bytes", "Bytes in the cache on disk.", by_node, registry=registry)
        self.watched("server")
        for direction in ("in", "out"):
            self._bytes.labels(*self.here.values(), direction)

    def sample(self, *, queued: Level, jobs: Level, cache_bytes: Level) -> None:
        """Have levels read whenever the page is scraped."""
        self._queued.labels(*self.here.values()).set_function(queued)
        self._jobs.labels(*self.here.values()).set_function(jobs)
        self._cache.labels(*self.here.values()).set_function(cache_bytes)

    def sample_disk(self, *, free_bytes: Level, size_bytes: Level) -> None:
        """Have the disk looked at whenever the page is scraped."""
        disk_gauges(self._registry, "viseme_node", self.here, free_bytes=free_bytes, size_bytes=size_bytes)

    def rendered(self, *, engine: str, frames: int) -> None:
        """A segment was rendered."""
        self._segments.labels(*self.here.values(), self._engine_of(engine)).inc()
        self._frames.labels(*self.here.values(), self._engine_of(engine)).inc(frames)

    def waited(self, seconds: float) -> None:
        """A segment's turn came."""
        self._waits.labels(*self.here.values()).observe(seconds, exemplar_of(tracing.trace_id()))

    @contextmanager
    def step(self, name: str, *, engine: str) -> Iterator[None]:
        """Time one step."""
        begun = time.perf_counter()
        try:
            with tracing.part(name, engine=engine):
                yield
        finally:
            self._steps.labels(*self.here.values(), self._engine_of(engine), name).observe(
                time.perf_counter() - begun, exemplar_of(tracing.trace_id())
            )

    def called(self, model: str, seconds: float) -> None:
        """A network answered."""
        self._calls.labels(*self.here.values(), self._model_of(model)).observe(seconds, exemplar_of(tracing.trace_id()))

    def received(self, size: int) -> None:
        """Media came from an edge."""
        self._bytes.labels(*self.here.values(), "in").inc(size)

    def sent(self, size: int) -> None:
        """Media went to an edge."""
        self._bytes.labels(*self.here.values(), "out").inc(size)

    def watched(self, *names: str) -> None:
        """These may have to be brought back: their counters begin at 0, so that the first time is seen as a rise."""
        for name in names:
            self._reloads.labels(*self.here.values(), self._what_of(name))

    def reloaded(self, what: str) -> None:
        """A network, or the whole server, was brought back."""
        self._reloads.labels(*self.here.values(), self._what_of(what)).inc()

    def triton(self, state: TritonState) -> None:
        """Triton's state became another."""
        for one in TritonState:
            self._state.labels(*self.here.values(), one.name.lower()).set(one is state)
