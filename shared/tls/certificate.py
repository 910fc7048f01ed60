"""What stands in a certificate, and whether it may be used."""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Final, Self

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from shared.errors import InvalidInputError

ROLE_URI: Final = "viseme:role/"
"""A certificate says its role by a subject alternative name: the URI ``viseme:role/edge``."""

MOST_BYTES: Final = 1 << 20
"""Largest file of certificates."""


class Role(StrEnum):
    """Whose certificate it is."""

    EDGE = "edge"
    NODE = "node"
    CLIENT = "client"


def role_of(text: str) -> Role:
    """Read a role.

    Raises:
        InvalidInputError: it is none.
    """
    try:
        return Role(text)
    except ValueError:
        raise InvalidInputError(f"{text!r} is no role; write {', '.join(Role)}", field="role") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """A certificate, as far as people and programs ask."""

    name: str
    """Its common name."""
    role: str
    """What its URI says; empty where it has none."""
    names: tuple[str, ...]
    """DNS names and IP addresses."""
    issuer: str
    begins: datetime
    ends: datetime
    fingerprint: str
    """SHA-256 in hexadecimal."""

    @classmethod
    def of(cls, read: x509.Certificate) -> Self:
        """What stands in it."""
        names, role = _names(read)
        return cls(
            name=_common_name(read.subject),
            role=role,
            names=names,
            issuer=_common_name(read.issuer),
            begins=read.not_valid_before_utc,
            ends=read.not_valid_after_utc,
            fingerprint=read.fingerprint(hashes.SHA256()).hex(),
        )

    def fault(self, now: datetime) -> str:
        """Why it cannot be used at a time; empty where it can."""
        if now < self.begins:
            return f"it holds from {self.begins:%F %T} UTC on only; is this machine's clock right?"
        if now >= self.ends:
            return f"it ran out on {self.ends:%F %T} UTC; issue another one: viseme certs issue"
        return ""


def read_pem(path: Path, *, field: str) -> bytes:
    """The bytes of a file.

    Raises:
        InvalidInputError: it cannot be read, or is larger than any file of certificates.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise InvalidInputError(f"{path} cannot be read: {error.strerror}", field=field) from None
    if len(data) > MOST_BYTES:
        raise InvalidInputError(f"{path} has more than {MOST_BYTES} bytes: it is no file of certificates", field=field)
    return data


def certificates_in(data: bytes, path: Path, *, field: str) -> list[x509.Certificate]:
    """The certificates of a PEM file, one at least.

    Raises:
        InvalidInputError: there is none, or one is spoilt.
    """
    try:
        return x509.load_pem_x509_certificates(data)
    except ValueError:
        raise InvalidInputError(f"{path} holds no certificate in PEM, or one that is spoilt", field=field) from None


def check_pair(chain: bytes, key: bytes, *, path: Path, field: str, now: datetime | None = None) -> Certificate:
    """The first certificate of a chain, which belongs to the key and holds now.

    Raises:
        InvalidInputError: it does not.
    """
    first = certificates_in(chain, path, field=field)[0]
    try:
        private = load_pem_private_key(key, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise InvalidInputError(f"the key of {path} is no key in PEM without a password", field=field) from None
    mine, its = (
        one.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        for one in (private.public_key(), first.public_key())
    )
    if mine != its:
        raise InvalidInputError(f"{path} does not belong to its key", field=field)
    certificate = Certificate.of(first)
    if fault := certificate.fault(now or datetime.now(UTC)):
        raise InvalidInputError(f"{path}: {fault}", field=field)
    return certificate


def _names(read: x509.Certificate) -> tuple[tuple[str, ...], str]:
    try:
        told = read.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return (), ""
    names = told.get_values_for_type(x509.DNSName)
    names += [str(address) for address in told.get_values_for_type(x509.IPAddress)]
    uris = told.get_values_for_type(x509.UniformResourceIdentifier)
    role = next((uri.removeprefix(ROLE_URI) for uri in uris if uri.startswith(ROLE_URI)), "")
    return tuple(names), role


def _common_name(name: x509.Name) -> str:
    found = name.get_attributes_for_oid(x509.oid.NameOID.COMMON_NAME)
    return str(found[0].value) if found else name.rfc4514_string()
