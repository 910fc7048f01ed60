"""Every HTTP request measured, and part of a trace, by the site's routes."""

import time
from collections.abc import Callable
from typing import Final

from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from shared.telemetry import tracing

OnRequest = Callable[[str, str, int, float], None]
"""Told of a request that ended: its method, its route, the status, the seconds until the last byte was handed over."""

OTHER: Final = "other"
"""The route of what is none, and the method of what is none."""
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_GONE: Final = 499
"""The status of a request whose client went away before it was answered."""


class Watched:
    """A site of which every request is told.

    Args:
        site: What is watched.
        tell: Told of every request that ended.
    """

    def __init__(self, site: Starlette, tell: OnRequest) -> None:
        self._site = site
        self._tell = tell
        self._paths = {route.endpoint: route.path for route in site.routes if isinstance(route, Route)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._site(scope, receive, send)
            return
        method = scope["method"] if scope["method"] in _METHODS else OTHER
        code = _GONE
        begun = time.perf_counter()

        async def noted(message: Message) -> None:
            nonlocal code
            if message["type"] == "http.response.start":
                code = message["status"]
            await send(message)

        with tracing.span(f"HTTP {method}", kind=tracing.Kind.SERVER, parent=_traceparent(scope)):
            try:
                await self._site(scope, receive, noted)
            finally:
                # The site has noted in the scope which of its routes it took.
                route = self._paths.get(scope["endpoint"], OTHER) if "endpoint" in scope else OTHER
                self._tell(method, route, code, time.perf_counter() - begun)


def _traceparent(scope: Scope) -> str:
    wanted = tracing.TRACEPARENT.encode()
    return next((value.decode("latin-1") for name, value in scope["headers"] if name == wanted), "")
