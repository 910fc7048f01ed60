"""The other edges, as an operator names them: in a file that may change at any time, or by a name in DNS."""

import asyncio
import json
import socket
import time
import tomllib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator

from shared.errors import InvalidInputError, VisemeError
from shared.rpc.address import Address, parse_address
from shared.telemetry.logging import get_logger

_LOG = get_logger(__name__)

DNS: Final = "dns:"
_FIELD: Final = "peers"
_KNOWN_S: Final = 10.0
"""What a name in DNS stands for is asked again after so long."""


class Peer(BaseModel):
    """An edge that clients can use."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1, max_length=64)
    region: str = Field(default="", max_length=64)
    address: str
    """Where it listens for gRPC, ``host:port``, as clients reach it."""
    web: str = ""
    """The URL of its page; empty where browsers cannot reach it."""

    @field_validator("address")
    @classmethod
    def _check_address(cls, text: str) -> str:
        try:
            return str(parse_address(text, field="address"))
        except InvalidInputError as error:
            raise ValueError(error.message) from None

    @field_validator("web")
    @classmethod
    def _check_web(cls, url: str) -> str:
        told = urlsplit(url)
        if url and (told.scheme not in {"http", "https"} or not told.netloc or told.query or told.fragment):
            raise ValueError(f"{url!r} is no page; write http://HOST:PORT or https://HOST")
        return url.rstrip("/")


_PEERS: Final = TypeAdapter(tuple[Peer, ...])

Resolve = Callable[[Address], Awaitable[list[str]]]


class Peers:
    """The edges that clients may use instead of this one.

    Args:
        source: A TOML or JSON file, or ``dns:NAME:PORT``; empty where there are none.
        resolve: What a name in DNS stands for.
        clock: Seconds, never going back.

    Raises:
        InvalidInputError: the file is not to be read, or it is no name.
    """

    def __init__(
        self, source: str, *, resolve: Resolve | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._resolve = resolve or _addresses
        self._clock = clock
        self._name = parse_address(source.removeprefix(DNS), field=_FIELD) if source.startswith(DNS) else None
        self._file = Path(source) if source and self._name is None else None
        self._known: tuple[Peer, ...] = ()
        self._stamp: tuple[int, int] | None = None
        self._asked_at: float | None = None
        if self._file is not None:
            self._stamp, self._known = _stamp(self._file), read_peers(self._file)

    async def all(self) -> tuple[Peer, ...]:
        """The edges, this one among them where the operator names it; those known last where a source fails."""
        try:
            if self._file is not None:
                await asyncio.to_thread(self._look, self._file)
            elif self._name is not None:
                await self._ask(self._name)
        except VisemeError as error:
            _LOG.warning("peers stay as they were", reason=error.reason, error=error.message)
        return self._known

    def _look(self, file: Path) -> None:
        stamp = _stamp(file)
        if stamp != self._stamp:
            self._stamp = stamp  # so that a file that is not right is told of once
            self._known = read_peers(file)
            _LOG.info("peers read", edges=[peer.name for peer in self._known])

    async def _ask(self, name: Address) -> None:
        if self._asked_at is not None and self._clock() - self._asked_at < _KNOWN_S:
            return
        self._asked_at = self._clock()
        hosts = await self._resolve(name)
        self._known = tuple(
            Peer(name=str(address), address=str(address))
            for address in (Address(host=host, port=name.port) for host in hosts)
        )


def read_peers(file: Path) -> tuple[Peer, ...]:
    """The edges of a file: ``[[edges]]`` tables in TOML, or the same as JSON.

    Raises:
        InvalidInputError: it is not to be read, or not right; the message says what and where.
    """
    try:
        text = file.read_text(encoding="utf-8")
        read: Any = json.loads(text) if file.suffix == ".json" else tomllib.loads(text)
    except (OSError, ValueError) as error:
        raise InvalidInputError(f"{file}: {error}", field=_FIELD) from error
    listed = read.get("edges") if isinstance(read, dict) else read
    try:
        peers = _PEERS.validate_python(listed)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, fault['loc']))} {fault['msg']}".strip() for fault in error.errors())
        message = f"{file}: write a list `edges` of name, region, address and web; {faults}"
        raise InvalidInputError(message, field=_FIELD) from error
    for what in ("name", "address"):
        told = [getattr(peer, what) for peer in peers]
        if twice := next((one for one in told if told.count(one) > 1), None):
            raise InvalidInputError(f"{file}: two edges have the {what} {twice}", field=_FIELD)
    return peers


def _stamp(file: Path) -> tuple[int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino


async def _addresses(name: Address) -> list[str]:
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(name.host, name.port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise InvalidInputError(f"{name.host} is not to be found in DNS: {error}", field=_FIELD) from error
    return sorted({str(address[0]) for *_, address in found})
