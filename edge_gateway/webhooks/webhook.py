"""What a webhook is: one job's end, to be told to one URL until somebody there takes it."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any
from urllib.parse import urlsplit

from edge_gateway.jobs.job import Job, JobReport


class WebhookState(Enum):
    """How far the telling has come."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """One job's end for one URL."""

    number: int
    """Grows with every webhook."""
    webhook_id: str
    job_id: str
    url: str
    type: str
    """``job.succeeded``, ``job.failed`` or ``job.cancelled``."""
    body: str
    """What is sent, the same at every try."""
    state: WebhookState
    tries: int
    created_us: int
    next_us: int
    """When it is tried next, while it waits."""
    since_us: int
    """When it began to wait: at the job's end, or at its last replay."""
    status: int = 0
    """The HTTP status of the newest answer; 0 where there was none."""
    error: str = ""
    """Why the newest try failed."""


def host_of(url: str) -> str:
    """The host in a webhook's URL."""
    return (urlsplit(url).hostname or "").lower()


def type_of(job: Job) -> str:
    """What is told of a job that has ended."""
    return f"job.{job.state.value}"


def body_of(job: Job) -> str:
    """The body: the job as it has ended."""
    data = {
        "job_id": job.job_id,
        "state": job.state.value,
        "video_asset_id": job.video_asset_id,
        "speech_asset_id": job.speech_asset_id,
        "background_asset_id": job.background_asset_id,
        "result_asset_id": job.result_asset_id,
        "create_time": _time(job.created_us),
        "update_time": _time(job.updated_us),
        "error": job.error
        and {
            "reason": job.error.reason,
            "field": job.error.field,
            "message": job.error.message,
            "limit": job.error.limit,
        },
        "report": job.report and _report(job.report),
    }
    told = {"type": type_of(job), "timestamp": _time(job.updated_us), "data": data}
    return json.dumps(told, ensure_ascii=False, separators=(",", ":"))


def _report(report: JobReport) -> dict[str, Any]:
    sync = report.sync
    return {
        "frames": report.frames,
        "frame_rate": report.frame_rate,
        "total_s": report.total_s,
        "engine": report.engine,
        "untouched_frames": report.untouched_frames,
        "sync": None if sync is None else {"score": sync.score, "lag_ms": sync.lag_ms},
    }


def _time(micros: int) -> str:
    return datetime.fromtimestamp(micros / 1e6, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
