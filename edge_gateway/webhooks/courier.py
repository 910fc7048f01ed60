"""Delivers webhooks: a few at once, again and again with longer waits, until they are taken or too old."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from edge_gateway.webhooks.hosts import Target, WebhookHosts
from edge_gateway.webhooks.outbox import Outbox
from edge_gateway.webhooks.post import Answer
from edge_gateway.webhooks.webhook import Webhook, WebhookState, host_of
from shared.errors import DiskFullError, InvalidInputError, VisemeError
from shared.telemetry.logging import get_logger
from shared.version import version
from shared.webhook import ID_HEADER, SIGNATURE_HEADER, TIME_HEADER, sign

_LOG = get_logger(__name__)

_FIRST_S: Final = 5.0
_LONGEST_S: Final = 3600.0
_PER_HOST: Final = 2
"""Tries under way to one host: one that hangs must not hold up the others."""
_LOOK_S: Final = 60.0
"""The clock may be set: nothing is waited for longer than this without a look at it."""
_DISK_PAUSE_S: Final = 5.0
_GONE: Final = 410
_TAKEN: Final = range(200, 300)
_ELSEWHERE: Final = range(300, 400)


class Post(Protocol):
    """Posts once; see :class:`edge_gateway.webhooks.post.Poster`."""

    def __call__(self, target: Target, headers: Mapping[str, str], body: bytes, /) -> Awaitable[Answer]:
        """Gives the answer."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CourierLimits:
    """How long and how much."""

    at_once: int
    """Tries under way."""
    patience_s: float
    """Seconds after which one that nobody takes is given up."""


class Courier:
    """Delivers.

    Args:
        outbox: What waits.
        hosts: Where it may go.
        secrets: What it is signed with; with several, a receiver that knows one of them takes it.
        post: Posts once.
        limits: How long and how much.
        clock_us: Microseconds since 1970.
        jitter: Random numbers from 0 to 1.
        on_try: Told the state in which each try left its webhook.
    """

    def __init__(
        self,
        outbox: Outbox,
        hosts: WebhookHosts,
        secrets: Sequence[str],
        post: Post,
        *,
        limits: CourierLimits,
        clock_us: Callable[[], int] = lambda: time.time_ns() // 1000,
        jitter: Callable[[], float] = random.random,
        on_try: Callable[[WebhookState], None] = lambda _: None,
    ) -> None:
        self._outbox = outbox
        self._hosts = hosts
        self._secrets = tuple(secrets)
        self._post = post
        self._limits = limits
        self._clock_us = clock_us
        self._jitter = jitter
        self._on_try = on_try
        self._busy: dict[str, str] = {}
        self._news = asyncio.Event()

    def wake(self) -> None:
        """There is something new to deliver."""
        self._news.set()

    async def run(self) -> None:
        """Deliver until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                self._news.clear()
                pause = await self._start_due(tasks)
                try:
                    async with asyncio.timeout(pause):
                        await self._news.wait()
                except TimeoutError:
                    continue

    async def _start_due(self, tasks: asyncio.TaskGroup) -> float:
        """Begin what is due; gives the seconds until the next."""
        while len(self._busy) < self._limits.at_once:
            hosts = Counter(self._busy.values())
            full = [host for host, count in hosts.items() if count >= _PER_HOST]
            webhook = await self._outbox.next(busy=self._busy.keys(), without_hosts=full)
            if webhook is None:
                break
            early_s = (webhook.next_us - self._clock_us()) / 1e6
            if early_s > 0:
                return min(early_s, _LOOK_S)
            self._busy[webhook.webhook_id] = host_of(webhook.url)
            tasks.create_task(self._deliver(webhook))
        return _LOOK_S

    async def _deliver(self, webhook: Webhook) -> None:
        try:
            await self._try(webhook)
        finally:
            del self._busy[webhook.webhook_id]
            self.wake()

    async def _try(self, webhook: Webhook) -> None:
        status, error, after_s = 0, "", None
        is_over = False
        try:
            target = self._hosts.check(webhook.url)
            body = webhook.body.encode()
            answer = await self._post(target, self._headers(webhook, body), body)
            status, after_s = answer.status, answer.retry_after_s
        except InvalidInputError as refused:
            # The operator's settings are others by now.
            error, is_over = refused.message, True
        except VisemeError as failed:
            error = failed.message
        if status in _TAKEN:
            await self._note(webhook, WebhookState.DELIVERED, status=status)
            return
        if status:
            words = "; redirects are not followed" if status in _ELSEWHERE else ""
            error, is_over = f"answered with status {status}{words}", status == _GONE
        now = self._clock_us()
        next_us = now + round(self._delay_s(webhook.tries, after_s) * 1e6)
        if is_over or next_us - webhook.since_us > self._limits.patience_s * 1e6:
            _LOG.warning("webhook given up", webhook_id=webhook.webhook_id, job_id=webhook.job_id, error=error)
            await self._note(webhook, WebhookState.FAILED, status=status, error=error)
        else:
            await self._note(webhook, WebhookState.WAITING, status=status, error=error, next_us=next_us)

    def _headers(self, webhook: Webhook, body: bytes) -> dict[str, str]:
        now = self._clock_us() // 1_000_000
        signatures = " ".join(sign(secret, webhook.webhook_id, now, body) for secret in self._secrets)
        return {
            "User-Agent": f"viseme/{version()}",
            "Content-Type": "application/json",
            ID_HEADER: webhook.webhook_id,
            TIME_HEADER: str(now),
            SIGNATURE_HEADER: signatures,
        }

    def _delay_s(self, tries: int, after_s: float | None) -> float:
        delay = min(_LONGEST_S, _FIRST_S * 2.0 ** min(tries, 30)) * (0.5 + 0.5 * self._jitter())
        return delay if after_s is None else min(_LONGEST_S, max(delay, after_s))

    async def _note(
        self, webhook: Webhook, state: WebhookState, *, status: int, error: str = "", next_us: int = 0
    ) -> None:
        while True:
            try:
                await self._outbox.note(webhook, state, status=status, error=error, next_us=next_us)
            except DiskFullError:
                _LOG.error("the disk is full; a webhook cannot be written down yet", webhook_id=webhook.webhook_id)
                await asyncio.sleep(_DISK_PAUSE_S)
            else:
                self._on_try(state)
                return
