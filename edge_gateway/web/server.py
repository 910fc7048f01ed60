"""uvicorn in the edge's own event loop."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from starlette.types import ASGIApp

from edge_gateway.web.http import BoundedHttp, HeadLimits
from shared.errors import ConflictError
from shared.rpc.address import Address

_BACKLOG = 2048


class _Server(uvicorn.Server):
    """Leaves signals to the program."""

    def install_signal_handlers(self) -> None:
        return


@asynccontextmanager
async def serve_web(
    app: ASGIApp, listen: Address, *, grace_s: float, head: HeadLimits | None = None
) -> AsyncIterator[Address]:
    """Serve an application inside the block; gives the address with the real port.

    Args:
        app: What is served.
        listen: Where.
        grace_s: Seconds that requests get at the end.
        head: What the head of a request may take.

    Raises:
        ConflictError: the address cannot be listened on.
    """
    family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
    with socket.socket(family) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((listen.host, listen.port))
            listening.listen(_BACKLOG)
        except OSError as error:
            raise ConflictError(f"cannot listen on {listen}: {error.strerror}", field="web") from error
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=max(1, round(grace_s)),
            http=type("_Http", (BoundedHttp,), {"limits": head or HeadLimits()}),
        )
        server = _Server(config)
        serving = asyncio.create_task(server._serve([listening]))  # noqa: SLF001 - `serve` would take over the signals
        try:
            yield Address(host=listen.host, port=listening.getsockname()[1])
        finally:
            server.should_exit = True
            await serving
