"""gRPC's credentials, out of files that may be replaced while it serves; and who is at the other end."""

import logging
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import grpc

from shared.errors import InvalidInputError, PermissionDeniedError

if TYPE_CHECKING:
    from shared.tls.files import Loaded, TlsFiles

_LOG: Final = logging.getLogger(__name__)

_ROLE_URI: Final = "viseme:role/"
"""As :mod:`shared.tls.certificate` writes it; that module needs cryptography, which the SDK does without."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """Who showed a certificate that an authority of ours vouches for."""

    name: str
    role: str
    """``edge``, ``node`` or ``client``; empty where the certificate says none."""


def peer_of(context: Any) -> Peer | None:
    """Who calls; None where nobody showed a certificate."""
    told = context.auth_context()
    names, uris = told.get("x509_common_name", ()), told.get("peer_uri", ())
    if "x509_pem_cert" not in told:
        return None
    roles = [uri.decode().removeprefix(_ROLE_URI) for uri in uris if uri.decode().startswith(_ROLE_URI)]
    return Peer(name=names[0].decode(errors="replace") if names else "", role=roles[0] if roles else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """How a server is entered.

    Args:
        files: Its certificate, and who vouches for callers.
        role: The role that their certificates must have; empty for any.
    """

    files: "TlsFiles"
    role: str = ""

    def credentials(self) -> grpc.ServerCredentials:
        """Credentials that take new files at the next handshake."""
        used = self.files.current()

        def fetch() -> Any:
            nonlocal used
            loaded = self.files.current()
            if loaded is used:
                return None
            used = loaded
            return _configuration(loaded)

        return grpc.dynamic_ssl_server_credentials(
            _configuration(used), fetch, require_client_authentication=used.authority is not None
        )

    def admit(self, context: Any) -> None:
        """Refuse a caller of another role.

        Raises:
            PermissionDeniedError: Its certificate says another one.
        """
        if not self.role:
            return
        peer = peer_of(context)
        if peer is not None and peer.role == self.role:
            return
        said = f"the certificate of {peer.name!r} has the role {peer.role or 'none'}" if peer else "no certificate"
        _LOG.warning("caller refused: %s, and the role %s is needed", said, self.role)
        raise PermissionDeniedError(
            f"{said}; this port is for the role {self.role}: viseme certs issue {self.role}", field="certificate"
        )


def _configuration(loaded: "Loaded") -> Any:
    return grpc.ssl_server_certificate_configuration([(loaded.key, loaded.chain)], root_certificates=loaded.authority)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """How a client takes a server: whose authority vouches for it, and what it shows itself.

    Args:
        authority: Certificates in PEM; None takes the system's.
        certificate: One's own, where the server asks for one.
        key: The key that belongs to it.
    """

    authority: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    def credentials(self) -> grpc.ChannelCredentials:
        """Credentials out of the files as they are now.

        Raises:
            InvalidInputError: One cannot be read or is no PEM, or a certificate lacks its key or is not of it.
        """
        if (self.certificate is None) != (self.key is None):
            raise InvalidInputError("name a certificate and its key, both or neither", field="certificate")
        authority, key, certificate = (_bytes(path) for path in (self.authority, self.key, self.certificate))
        self._check()
        return grpc.ssl_channel_credentials(authority, key, certificate)

    def _check(self) -> None:
        """Raise what is wrong with the files: gRPC takes any, and then its calls fail as if nobody answered."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if self.authority is not None:
            try:
                context.load_verify_locations(self.authority)
            except ssl.SSLError:
                message = f"{self.authority} holds no certificate in PEM, or one that is spoilt"
                raise InvalidInputError(message, field="certificate") from None
        if self.certificate is not None and self.key is not None:
            try:
                # Without a password of our own OpenSSL would ask on the terminal for one.
                context.load_cert_chain(self.certificate, self.key, password="")
            except ssl.SSLError:
                message = (
                    f"{self.certificate} and {self.key} are no certificate and its key in PEM, without a password, "
                    "or do not belong together"
                )
                raise InvalidInputError(message, field="certificate") from None

    def state(self) -> tuple[int, ...]:
        """Another one when a file was replaced."""
        paths = (self.authority, self.key, self.certificate)
        return tuple(path.stat().st_mtime_ns for path in paths if path is not None and path.exists())


def _bytes(path: Path | None) -> bytes | None:
    if path is None:
        return None
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidInputError(f"{path} cannot be read: {error.strerror}", field="certificate") from None
