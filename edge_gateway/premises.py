"""What all tenants of an edge share: its disk, its sandbox, its nodes, and how many jobs run at once."""

import asyncio
import shutil
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from edge_gateway.bounds import child_settings, media_limits
from edge_gateway.jobs.children import PRELOAD, Children
from edge_gateway.jobs.lanes import Lanes
from edge_gateway.metrics import EdgeMetrics
from edge_gateway.node_pool import NodePool
from edge_gateway.provenance.marks import Marks
from edge_gateway.provenance.setting import marks_of
from edge_gateway.settings import EdgeSettings
from edge_gateway.watermark import Watermark
from shared.lock import locked
from shared.media.sandbox import Sandbox
from shared.media.walls import check_walls


@dataclass(frozen=True, slots=True, kw_only=True)
class Premises:
    """What they share."""

    settings: EdgeSettings
    node: NodePool
    metrics: EdgeMetrics
    children: Children
    marks: Marks
    watermark: Watermark
    lanes: Lanes


async def open_premises(
    stack: AsyncExitStack, settings: EdgeSettings, node: NodePool, metrics: EdgeMetrics
) -> Premises:
    """Make what all tenants share; what must be closed at the end goes onto the stack.

    Raises:
        ConflictError: another edge has the data folder.
        InvalidInputError: the settings ask for what this machine has not.
    """
    data: Path = settings.data.resolve()
    # A second edge on the same folder would put the jobs that run back to the queue, and drop their files.
    stack.enter_context(locked(data))
    marks = await asyncio.to_thread(marks_of, settings, data / "signing")
    if marks.certificate is not None:
        metrics.signs_until(marks.certificate.ends)
    watermark = _watermark(settings, data, metrics)
    walls = settings.sandbox == "walls"
    if walls:
        check_walls()
    sandbox = await stack.enter_async_context(Sandbox(preload=PRELOAD, walls=walls))
    return Premises(
        settings=settings,
        node=node,
        metrics=metrics,
        children=Children(sandbox, child_settings(settings, media_limits(settings))),
        marks=marks,
        watermark=watermark,
        lanes=Lanes(settings.jobs_at_once),
    )


def _watermark(settings: EdgeSettings, data: Path, metrics: EdgeMetrics) -> Watermark:
    metrics.sample(free_bytes=lambda: shutil.disk_usage(data).free, size_bytes=lambda: shutil.disk_usage(data).total)
    watermark = Watermark(data, settings.disk_watermark, settings.disk_watermark_bytes)
    metrics.sample_watermark(lambda: watermark.mark_bytes)
    return watermark
