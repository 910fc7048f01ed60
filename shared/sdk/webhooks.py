"""Webhooks: what an edge told and tells of jobs' ends, and whether what came is from it."""

import json
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from shared.errors import InvalidInputError
from shared.pb.viseme.gateway.v1 import job_pb2
from shared.sdk import model
from shared.sdk.convert import enum_from, time_from
from shared.sdk.link import Link
from shared.webhook import ID_HEADER, SIGNATURE_HEADER, TIME_HEADER, check_secret, is_signed

_TOLERANCE_S: Final = 300.0


class WebhookState(StrEnum):
    """How far the telling of a job's end has come."""

    UNKNOWN = "unknown"
    WAITING = "waiting"
    DELIVERED = "delivered"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """A job's end that the edge tells by HTTP; ``id`` is what its receiver sees as ``webhook-id``."""

    id: str
    job_id: str
    url: str
    type: str
    """``job.succeeded``, ``job.failed`` or ``job.cancelled``."""
    state: WebhookState
    tries: int
    created: datetime
    next: datetime | None
    """When it is tried next, while it waits."""
    status: int
    """The HTTP status of the newest answer; 0 where there was none."""
    error: str
    """Why the newest try failed; empty where it did not."""


class Webhooks:
    """What an edge tells of jobs' ends by HTTP; ``Edge.webhooks`` gives it."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def list(self, *, state: WebhookState | None = None) -> AsyncIterator[Webhook]:
        """All webhooks that the edge still knows, newest first.

        Args:
            state: Only those that stand there.
        """
        wanted = job_pb2.WebhookState.Value(f"WEBHOOK_STATE_{(state or 'unspecified').upper()}")
        token = ""
        while True:
            request = job_pb2.ListWebhooksRequest(page_token=token, state=wanted)
            page = await self._link.call(self._link.jobs.ListWebhooks, request)
            for webhook in page.webhooks:
                yield _webhook_from(webhook)
            token = page.next_page_token
            if not token:
                return

    async def replay(self, webhook_id: str, *, idempotency_key: str | None = None) -> Webhook:
        """Have one delivered once more, with the same id and body.

        Args:
            webhook_id: Which.
            idempotency_key: The same key does it once; one of its own for each call by default.

        Raises:
            NotFoundError: There is none.
        """
        key = idempotency_key or uuid.uuid4().hex
        request = job_pb2.ReplayWebhookRequest(webhook_id=webhook_id, idempotency_key=key)
        answer = await self._link.call(self._link.jobs.ReplayWebhook, request)
        return _webhook_from(answer.webhook)


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookEvent:
    """A job's end, as a webhook told it.

    The same ``id`` may come more than once: it is delivered until it was surely taken.
    """

    id: str
    type: str
    """``job.succeeded``, ``job.failed`` or ``job.cancelled``."""
    job_id: str
    state: model.JobState
    data: Mapping[str, Any]
    """The job: ``result_asset_id``, ``error``, ``report`` and more."""


def verify_webhook(
    headers: Mapping[str, str], body: bytes | str, secret: str, *, tolerance_s: float = _TOLERANCE_S
) -> WebhookEvent:
    """Make sure that a webhook comes from the edge whose secret this is, and read it.

    Args:
        headers: Of the request; their names however written.
        body: Of the request, exactly as it came.
        secret: ``whsec_...``; ``viseme webhooks secret`` shows it on the edge's machine.
        tolerance_s: Seconds by which its time may differ from this machine's clock, so that an old one that somebody
            recorded is not taken.

    Raises:
        InvalidInputError: It does not; ``field`` says by which header.
    """
    known = {name.lower(): value for name, value in headers.items()}
    webhook_id, told_at, signatures = (known.get(name, "") for name in (ID_HEADER, TIME_HEADER, SIGNATURE_HEADER))
    raw = body.encode() if isinstance(body, str) else body
    if not (told_at.isascii() and told_at.isdigit() and len(told_at) < 16):
        raise InvalidInputError("the time of the webhook is missing or none", field=TIME_HEADER)
    if not is_signed(check_secret(secret, "secret"), webhook_id, int(told_at), raw, signatures):
        raise InvalidInputError("the webhook was not signed with this secret", field=SIGNATURE_HEADER)
    if abs(time.time() - int(told_at)) > tolerance_s:
        raise InvalidInputError(f"the webhook is older or newer than {tolerance_s:g} s", field=TIME_HEADER)
    try:
        told = json.loads(raw)
        data = dict(told["data"])
        kind, job_id, state = str(told["type"]), str(data["job_id"]), str(data["state"])
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidInputError("what was signed tells of no job", field="body") from error
    known_state = model.JobState(state) if state in set(model.JobState) else model.JobState.UNKNOWN
    return WebhookEvent(id=webhook_id, type=kind, job_id=job_id, state=known_state, data=data)


def _webhook_from(webhook: job_pb2.Webhook) -> Webhook:
    """Read a webhook."""
    return Webhook(
        id=webhook.webhook_id,
        job_id=webhook.job_id,
        url=webhook.url,
        type=webhook.type,
        state=enum_from(
            WebhookState,
            job_pb2.WebhookState.Name,
            "WEBHOOK_STATE_",
            webhook.state,
            WebhookState.UNKNOWN,
        ),
        tries=webhook.tries,
        created=time_from(webhook.create_time),
        next=time_from(webhook.next_time) if webhook.HasField("next_time") else None,
        status=webhook.status,
        error=webhook.error,
    )
