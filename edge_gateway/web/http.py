"""HTTP whose requests begin in time: uvicorn waits for ever for the head of one, and keeps all of it however long."""

import asyncio
from dataclasses import dataclass
from typing import ClassVar, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

ABORT: Final = "viseme.abort"
"""In a request's scope: cuts its connection at once, with what waits to be sent."""

_TOO_LONG = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadLimits:
    """What the head of a request may take."""

    bytes: int = 64 << 10
    seconds: float = 30.0


class BoundedHttp(HttpToolsProtocol):
    """A connection that is closed when the head of a request, the first or a later one, does not come."""

    limits: ClassVar[HeadLimits] = HeadLimits()

    _late: asyncio.TimerHandle | None = None
    _head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Wait for the first request."""
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing more."""
        self._end_head()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes; a head that has become too long ends the connection."""
        super().data_received(data)
        if self._late is not None:
            self._head_bytes += len(data)
            if self._head_bytes > self.limits.bytes:
                self.transport.write(_TOO_LONG)
                self.transport.close()

    def on_message_begin(self) -> None:
        """The head of a request begins."""
        self._expect_head()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head of a request is there."""
        self._end_head()
        self.scope[ABORT] = self.transport.abort  # type: ignore[typeddict-unknown-key]  # ours
        super().on_headers_complete()

    def _expect_head(self) -> None:
        if self._late is None:
            self._late = self.loop.call_later(self.limits.seconds, self.transport.close)
            self._head_bytes = 0

    def _end_head(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None
