"""Prometheus: a registry of its own for each process, the stage histogram, calls, and the page that is scraped."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    start_http_server,
)

from shared.errors import ConflictError
from shared.rpc.address import Address

STAGE_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
"""Seconds, from 5 ms to 10 min."""

CALL_BUCKETS: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 600.0)
"""Seconds of one call; streams last long."""


def new_registry() -> CollectorRegistry:
    """A registry with the figures of this process (memory, CPU, descriptors, garbage collection)."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


def stage_histogram(registry: CollectorRegistry, name: str, words: str, *, labels: tuple[str, ...] = ()) -> Histogram:
    """A histogram of seconds a stage was at work, with buckets from 5 ms to 10 min."""
    return Histogram(name, words, labelnames=labels, buckets=STAGE_BUCKETS, registry=registry)


class CallMetrics:
    """Counts and times gRPC calls; give it to ``RpcServer(observe=...)``."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._seconds = Histogram(
            "viseme_rpc_seconds", "Time of gRPC calls.", ("method",), buckets=CALL_BUCKETS, registry=registry
        )
        self._calls = Counter("viseme_rpc_calls", "gRPC calls that ended.", ("method", "code"), registry=registry)

    def __call__(self, method: str, code: str, seconds: float) -> None:
        """Take note of one call."""
        self._seconds.labels(method).observe(seconds)
        self._calls.labels(method, code).inc()


@contextmanager
def serve_metrics(registry: CollectorRegistry, listen: Address) -> Iterator[Address]:
    """Serve ``/metrics`` from a thread inside the block; gives the address with the real port.

    Raises:
        ConflictError: The address cannot be listened on.
    """
    try:
        server, thread = start_http_server(listen.port, addr=listen.host, registry=registry)
    except OSError as error:
        raise ConflictError(f"cannot listen on {listen}: {error.strerror}", field="metrics") from error
    try:
        yield Address(host=listen.host, port=server.server_port)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
