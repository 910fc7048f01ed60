"""The certificate by which an edge signs its results: the operator's, or one that it has made for itself."""

import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.hazmat.primitives.serialization import PublicFormat as Public
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from edge_gateway.disk import make_directory, sync_directory, write_atomic
from edge_gateway.provenance.key import signer_of
from shared.errors import InternalError, InvalidInputError
from shared.provenance.finding import SELF_MADE

_OWN_DAYS = 7300
"""How long a certificate of the edge's own holds: a film without a time stamp holds no longer than it."""
_RENEW_DAYS = 3650
"""What it must hold yet; with less, another one is made at the start."""
_BEGIN = datetime(2025, 1, 1, tzinfo=UTC)
"""Since when: before any edge, so that a clock which is set later changes nothing."""
_NAME_CHARACTERS = 64
_ROOT = " (root)"
_MOST_BYTES = 1 << 20
_SERIAL_BYTES = 16
_USES = frozenset(
    {
        ExtendedKeyUsageOID.EMAIL_PROTECTION,
        ObjectIdentifier("1.3.6.1.5.5.7.3.36"),  # signing documents
        ObjectIdentifier("1.3.6.1.4.1.62558.2.1"),  # signing C2PA claims
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """A certificate with its key; both in PEM."""

    chain: str
    """The signer's first."""
    key: str
    name: str
    """Whose it is."""
    ends: datetime
    own: bool
    """Whether the edge has made it for itself."""

    @classmethod
    def read(cls, chain: Path, key: Path, *, now: datetime, own: bool = False) -> Self:
        """The certificate in two files.

        Raises:
            InvalidInputError: they cannot be read, do not belong together, or nobody could hold by them what they sign.
        """
        told, secret = _text(chain, "sign_certificate"), _text(key, "sign_key")
        signer_of(told, secret)
        first = x509.load_pem_x509_certificates(told.encode())[0]
        # An edge whose clock is wrong starts all the same with its own.
        if (fault := _fault(first, secret, None if own else now)) is not None:
            raise InvalidInputError(f"{chain}: {fault}", field="sign_certificate")
        return cls(chain=told, key=secret, name=_name(first), ends=first.not_valid_after_utc, own=own)

    @classmethod
    def own_in(cls, folder: Path, edge: str, *, now: datetime) -> Self:
        """The edge's own certificate, made now where there is none, or none that holds long enough.

        Raises:
            InvalidInputError: what lies there is no certificate with its key.
            DiskFullError: the disk has no room.
        """
        chain, key = folder / "certificate.pem", folder / "key.pem"
        if key.exists() and chain.exists():
            found = cls.read(chain, key, now=now, own=True)
            if found.ends - now > timedelta(days=_RENEW_DAYS):
                return found
        make_directory(folder)
        _make(chain, key, edge, now)
        return cls.read(chain, key, now=now, own=True)

    def check(self, now: datetime) -> None:
        """Refuse to sign what would not hold; an edge whose clock is wrong signs by its own certificate all the same.

        Raises:
            InternalError: the certificate has run out since the edge started.
        """
        if not self.own and now >= self.ends:
            raise InternalError(
                f"the certificate by which this edge signs has run out on {self.ends:%F}; its operator has to renew it"
            )

    def arguments(self) -> dict[str, Any]:
        """For the child that signs."""
        return {"chain": self.chain, "key": self.key}


def _text(path: Path, field: str) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_MOST_BYTES).decode("ascii")
    except UnicodeDecodeError:
        raise InvalidInputError(f"{path} is not in PEM", field=field) from None
    except OSError as error:
        raise InvalidInputError(f"{path} cannot be read: {os.strerror(error.errno or 0)}", field=field) from None


def _fault(first: x509.Certificate, key: str, now: datetime | None) -> str | None:
    """Why nobody could hold by a certificate what is signed with a key; None where everybody can."""
    private = load_pem_private_key(key.encode(), password=None)
    of_key, of_chain = (
        one.public_bytes(Encoding.DER, Public.SubjectPublicKeyInfo)
        for one in (private.public_key(), first.public_key())
    )
    if of_key != of_chain:
        return "its first certificate does not belong to the key"
    if now is not None and not first.not_valid_before_utc <= now < first.not_valid_after_utc:
        return f"its first certificate holds from {first.not_valid_before_utc:%F} until {first.not_valid_after_utc:%F}"
    if first.issuer == first.subject:
        return "its first certificate has signed itself, which C2PA forbids; let another one sign it"
    return _profile_fault(first)


def _profile_fault(first: x509.Certificate) -> str | None:
    """What C2PA does not allow of a certificate."""
    constraints, usage, purposes = (_extension(first, kind) for kind in _KINDS)
    if constraints is not None and constraints.ca:
        return "its first certificate is an authority's, which C2PA forbids"
    if usage is None or not usage.digital_signature:
        return "its first certificate lacks the key usage digitalSignature"
    if purposes is None or not _USES.intersection(purposes):
        return "its first certificate lacks an extended key usage for C2PA: emailProtection or documentSigning"
    return None


_KINDS: tuple[type[Any], ...] = (x509.BasicConstraints, x509.KeyUsage, x509.ExtendedKeyUsage)


def _extension(certificate: x509.Certificate, kind: type[Any]) -> Any:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _name(certificate: x509.Certificate) -> str:
    for kind in (NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME):
        if found := certificate.subject.get_attributes_for_oid(kind):
            return str(found[0].value)
    return certificate.subject.rfc4514_string()


def _make(chain: Path, key: Path, edge: str, now: datetime) -> None:
    """Write a certificate and its key; the authority that has signed it is forgotten, so it signs no other."""
    authority, own = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    root = _name_of(edge[: _NAME_CHARACTERS - len(_ROOT)] + _ROOT)
    signed = [
        _certificate(_name_of(edge[:_NAME_CHARACTERS]), root, own.public_key(), authority, now),
        _certificate(root, root, authority.public_key(), authority, now),
    ]
    secret = own.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    # A key without its certificate is made again, so the old certificate goes first.
    chain.unlink(missing_ok=True)
    sync_directory(chain.parent)
    write_atomic(key, secret, mode=0o600)
    write_atomic(chain, b"".join(one.public_bytes(Encoding.PEM) for one in signed))


def _certificate(
    subject: x509.Name, issuer: x509.Name, public: Ed25519PublicKey, by: Ed25519PrivateKey, now: datetime
) -> x509.Certificate:
    root = subject == issuer
    # All of them are equally long, and so are the manifests that they stand in.
    serial = int.from_bytes(b"\x40" + os.urandom(_SERIAL_BYTES - 1), "big")
    usage = x509.KeyUsage(
        digital_signature=not root,
        key_cert_sign=root,
        crl_sign=root,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(serial)
        .not_valid_before(_BEGIN)
        .not_valid_after(max(now, _BEGIN) + timedelta(days=_OWN_DAYS))
        .add_extension(x509.BasicConstraints(ca=root, path_length=0 if root else None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(by.public_key()), critical=False)
    )
    if not root:
        made = made.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
    return made.sign(by, None)


def _name_of(name: str) -> x509.Name:
    return x509.Name(
        [x509.NameAttribute(NameOID.COMMON_NAME, name), x509.NameAttribute(NameOID.ORGANIZATION_NAME, SELF_MADE)]
    )


def now() -> datetime:
    """The time."""
    return datetime.now(UTC)
