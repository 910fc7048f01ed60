"""Network addresses as people write them: ``host:port``, ``[::1]:port``, ``host``; with ``https://`` by TLS."""

import ipaddress
from dataclasses import dataclass, replace

from shared.errors import InvalidInputError

_LARGEST_PORT = 65535
_TLS = "https://"
_PLAIN = "http://"


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """A host and a port; ``str()`` gives what people write, IPv6 in brackets."""

    host: str
    port: int
    is_encrypted: bool = False
    """Whether it is called by TLS."""

    def __str__(self) -> str:
        return f"{_TLS}{self.target}" if self.is_encrypted else self.target

    @property
    def target(self) -> str:
        """What gRPC reads."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host.partition("%")[0]).is_loopback
        except ValueError:
            return False


def parse_address(text: str, *, field: str, default_port: int | None = None) -> Address:
    """Read an address.

    Args:
        text: ``host:port``, ``[IPv6]:port``; ``host`` alone where there is a default port; ``https://`` before it where
            it is called by TLS.
        field: What to name in errors.
        default_port: The port where none is written; None refuses that.

    Raises:
        InvalidInputError: It is not an address.
    """
    text = text.strip()
    is_encrypted = text.lower().startswith(_TLS)
    for scheme in (_TLS, _PLAIN):
        if text.lower().startswith(scheme):
            text = text[len(scheme) :].rstrip("/")
    host, port = _split(text, field=field)
    if not host:
        raise InvalidInputError(f"{text!r} names no host; write host:port, such as 127.0.0.1:50051", field=field)
    if not port:
        if default_port is None:
            raise InvalidInputError(f"{text!r} has no port; write host:port, such as 127.0.0.1:50051", field=field)
        return Address(host=host, port=default_port, is_encrypted=is_encrypted)
    if not port.isascii() or not port.isdigit() or int(port) > _LARGEST_PORT:
        raise InvalidInputError(f"{port!r} is no port (0 to {_LARGEST_PORT})", field=field)
    return Address(host=host, port=int(port), is_encrypted=is_encrypted)


def parse_listen(text: str, *, field: str = "listen", insecure: bool = False, encrypted: bool = False) -> Address:
    """Read an address to listen on; port 0 asks the system for a free one.

    Args:
        text: The address.
        field: What to name in errors.
        insecure: Whether it may reach beyond this machine without TLS.
        encrypted: Whether it is served by TLS.

    Raises:
        InvalidInputError: It is not an address, or reaches beyond this machine and ``insecure`` is not set.
    """
    address = replace(parse_address(text, field=field), is_encrypted=encrypted)
    if not address.is_loopback and not (insecure or encrypted):
        raise InvalidInputError(
            f"{address} is reachable from other machines and nothing on it is encrypted; give --tls-certificate and "
            "--tls-key (`viseme certs` makes them), or --insecure if the network is your own",
            field=field,
        )
    return address


def _split(text: str, *, field: str) -> tuple[str, str]:
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise InvalidInputError(f"{text!r} is no address; write [IPv6]:port", field=field)
        return host, rest[1:]
    if text.count(":") > 1:
        return text, ""
    host, _, port = text.partition(":")
    return host, port
