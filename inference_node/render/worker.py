"""Those who take orders from the queue and render them."""

import asyncio
import time
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from inference_node.metrics import NodeMetrics
from inference_node.render.cache import BlobCache, BlobLostError
from inference_node.render.queue import FairQueue
from inference_node.render.segment import SegmentRenderer, SegmentResult
from inference_node.render.session import Ticket
from shared.errors import DeadlineError, EngineUnavailableError
from shared.telemetry import tracing
from shared.telemetry.logging import get_logger, of_job

_ATTEMPTS = 4
_LOG = get_logger(__name__)


class Runtime(Protocol):
    """Where networks run, as far as it can be waited for."""

    async def recovered(self, timeout_s: float) -> None:
        """Wait until networks answer again; raises EngineUnavailableError when they do not."""
        ...


class Workers:
    """Renders as many segments at a time as there are workers, so that one's decoding overlaps another's inference.

    Args:
        queue: Where orders wait.
        renderer: Who renders.
        cache: Where inputs lie; those of a segment at work are not evicted.
        runtime: Waited for when a network does not answer.
        count: How many workers.
        recovery_s: How long to wait for the runtime.
        metrics: Told how long segments waited.
    """

    def __init__(
        self,
        queue: FairQueue[Ticket],
        renderer: SegmentRenderer,
        *,
        cache: BlobCache,
        runtime: Runtime,
        count: int,
        recovery_s: float,
        metrics: NodeMetrics,
    ) -> None:
        self._queue = queue
        self._renderer = renderer
        self._cache = cache
        self._runtime = runtime
        self._count = count
        self._recovery_s = recovery_s
        self._metrics = metrics

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            for number in range(self._count):
                group.create_task(self._work(), name=f"worker {number}")

    async def _work(self) -> None:
        while True:
            ticket = await self._queue.take()
            session = ticket.owner
            task = asyncio.create_task(self._serve(ticket), name=f"render {session.spec.job_id}")
            session.working.add(task)
            try:
                # The stream may cancel the task; the worker goes on with the next.
                await asyncio.wait([task])
            finally:
                task.cancel()
                session.working.discard(task)
            if not task.cancelled() and (error := task.exception()) is not None:
                session.failed(error)

    async def _serve(self, ticket: Ticket) -> None:
        queue_s = time.monotonic() - ticket.offered_at
        session = ticket.owner
        session.started(ticket)
        job_id, segment = session.spec.job_id, ticket.task.order.segment_index
        engine = ticket.task.engine.card.name
        told: AbstractContextManager[None] = nullcontext()
        if ticket.trace:
            told = tracing.span("segment", parent=ticket.trace, job_id=job_id, segment=segment, engine=engine)
        with of_job(job_id), told:
            tracing.record("queue", queue_s)
            await self._at_work(ticket, queue_s)

    async def _at_work(self, ticket: Ticket, queue_s: float) -> None:
        session = ticket.owner
        self._metrics.waited(queue_s)
        with self._cache.pinned(ticket.task.digests, soon_over=True):
            try:
                result = await self._render(ticket)
            except BlobLostError as lost:
                _LOG.info("segment waits for its inputs again", job=session.spec.job_id, digest=lost.digest.hex())
                session.returned(ticket)
                return
        session.finished(ticket, result, queue_s=queue_s)

    async def _render(self, ticket: Ticket) -> SegmentResult:
        for attempt in range(1, _ATTEMPTS):
            try:
                return await self._renderer.render(ticket.task, lambda done: ticket.owner.progress(ticket, done))
            except (EngineUnavailableError, DeadlineError) as error:
                _LOG.warning(
                    "segment is rendered again",
                    job=ticket.owner.spec.job_id,
                    segment=ticket.task.order.segment_index,
                    attempt=attempt,
                    reason=error.reason,
                )
                await self._runtime.recovered(self._recovery_s)
        return await self._renderer.render(ticket.task, lambda done: ticket.owner.progress(ticket, done))
