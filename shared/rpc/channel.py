"""Client channels with our options."""

import asyncio
from typing import Any, Final

import grpc
from google.protobuf.message import Message
from grpc._cython import cygrpc  # type: ignore[attr-defined]  # the stubs leave it out

from shared.rpc.address import Address
from shared.rpc.tls import Trust

CHANNEL_OPTIONS: Final[tuple[tuple[str, Any], ...]] = (
    ("grpc.max_receive_message_length", 4 << 20),
    ("grpc.max_send_message_length", 4 << 20),
    # These agree with SERVER_OPTIONS of shared/rpc/server.py.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    # A restarted peer is found again within seconds, not minutes.
    ("grpc.initial_reconnect_backoff_ms", 200),
    # Despite its name the time that one attempt to connect may take.
    ("grpc.min_reconnect_backoff_ms", 10_000),
    ("grpc.max_reconnect_backoff_ms", 5_000),
)

URGENT_OPTIONS: Final[tuple[tuple[str, Any], ...]] = (
    # Time for a lost packet of the handshake to be sent again twice.
    ("grpc.min_reconnect_backoff_ms", 3_000),
    ("grpc.max_reconnect_backoff_ms", 1_000),
)
"""In place of the above where work stands still until the peer is found again, and few do this."""

END: Final[Any] = grpc.aio.EOF  # type: ignore[attr-defined]  # the stubs leave it out
"""What ``read()`` gives at the end of a stream."""


def open_channel(
    address: Address,
    *,
    own_connection: bool = False,
    is_urgent: bool = False,
    trust: Trust | None = None,
    credentials: grpc.ChannelCredentials | None = None,
) -> grpc.aio.Channel:
    """Open a channel; it connects on its first call.

    Args:
        address: The peer.
        own_connection: A TCP connection of its own, so that bulk on another channel never holds this one up.
        is_urgent: Try to connect again within about a second, however long it did not work.
        trust: How the peer is taken by TLS, where its address says so; None takes the authorities of the system.
        credentials: Those of a trust as it once was, in place of it: its files are not read again.

    Raises:
        InvalidInputError: A file of ``trust`` cannot be read.
    """
    options = dict(CHANNEL_OPTIONS)
    if is_urgent:
        options.update(URGENT_OPTIONS)
    if own_connection:
        options["grpc.use_local_subchannel_pool"] = 1
    if address.is_loopback:
        options["grpc.enable_http_proxy"] = 0
    if address.is_encrypted:
        shown = credentials or (trust or Trust()).credentials()
        return grpc.aio.secure_channel(address.target, shown, options=list(options.items()))
    return grpc.aio.insecure_channel(address.target, options=list(options.items()))


async def send(call: Any, message: Message) -> bool:
    """Write a message to a stream; False when the stream is over, whose status then stands unspoilt.

    ``call.write()`` of grpc.aio must not be used on a stream that the peer may end while we write: a write that meets
    the end replaces the peer's status with INTERNAL "Internal error from Core" (seen in 80 of 120 streams).
    """
    try:
        await call.wait_for_connection()
        if call.done():
            return False
        await call._cython_call.send_serialized_message(message.SerializeToString())  # noqa: SLF001 - see above
    except (grpc.RpcError, cygrpc.InternalError, asyncio.InvalidStateError):
        return False
    return True
