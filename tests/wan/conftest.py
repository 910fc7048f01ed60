"""Emulated links for tests."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.wan import namespace
from tests.wan.network import Link, Network, link_of_two


@pytest.fixture(scope="session", autouse=True)
def _need() -> None:
    """Skip before anything is started."""
    if (reason := namespace.unavailable()) is not None:
        pytest.skip(reason)


@pytest.fixture
def wan() -> Iterator[Callable[..., Link]]:
    """Makes links between a client and a server: ``wan(delay_ms=50, rate_mbit=(10, 10), loss=0.01)``."""
    with ExitStack() as links:
        yield lambda **options: links.enter_context(link_of_two(**options))


@pytest.fixture
def wan_network() -> Iterator[Network]:
    """A network without hosts: for more than two."""
    with Network() as network:
        yield network
