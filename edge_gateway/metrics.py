"""The edge's figures for Prometheus; labelled by edge, region and engine, never by job."""

import math
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from edge_gateway.assets.outcome import Outcome
from edge_gateway.jobs.job import Change, Job, JobReport, JobState
from edge_gateway.webhooks.webhook import WebhookState
from shared.telemetry import tracing
from shared.telemetry.metrics import CALL_BUCKETS, STAGE_BUCKETS, Bounded, disk_gauges, exemplar_of

_LINKS: Final = ("client", "node")
_ROUND_TRIP_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.5, 5.0)
"""Seconds, from the same rack to a satellite."""


class EdgeMetrics:
    """Counters, gauges and histograms of one edge.

    Args:
        registry: Where they are scraped from.
        edge: The edge's name.
        region: Where it stands.
    """

    def __init__(self, registry: CollectorRegistry, edge: str, region: str = "") -> None:
        self.here = {"edge": edge, "region": region}
        """Labels of every figure."""
        self._registry = registry
        self._engine_of = Bounded()
        self._reason_of = Bounded()
        self._jobs = self._gauge("viseme_edge_jobs", "Jobs by state.", "state")
        self._ended = self._counter("viseme_edge_jobs_ended", "Jobs that ended, and why.", "state", "reason")
        self._queue = self._gauge("viseme_edge_queue_depth", "Jobs that wait for their turn.")
        self._age = self._gauge("viseme_edge_queue_age_seconds", "How long the oldest of them has waited.")
        self._node_up = self._gauge("viseme_edge_node_up", "1 while a node answers.")
        self._nodes = self._gauge("viseme_edge_nodes", "The edge's nodes, by whether they get new work.", "state")
        self._rate = self._gauge(
            "viseme_edge_node_bits_per_second", "What the link to the node carries, where that was measured."
        )
        self._webhooks = self._counter(
            "viseme_edge_webhook_tries", "Tries to deliver a webhook, by the state that it left it in.", "state"
        )
        self._round_trips = self._histogram(
            "viseme_edge_node_round_trip_seconds", "A question to the node and its answer.", buckets=_ROUND_TRIP_BUCKETS
        )
        self._stages = self._histogram("viseme_edge_stage_seconds", "Time of jobs' stages at work.", "engine", "stage")
        self._totals = self._histogram("viseme_edge_job_seconds", "Time of whole jobs.", "engine")
        self._first = self._histogram(
            "viseme_edge_first_progress_seconds", "From a job's acceptance to the first progress that is told of it."
        )
        self._certificate_ends = self._gauge(
            "viseme_edge_certificate_ends_seconds",
            "When the certificate that results are signed by runs out, in seconds since 1970.",
        )
        self._uploads = self._counter("viseme_edge_uploads", "Uploads that ended, by outcome.", "outcome")
        self._upload_seconds = self._histogram("viseme_edge_upload_seconds", "Time of uploads that became complete.")
        self._frames = self._counter("viseme_edge_frames", "Frames of results.", "engine")
        self._refused = self._counter("viseme_edge_callers_refused", "Calls that were refused at the door.", "reason")
        self._requests = self._counter("viseme_http_requests", "HTTP requests that ended.", "method", "route", "code")
        self._request_seconds = self._histogram(
            "viseme_http_seconds", "Time of HTTP requests.", "method", "route", buckets=CALL_BUCKETS
        )
        self._gone = self._counter("viseme_edge_let_go", "Things that had been kept for long enough, by kind.", "kind")
        self._gone_bytes = self._counter("viseme_edge_let_go_bytes", "Bytes of files among them.", "kind")
        bytes_by_link = self._counter(
            "viseme_edge_link_bytes",
            "Bytes over a link: up is towards the node, down towards the client.",
            "link",
            "direction",
        )
        self._links = {
            (link, direction): bytes_by_link.labels(*self.here.values(), link, direction)
            for link in _LINKS
            for direction in ("up", "down")
        }
        self.client_up = partial(self._count, "client", "up")
        self.client_down = partial(self._count, "client", "down")
        self.node_up = partial(self._count, "node", "up")
        self.node_down = partial(self._count, "node", "down")
        for outcome in Outcome:
            self._uploads.labels(*self.here.values(), outcome.value)

    def sample(self, *, free_bytes: Callable[[], float], size_bytes: Callable[[], float]) -> None:
        """Have the disk looked at whenever the page is scraped."""
        disk_gauges(self._registry, "viseme_edge", self.here, free_bytes=free_bytes, size_bytes=size_bytes)

    def sample_watermark(self, mark_bytes: Callable[[], float]) -> None:
        """Tell below how much free room nothing new is taken."""
        mark = self._gauge("viseme_edge_disk_watermark_bytes", "Free room below which no new work is taken.")
        mark.labels(*self.here.values()).set_function(mark_bytes)

    def webhook_tried(self, state: WebhookState) -> None:
        """A webhook was tried and stands so since."""
        self._webhooks.labels(*self.here.values(), state.value).inc()

    def refused(self, reason: str) -> None:
        """Somebody was not let in, or might not do what they asked."""
        self._refused.labels(*self.here.values(), self._reason_of(reason)).inc()

    def ended(self, change: Change) -> None:
        """A job ended."""
        reason = self._reason_of(change.error.reason) if change.error else ""
        self._ended.labels(*self.here.values(), change.state.value, reason).inc()

    def reported(self, report: JobReport) -> None:
        """A job succeeded."""
        engine, exemplar = self._engine_of(report.engine), exemplar_of(tracing.trace_id())
        for stage, seconds in report.stages.items():
            self._stages.labels(*self.here.values(), engine, stage.value).observe(seconds, exemplar)
        self._totals.labels(*self.here.values(), engine).observe(report.total_s, exemplar)
        self._frames.labels(*self.here.values(), engine).inc(report.frames)

    def progressed(self, job: Job) -> None:
        """The first progress of a job is told."""
        seconds = max(0.0, time.time() - job.created_us / 1e6)
        self._first.labels(*self.here.values()).observe(seconds, exemplar_of(tracing.trace_id()))

    def uploaded(self, outcome: Outcome, seconds: float) -> None:
        """An upload ended."""
        self._uploads.labels(*self.here.values(), outcome.value).inc()
        if outcome is Outcome.COMPLETE:
            self._upload_seconds.labels(*self.here.values()).observe(seconds, exemplar_of(tracing.trace_id()))

    def requested(self, method: str, route: str, code: int, seconds: float) -> None:
        """An HTTP request ended; the route is one of the site's, never what was asked for."""
        self._requests.labels(*self.here.values(), method, route, str(code)).inc()
        self._request_seconds.labels(*self.here.values(), method, route).observe(
            seconds, exemplar_of(tracing.trace_id())
        )

    def let_go(self, kind: str, size_bytes: int) -> None:
        """Something had been kept for long enough."""
        self._gone.labels(*self.here.values(), kind).inc()
        self._gone_bytes.labels(*self.here.values(), kind).inc(size_bytes)

    def answered(self, seconds: float) -> None:
        """The node answered a question."""
        self._round_trips.labels(*self.here.values()).observe(seconds)

    def counted(
        self,
        jobs: Mapping[JobState, int],
        *,
        node_up: bool,
        nodes: Mapping[str, int],
        queue_age_s: float,
        bits_s: float | None,
    ) -> None:
        """How many jobs stand where, how many nodes stand how, and how the link to them is."""
        for state in JobState:
            self._jobs.labels(*self.here.values(), state.value).set(jobs.get(state, 0))
        self._queue.labels(*self.here.values()).set(jobs.get(JobState.QUEUED, 0))
        self._age.labels(*self.here.values()).set(queue_age_s)
        self._node_up.labels(*self.here.values()).set(node_up)
        for standing, count in nodes.items():
            self._nodes.labels(*self.here.values(), standing).set(count)
        self._rate.labels(*self.here.values()).set(math.nan if bits_s is None else bits_s)

    def signs_until(self, ends: datetime) -> None:
        """By which certificate results are signed."""
        self._certificate_ends.labels(*self.here.values()).set(ends.timestamp())

    def _count(self, link: str, direction: str, count: int) -> None:
        self._links[link, direction].inc(count)

    def _counter(self, name: str, words: str, *labels: str) -> Counter:
        return Counter(name, words, (*self.here, *labels), registry=self._registry)

    def _gauge(self, name: str, words: str, *labels: str) -> Gauge:
        return Gauge(name, words, (*self.here, *labels), registry=self._registry)

    def _histogram(self, name: str, words: str, *labels: str, buckets: tuple[float, ...] = STAGE_BUCKETS) -> Histogram:
        return Histogram(name, words, (*self.here, *labels), buckets=buckets, registry=self._registry)
