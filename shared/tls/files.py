"""A certificate, its key and an authority in files that may be replaced while programs run."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Self

from shared.errors import InvalidInputError
from shared.telemetry.logging import get_logger
from shared.tls.certificate import Certificate, certificates_in, check_pair, read_pem

_LOG = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What was read."""

    chain: bytes
    key: bytes
    authority: bytes | None
    certificate: Certificate


class TlsFiles:
    """Files, looked at again whenever somebody asks; what is broken is told, and what was good stays in use.

    Args:
        certificate: Certificates in PEM, one's own first.
        key: The key that belongs to it.
        authority: Who vouches for the other side; None asks for no certificate of it.
        field: The setting, for errors.
        on_fault: Told once of every change that could not be used.
    """

    def __init__(
        self,
        certificate: Path,
        key: Path,
        authority: Path | None,
        *,
        field: str,
        on_fault: Callable[[], None] = lambda: None,
    ) -> None:
        self._paths = (certificate, key, authority)
        self._field = field
        self._on_fault = on_fault
        self._lock = threading.Lock()
        self._seen = self._look()
        self._loaded = self._read()

    @classmethod
    def of(
        cls,
        certificate: Path | None,
        key: Path | None,
        authority: Path | None,
        *,
        field: str,
        on_fault: Callable[[], None] = lambda: None,
    ) -> Self | None:
        """The files of optional settings; None where none is given.

        Raises:
            InvalidInputError: One is given without the other, or they are not right.
        """
        if certificate is None and key is None and authority is None:
            return None
        if certificate is None or key is None:
            raise InvalidInputError("name a certificate and its key, both or neither", field=field)
        return cls(certificate, key, authority, field=field, on_fault=on_fault)

    def current(self) -> Loaded:
        """What is in force. Handshakes ask from threads of their own, so it takes no longer than looking at files."""
        with self._lock:
            seen = self._look()
            if seen != self._seen:
                self._seen = seen
                self._replace()
            return self._loaded

    def ends(self) -> datetime:
        """When the certificate that is in force runs out."""
        return self.current().certificate.ends

    def _replace(self) -> None:
        try:
            self._loaded = self._read()
        except InvalidInputError as error:
            self._on_fault()
            _LOG.error(
                "new certificate not taken; the old one stays in use",
                setting=error.field,
                error=error.message,
                until=f"{self._loaded.certificate.ends:%F}",
            )
            return
        told = self._loaded.certificate
        _LOG.info("new certificate in use", setting=self._field, name=told.name, until=f"{told.ends:%F}")

    def _read(self) -> Loaded:
        certificate, key, authority = self._paths
        chain, secret = read_pem(certificate, field=self._field), read_pem(key, field=self._field)
        vouches = None
        if authority is not None:
            vouches = read_pem(authority, field=self._field)
            certificates_in(vouches, authority, field=self._field)
        told = check_pair(chain, secret, path=certificate, field=self._field)
        return Loaded(chain=chain, key=secret, authority=vouches, certificate=told)

    def _look(self) -> tuple[tuple[int, int, int] | None, ...]:
        return tuple(None if path is None else _state(path) for path in self._paths)


def _state(path: Path) -> tuple[int, int, int] | None:
    try:
        told = path.stat()
    except OSError:
        return None
    return told.st_mtime_ns, told.st_size, told.st_ino
