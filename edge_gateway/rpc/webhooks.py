"""Between webhooks on the wire and the edge's own words."""

from typing import Final

from edge_gateway.rpc.convert import timestamp
from edge_gateway.webhooks.webhook import Webhook, WebhookState
from shared.errors import InvalidInputError
from shared.pb.viseme.gateway.v1 import job_pb2 as pb

_STATES: Final = {
    WebhookState.WAITING: pb.WEBHOOK_STATE_WAITING,
    WebhookState.DELIVERED: pb.WEBHOOK_STATE_DELIVERED,
    WebhookState.FAILED: pb.WEBHOOK_STATE_FAILED,
}


def state(value: int) -> WebhookState | None:
    """The state that is asked for; None for all.

    Raises:
        InvalidInputError: there is no such state.
    """
    if value == pb.WEBHOOK_STATE_UNSPECIFIED:
        return None
    for known, number in _STATES.items():
        if number == value:
            return known
    raise InvalidInputError("there is no such state", field="state")


def webhook(value: Webhook) -> pb.Webhook:
    """A webhook."""
    waits = value.state is WebhookState.WAITING
    return pb.Webhook(
        webhook_id=value.webhook_id,
        job_id=value.job_id,
        url=value.url,
        type=value.type,
        state=_STATES[value.state],
        tries=value.tries,
        create_time=timestamp(value.created_us),
        next_time=timestamp(value.next_us) if waits else None,
        status=value.status,
        error=value.error,
    )
