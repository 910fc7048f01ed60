"""What can be done with webhooks: look at them, and have them delivered once more."""

import asyncio
from typing import Final

from edge_gateway.jobs.job import check_key
from edge_gateway.paging import page_size, read_token, write_token
from edge_gateway.webhooks.courier import Courier
from edge_gateway.webhooks.hosts import WebhookHosts
from edge_gateway.webhooks.outbox import Outbox
from edge_gateway.webhooks.webhook import Webhook, WebhookState
from shared.errors import DiskFullError
from shared.telemetry.logging import get_logger

_LOG = get_logger(__name__)

_SWEEP_S: Final = 3600.0


class WebhookService:
    """Webhooks as clients see them.

    Args:
        outbox: Where they are written down.
        hosts: Where they may go.
        courier: Delivers them.
        keep_s: Seconds for which those stay that wait no more.
    """

    def __init__(self, outbox: Outbox, hosts: WebhookHosts, courier: Courier, *, keep_s: float) -> None:
        self._outbox = outbox
        self._hosts = hosts
        self._courier = courier
        self._keep_s = keep_s

    def check(self, url: str) -> None:
        """Refuse a URL to which nothing may go.

        Raises:
            InvalidInputError: it is none, or the operator did not allow its host.
            LimitExceededError: it is too long.
        """
        self._hosts.check(url)

    async def page(self, size: int, token: str, state: WebhookState | None) -> tuple[list[Webhook], str]:
        """Webhooks from the newest, and the token of the next page.

        Raises:
            InvalidInputError: the token is none.
            LimitExceededError: the page is too long.
        """
        count = page_size(size)
        found = await self._outbox.page(count=count + 1, before=read_token(token), state=state)
        more = len(found) > count
        return found[:count], write_token(found[count - 1].number) if more else ""

    async def replay(self, webhook_id: str, key: str) -> Webhook:
        """Deliver one once more, with the same id and body; the same key does it once.

        Raises:
            NotFoundError: there is none of this id.
            LimitExceededError: the key is too long.
        """
        webhook = await self._outbox.replay(webhook_id, check_key(key))
        self._courier.wake()
        return webhook

    async def keep_swept(self) -> None:
        """Strike out what is old until cancelled."""
        while True:
            try:
                await self._outbox.sweep(round(self._keep_s * 1e6))
            except DiskFullError as error:
                _LOG.error("old webhooks cannot be struck out", error=error.message)
            await asyncio.sleep(_SWEEP_S)
