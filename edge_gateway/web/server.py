"""uvicorn in the edge's own event loop."""

import asyncio
import os
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace

import uvicorn
from starlette.types import ASGIApp

from edge_gateway.web.http import BoundedHttp, HeadLimits
from shared.errors import ConflictError
from shared.rpc.address import Address
from shared.tls.files import Loaded, TlsFiles

_BACKLOG = 2048


class _Server(uvicorn.Server):
    """Leaves signals to the program."""

    def install_signal_handlers(self) -> None:
        return


def reloading(files: TlsFiles) -> ssl.SSLContext:
    """A context for servers; each handshake takes the certificate that is in force then."""
    used = files.current()
    context = fresh = _context(used)

    def choose(connection: ssl.SSLObject | ssl.SSLSocket, _name: str | None, _context_used: ssl.SSLContext) -> None:
        nonlocal used, fresh
        now = files.current()
        if now is not used:
            used, fresh = now, _context(now)
        connection.context = fresh

    context.sni_callback = choose
    return context


def _context(loaded: Loaded) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    # OpenSSL reads files alone; these are of memory, so that certificate and key are those that were checked together.
    with _in_memory(loaded.chain) as chain, _in_memory(loaded.key) as key:
        context.load_cert_chain(chain, key)
    return context


@contextmanager
def _in_memory(data: bytes) -> Iterator[str]:
    descriptor = os.memfd_create("pem", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, data)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


@asynccontextmanager
async def serve_web(
    app: ASGIApp,
    listen: Address,
    *,
    grace_s: float,
    head: HeadLimits | None = None,
    files: TlsFiles | None = None,
) -> AsyncIterator[Address]:
    """Serve an application inside the block; gives the address with the real port.

    Args:
        app: What is served.
        listen: Where.
        grace_s: Seconds that requests get at the end.
        head: What the head of a request may take.
        files: The certificate, looked at again at every handshake; None serves without TLS.

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
        config.load()
        if files is not None:
            config.ssl = reloading(files)
        server = _Server(config)
        serving = asyncio.create_task(server._serve([listening]))  # noqa: SLF001 - `serve` would take over the signals
        try:
            yield replace(listen, port=listening.getsockname()[1])
        finally:
            server.should_exit = True
            await serving
