"""Where webhooks may go: to hosts that the operator named, and nowhere else."""

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator

from shared.errors import InvalidInputError, LimitExceededError

SETTING: Final = "webhook_hosts"
_URL_CHARACTERS: Final = 2000
_PORTS: Final = {"http": 80, "https": 443}
_ENTRY: Final = re.compile(r"(\*\.)?(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)(?::([0-9]{1,5}))?")
_PLAIN: Final = re.compile(r"[!-~]+")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where a request goes."""

    is_secure: bool
    host: str
    port: int
    path: str
    """With the query."""
    is_local: bool
    """Whether the operator named an address, or localhost, by which even this machine may be meant."""

    @property
    def authority(self) -> str:
        """The header ``Host``."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS["https" if self.is_secure else "http"] else f"{host}:{self.port}"


class WebhookHosts:
    """The hosts that the operator named.

    Args:
        entries: ``HOST``, ``HOST:PORT`` or ``*.DOMAIN``; without a port, those of http and https are meant.
    """

    def __init__(self, entries: Sequence[str]) -> None:
        self._entries = [_read(entry) for entry in entries]

    def check(self, url: str) -> Target:
        """Where a URL leads.

        Raises:
            InvalidInputError: it is none, or the operator did not allow its host.
            LimitExceededError: it is too long.
        """
        if len(url) > _URL_CHARACTERS:
            message = f"a webhook's URL has at most {_URL_CHARACTERS} characters, not {len(url)}"
            raise LimitExceededError(message, field="webhook", limit="webhook_url")
        try:
            parts = urlsplit(url)
            host, port = (parts.hostname or "").lower(), parts.port
        except ValueError:
            raise InvalidInputError("this is no URL", field="webhook") from None
        if not _PLAIN.fullmatch(url) or parts.scheme not in _PORTS or not host or parts.fragment or "@" in parts.netloc:
            message = "a webhook is a URL with http or https, without a user or a fragment, in plain ASCII"
            raise InvalidInputError(message, field="webhook")
        port = _PORTS[parts.scheme] if port is None else port
        if not any(_matches(entry, host, port) for entry in self._entries):
            message = f"this edge tells nothing to {host}:{port}; its operator can allow that by the setting {SETTING}"
            raise InvalidInputError(message, field="webhook", limit=SETTING)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return Target(is_secure=parts.scheme == "https", host=host, port=port, path=path, is_local=_is_literal(host))


def may_reach(target: Target, address: str) -> bool:
    """Whether a host's address is one that its name may lead to: this machine and its link only when named so."""
    found: Address = ipaddress.ip_address(address.partition("%")[0])
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    found = mapped or found
    here = found.is_loopback or found.is_link_local or found.is_unspecified or found.is_multicast
    return target.is_local or not here


_Entry = tuple[bool, str, int | None]


def _read(entry: str) -> _Entry:
    match = _ENTRY.fullmatch(entry)
    if match is None:
        raise ValueError(f"{entry!r} is none of HOST, HOST:PORT, *.DOMAIN")
    star, host, port = match.groups()
    if port is not None and not 0 < int(port) < 65536:
        raise ValueError(f"{entry!r} has no port that exists")
    return star is not None, host.strip("[]").lower(), None if port is None else int(port)


def _matches(entry: _Entry, host: str, port: int) -> bool:
    is_domain, name, own_port = entry
    named = host.endswith(f".{name}") if is_domain else host == name
    return named and (port in _PORTS.values() if own_port is None else port == own_port)


def _is_literal(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _checked(entries: tuple[str, ...]) -> tuple[str, ...]:
    WebhookHosts(entries)
    return entries


HostsSetting = Annotated[tuple[str, ...], AfterValidator(_checked)]
"""The setting: faults are told at the start."""
