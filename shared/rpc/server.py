"""A gRPC server with our options, health, reflection and a drain.

::

    rpc = RpcServer(parse_listen("127.0.0.1:0"), services=["viseme.gateway.v1.JobService"])
    add_JobServiceServicer_to_server(servicer, rpc.server)
    async with rpc.serving() as address:      # SERVING; str(address) has the real port
        announce(Ready(part="edge", addresses={"rpc": str(address)}), settings.ready_fd)
        await stop_requested()                # SIGTERM or SIGINT
    # here: NOT_SERVING was said, streams had `grace_s` to end, what was left is cancelled
"""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health_aio  # type: ignore[attr-defined]  # the stubs leave it out
from grpc_reflection.v1alpha import reflection

from shared.errors import ConflictError
from shared.rpc.address import Address
from shared.rpc.interceptors import CallObserver, ErrorInterceptor, ServerInterceptor, admit_all, ignore_call
from shared.rpc.tls import Door

MESSAGE_BYTES: Final = 4 << 20
"""Largest message in either direction; pieces are at most 1 MiB."""

SERVER_OPTIONS: Final[tuple[tuple[str, Any], ...]] = (
    ("grpc.max_receive_message_length", MESSAGE_BYTES),
    ("grpc.max_send_message_length", MESSAGE_BYTES),
    # The defaults shed thousands of streams when many watchers reconnect at once.
    ("grpc.server.max_pending_requests", 100_000),
    ("grpc.server.max_pending_requests_hard_limit", 200_000),
    # These agree with CHANNEL_OPTIONS of shared/rpc/channel.py: a client pings every 20 s, calls or not.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    # A second server on the same port must fail, not take half of the calls.
    ("grpc.so_reuseport", 0),
)


class RpcServer:
    """One listening gRPC server. Add servicers to ``server``, then enter ``serving()``.

    Args:
        listen: Where to listen; port 0 asks for a free one.
        services: Full names of the services, for health and reflection.
        observe: Told about every call that ended.
        begins_traces: Whether a call that brings no trace begins one.
        grace_s: Time that running calls get at the end before they are cancelled.
        door: Certificates, and whom they let in; None serves without TLS.
        gates: Interceptors next to the servicers; what they raise is answered as what servicers raise.
    """

    def __init__(
        self,
        listen: Address,
        *,
        services: Iterable[str],
        observe: CallObserver = ignore_call,
        begins_traces: bool = False,
        grace_s: float = 5.0,
        door: Door | None = None,
        gates: Sequence[ServerInterceptor] = (),
    ) -> None:
        self._door = door
        self.server: grpc.aio.Server = grpc.aio.server(
            interceptors=[
                ErrorInterceptor(observe, begins_traces=begins_traces, admit=door.admit if door else admit_all),
                *gates,
            ],
            options=list(SERVER_OPTIONS),
        )
        self.draining = asyncio.Event()
        """Set when the end has begun: streams that would never end by themselves should return."""
        self._listen = listen
        self._services = tuple(services)
        self._grace_s = grace_s
        self._health = health_aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self.server)
        reflection.enable_server_reflection(
            (*self._services, "grpc.health.v1.Health", reflection.SERVICE_NAME), self.server
        )

    async def set_serving(self, *, serving: bool, service: str = "") -> None:
        """Say whether a service (by default all of them) can be called."""
        states = health_pb2.HealthCheckResponse
        state = states.SERVING if serving else states.NOT_SERVING
        for name in (service,) if service else ("", *self._services):
            await self._health.set(name, state)

    async def start(self) -> Address:
        """Listen and serve; gives the address with the real port.

        Raises:
            ConflictError: The address cannot be listened on.
        """
        try:
            port = (
                self.server.add_secure_port(self._listen.target, self._door.credentials())
                if self._door
                else self.server.add_insecure_port(self._listen.target)
            )
        except RuntimeError as error:
            raise ConflictError(
                f"cannot listen on {self._listen}: it is in use or not an address of this machine", field="listen"
            ) from error
        await self.server.start()
        await self.set_serving(serving=True)
        return replace(self._listen, port=port)

    async def drain(self) -> None:
        """Say NOT_SERVING, give running calls ``grace_s``, cancel what is left."""
        self.draining.set()
        await self._health.enter_graceful_shutdown()
        await self.server.stop(self._grace_s)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Address]:
        """Serve inside the block, drain at its end."""
        address = await self.start()
        try:
            yield address
        finally:
            await self.drain()


async def stop_requested() -> signal.Signals:
    """Wait until somebody asks this process to stop (SIGTERM or SIGINT); main thread only."""
    loop = asyncio.get_running_loop()
    asked: asyncio.Future[signal.Signals] = loop.create_future()

    def ask(number: signal.Signals) -> None:
        if not asked.done():
            asked.set_result(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ask, number)
    try:
        return await asked
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
