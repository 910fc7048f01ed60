"""A private authority in a folder: one for each role, so that trusting nodes never means trusting clients.

Whoever takes nodes alone is given the authority of nodes alone; any TLS program (Envoy, openssl, gRPC) then checks the
role with the chain. The role stands in each certificate besides, for logs and people.
"""

import ipaddress
import os
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from shared.errors import ConflictError, InvalidInputError, NotFoundError
from shared.tls.certificate import ROLE_URI, Certificate, Role, certificates_in, read_pem

AUTHORITY_DAYS: Final = 3650
MOST_DAYS: Final = 825
"""Longest validity that other programs take of a server's certificate."""
NAME_CHARACTERS: Final = 64
_EARLIER: Final = timedelta(minutes=5)
"""Clocks differ."""
_TRUSTS: Final = {
    Role.EDGE: {"nodes.pem": Role.NODE, "clients.pem": Role.CLIENT},
    Role.NODE: {"edges.pem": Role.EDGE},
    Role.CLIENT: {"edges.pem": Role.EDGE},
}
"""The authorities that are laid beside a certificate: of those whom its owner talks to."""
_USES: Final = {
    # An edge serves clients, and calls nodes.
    Role.EDGE: [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH],
    Role.NODE: [ExtendedKeyUsageOID.SERVER_AUTH],
    Role.CLIENT: [ExtendedKeyUsageOID.CLIENT_AUTH],
}
_LABEL: Final = re.compile(r"(\*\.)?([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")


def make_authority(folder: Path, *, force: bool = False) -> list[Certificate]:
    """Make the authorities of all roles.

    Args:
        folder: Where they go; it becomes readable by this user alone.
        force: Replace those that are there: nothing that they have issued holds with the new ones.

    Raises:
        ConflictError: There are some.
    """
    _refuse([folder / f"{role}-authority.pem" for role in Role], force=force)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    made = []
    for role in Role:
        key = ec.generate_private_key(ec.SECP256R1())
        name = _name_of(f"viseme authority of {role}s")
        signed = _sign(
            _builder(name, name, key.public_key(), days=AUTHORITY_DAYS, ca=True).add_extension(
                _usage(ca=True), critical=True
            ),
            key,
        )
        _write(folder / f"{role}-authority.key", _secret(key), mode=0o600)
        _write(folder / f"{role}-authority.pem", _pem(signed), mode=0o644)
        made.append(Certificate.of(signed))
    return made


def issue(
    folder: Path, role: Role, name: str, names: Sequence[str], *, output: Path, days: int, force: bool = False
) -> Certificate:
    """Issue a certificate: ``certificate.pem``, ``key.pem`` and the authorities that its owner trusts, in a folder.

    Args:
        folder: The authority's.
        role: Whose it is.
        name: What its owner is called.
        names: DNS names and IP addresses under which it is called; edges and nodes need one.
        output: Where the files go.
        days: How long it holds, at most ``MOST_DAYS``.
        force: Replace files that are there.

    Raises:
        InvalidInputError: A name is none, or the time too long.
        NotFoundError: There is no authority in the folder.
        ConflictError: There is a certificate.
    """
    if not 1 <= len(name) <= NAME_CHARACTERS:
        raise InvalidInputError(f"a name has 1 to {NAME_CHARACTERS} characters", field="name")
    if not 1 <= days <= MOST_DAYS:
        raise InvalidInputError(f"a certificate holds for 1 to {MOST_DAYS} days", field="days")
    if not names and role is not Role.CLIENT:
        raise InvalidInputError(f"say under which names the {role} is called: --host edge.example", field="host")
    alternatives = [_alternative(one) for one in names]
    authority, by = _authority(folder, role)
    _refuse([output / "certificate.pem", output / "key.pem"], force=force)
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _builder(_name_of(name), authority.subject, key.public_key(), days=days, ca=False)
    signed = _sign(
        builder.add_extension(_usage(ca=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(_USES[role]), critical=False)
        .add_extension(
            x509.SubjectAlternativeName([*alternatives, x509.UniformResourceIdentifier(ROLE_URI + role)]),
            critical=False,
        )
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(by.public_key()), critical=False),
        by,
    )
    output.mkdir(parents=True, exist_ok=True, mode=0o700)
    for file, trusted in _TRUSTS[role].items():
        _write(output / file, _pem(_authority(folder, trusted)[0]), mode=0o644)
    # A program that looks between the two finds a pair that does not fit, and keeps what it has.
    _write(output / "key.pem", _secret(key), mode=0o600)
    _write(output / "certificate.pem", _pem(signed), mode=0o644)
    return Certificate.of(signed)


def _authority(folder: Path, role: Role) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    chain, key = folder / f"{role}-authority.pem", folder / f"{role}-authority.key"
    if not (chain.exists() and key.exists()):
        raise NotFoundError(f"there is no authority in {folder}; make one: viseme certs init {folder}", field="folder")
    certificate = certificates_in(read_pem(chain, field="folder"), chain, field="folder")[0]
    try:
        private = load_pem_private_key(read_pem(key, field="folder"), password=None)
    except (ValueError, TypeError):
        raise InvalidInputError(f"{key} is no key in PEM", field="folder") from None
    if not isinstance(private, ec.EllipticCurvePrivateKey) or private.public_key() != certificate.public_key():
        raise InvalidInputError(f"{key} does not belong to {chain}", field="folder")
    return certificate, private


def _alternative(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text.strip("[]")))
    except ValueError:
        pass
    if not _LABEL.fullmatch(text.lower()) or len(text) > 253:
        raise InvalidInputError(
            f"{text!r} is neither a DNS name nor an IP address; write it without a port", field="host"
        )
    return x509.DNSName(text.lower())


def _builder(
    subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey, *, days: int, ca: bool
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _EARLIER)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=0 if ca else None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def _usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        key_cert_sign=ca,
        crl_sign=ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _sign(builder: x509.CertificateBuilder, key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    return builder.sign(key, hashes.SHA256())


def _name_of(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)


def _secret(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _refuse(paths: Sequence[Path], *, force: bool) -> None:
    there = [str(path) for path in paths if path.exists()]
    if there and not force:
        raise ConflictError(f"{there[0]} is there already; --force replaces it", field="folder")


def _write(path: Path, data: bytes, *, mode: int) -> None:
    """Write a whole file or none, readable from its first byte on by whom it is for."""
    part = path.with_name(path.name + ".part")
    part.unlink(missing_ok=True)
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
