"""Both ends of a connection must agree on pings, or the server ends it."""

from pathlib import Path
from typing import Any

import pytest
from grpc._cython import cygrpc

from shared.rpc.channel import CHANNEL_OPTIONS, URGENT_OPTIONS
from shared.rpc.server import SERVER_OPTIONS

CLIENT: dict[str, Any] = dict(CHANNEL_OPTIONS)
SERVER: dict[str, Any] = dict(SERVER_OPTIONS)


def test_no_client_pings_more_often_than_the_server_takes() -> None:
    assert CLIENT["grpc.keepalive_time_ms"] >= 2 * SERVER["grpc.http2.min_ping_interval_without_data_ms"]
    assert CLIENT["grpc.keepalive_permit_without_calls"] == SERVER["grpc.keepalive_permit_without_calls"] == 1


def test_either_end_finds_a_dead_connection_after_the_same_time() -> None:
    for name in ("grpc.keepalive_time_ms", "grpc.keepalive_timeout_ms", "grpc.http2.max_pings_without_data"):
        assert CLIENT[name] == SERVER[name]


def test_where_work_stands_still_tries_come_within_about_a_second() -> None:
    assert dict(URGENT_OPTIONS)["grpc.max_reconnect_backoff_ms"] <= 1_000
    assert dict(URGENT_OPTIONS).keys() <= CLIENT.keys()


@pytest.mark.parametrize("name", sorted({*CLIENT, *SERVER}))
def test_grpc_knows_every_option(name: str) -> None:
    """One that it does not know it passes over without a word."""
    assert name.encode() in Path(str(cygrpc.__file__)).read_bytes()
