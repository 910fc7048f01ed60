"""The edge's figures for Prometheus; labelled by edge and engine, never by job."""

from collections.abc import Mapping
from functools import partial
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge

from edge_gateway.jobs.job import Change, JobReport, JobState
from shared.telemetry.metrics import stage_histogram

_LINKS: Final = ("client", "node")


class EdgeMetrics:
    """Counters, gauges and histograms of one edge.

    Args:
        registry: Where they are scraped from.
        edge: The edge's name.
    """

    def __init__(self, registry: CollectorRegistry, edge: str) -> None:
        self._edge = edge
        self._jobs = Gauge("viseme_edge_jobs", "Jobs by state.", ("edge", "state"), registry=registry)
        self._ended = Counter(
            "viseme_edge_jobs_ended",
            "Jobs that ended, by state and reason.",
            ("edge", "state", "reason"),
            registry=registry,
        )
        self._queue = Gauge("viseme_edge_queue_depth", "Jobs that wait for their turn.", ("edge",), registry=registry)
        self._node_up = Gauge("viseme_edge_node_up", "1 while the node answers.", ("edge",), registry=registry)
        self._stages = stage_histogram(
            registry, "viseme_edge_stage_seconds", "Time of a job's stages at work.", labels=("edge", "engine", "stage")
        )
        self._totals = stage_histogram(
            registry, "viseme_edge_job_seconds", "Time of whole jobs.", labels=("edge", "engine")
        )
        self._frames = Counter("viseme_edge_frames", "Frames of results.", ("edge", "engine"), registry=registry)
        bytes_by_link = Counter(
            "viseme_edge_link_bytes",
            "Bytes over a link: up is towards the node, down towards the client.",
            ("edge", "link", "direction"),
            registry=registry,
        )
        self._links = {
            (link, direction): bytes_by_link.labels(edge, link, direction)
            for link in _LINKS
            for direction in ("up", "down")
        }
        self.client_up = partial(self._count, "client", "up")
        self.client_down = partial(self._count, "client", "down")
        self.node_up = partial(self._count, "node", "up")
        self.node_down = partial(self._count, "node", "down")

    def ended(self, change: Change) -> None:
        """A job ended."""
        self._ended.labels(self._edge, change.state.value, change.error.reason if change.error else "").inc()

    def reported(self, report: JobReport) -> None:
        """A job succeeded."""
        for stage, seconds in report.stages.items():
            self._stages.labels(self._edge, report.engine, stage.value).observe(seconds)
        self._totals.labels(self._edge, report.engine).observe(report.total_s)
        self._frames.labels(self._edge, report.engine).inc(report.frames)

    def counted(self, jobs: Mapping[JobState, int], *, node_up: bool) -> None:
        """How many jobs stand where, and whether the node answers."""
        for state in JobState:
            self._jobs.labels(self._edge, state.value).set(jobs.get(state, 0))
        self._queue.labels(self._edge).set(jobs.get(JobState.QUEUED, 0))
        self._node_up.labels(self._edge).set(node_up)

    def _count(self, link: str, direction: str, count: int) -> None:
        self._links[link, direction].inc(count)
