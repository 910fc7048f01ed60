import stat
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from edge_gateway.provenance.certificate import Certificate
from edge_gateway.provenance.setting import marks_of
from edge_gateway.settings import EdgeSettings
from shared.errors import InternalError, InvalidInputError
from shared.provenance.finding import Standing, Trust
from shared.provenance.verify import verify
from tests.signing import CLIP, NOW, certificate_in, signed

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
KEYS: dict[str, Callable[[], Any]] = {
    "p256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "p384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "p521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
    "rsa": lambda: rsa.generate_private_key(65537, 2048),
}


class Files:
    """An operator's certificate: two files."""

    def __init__(self, folder: Path, key: Any) -> None:
        self.chain, self.key, self.secret = folder / "operator.pem", folder / "operator.key", key
        self.root = folder / "root.pem"
        self.write_key()

    def write_key(self, password: bytes = b"") -> None:
        lock = BestAvailableEncryption(password) if password else NoEncryption()
        self.key.write_bytes(self.secret.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock))

    def issue(
        self, *, ca: bool = False, uses: bool = True, signs: bool = True, alone: bool = False, days: int = 90
    ) -> None:
        authority = self.secret if alone else ec.generate_private_key(ec.SECP256R1())
        subject, issuer = _name("Film Studio"), _name("Film Studio" if alone else "Some Authority")
        one = _builder(subject, issuer, self.secret, days)
        one = one.add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        one = one.add_extension(_usage(signs=signs), critical=True)
        one = one.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key()), critical=False
        )
        if uses:
            one = one.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
        self.chain.write_bytes(_signed(one, authority).public_bytes(Encoding.PEM))
        root = _builder(issuer, issuer, authority, 900)
        root = root.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        root = root.add_extension(
            x509.SubjectKeyIdentifier.from_public_key(authority.public_key()), critical=False
        ).add_extension(_usage(signs=False), critical=True)
        self.root.write_bytes(_signed(root, authority).public_bytes(Encoding.PEM))

    def read(self) -> Certificate:
        return Certificate.read(self.chain, self.key, now=NOW)


def _name(name: str) -> x509.Name:
    return x509.Name(
        [x509.NameAttribute(NameOID.COMMON_NAME, name), x509.NameAttribute(NameOID.ORGANIZATION_NAME, name + " Inc.")]
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    others = ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only")
    return x509.KeyUsage(
        digital_signature=signs,
        key_cert_sign=not signs,
        crl_sign=not signs,
        decipher_only=False,
        **dict.fromkeys(others, False),
    )


def _builder(subject: x509.Name, issuer: x509.Name, key: Any, days: int) -> x509.CertificateBuilder:
    return x509.CertificateBuilder(
        subject_name=subject,
        issuer_name=issuer,
        public_key=key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=NOW - timedelta(days=100),
        not_valid_after=NOW + timedelta(days=days),
    )


def _signed(one: x509.CertificateBuilder, key: Any) -> x509.Certificate:
    plain = isinstance(key, ed25519.Ed25519PrivateKey)
    return one.sign(key, None if plain else hashes.SHA256())


@pytest.mark.parametrize("kind", KEYS)
async def test_an_operator_signs_with_any_key_that_c2pa_allows(tmp_path: Path, kind: str) -> None:
    files = Files(tmp_path, KEYS[kind]())
    files.issue()
    certificate = files.read()
    assert (certificate.name, certificate.own) == ("Film Studio", False)
    result = signed(CLIP, tmp_path / "signed.mp4", certificate)
    if kind != "rsa":  # PSS is salted at random
        assert signed(CLIP, tmp_path / "again.mp4", certificate).read_bytes() == result.read_bytes()
    unknown, trusted = await verify(result, None), await verify(result, files.root)
    assert unknown.signed is not None
    assert trusted.signed is not None
    assert (unknown.standing, unknown.signed.trust) == (Standing.HOLDS, Trust.UNKNOWN)
    assert (trusted.standing, trusted.signed.trust) == (Standing.HOLDS, Trust.TRUSTED)
    assert (trusted.signed.signer, trusted.signed.organisation) == ("Film Studio", "Film Studio Inc.")


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"ca": True}, "authority's"),
        ({"uses": False}, "extended key usage"),
        ({"signs": False}, "digitalSignature"),
        ({"alone": True}, "signed itself"),
        ({"days": -1}, "holds from"),
    ],
)
def test_a_certificate_that_nobody_could_hold_by_is_refused(tmp_path: Path, how: dict[str, Any], words: str) -> None:
    files = Files(tmp_path, KEYS["p256"]())
    files.issue(**how)
    with pytest.raises(InvalidInputError, match=words) as told:
        files.read()
    assert told.value.field == "sign_certificate"


def test_files_that_are_none_are_refused(tmp_path: Path) -> None:
    files = Files(tmp_path, KEYS["p256"]())
    with pytest.raises(InvalidInputError, match="cannot be read"):
        files.read()
    files.issue()
    files.secret = KEYS["p256"]()
    files.write_key()
    with pytest.raises(InvalidInputError, match="does not belong to the key"):
        files.read()
    files.write_key(b"secret")
    with pytest.raises(InvalidInputError, match="without a password"):
        files.read()
    files.chain.write_bytes(b"\xff\0")
    with pytest.raises(InvalidInputError, match="PEM"):
        files.read()
    files.chain.write_text("nothing")
    with pytest.raises(InvalidInputError, match="no certificate"):
        files.read()
    weak = Files(tmp_path, ec.generate_private_key(ec.SECP256K1()))
    weak.issue()
    with pytest.raises(InvalidInputError, match="P-256"):
        weak.read()


def test_nothing_is_signed_by_a_certificate_that_has_run_out(tmp_path: Path) -> None:
    files = Files(tmp_path, KEYS["p256"]())
    files.issue(days=90)
    certificate = files.read()
    certificate.check(NOW + timedelta(days=89))
    with pytest.raises(InternalError, match="has run out on"):
        certificate.check(NOW + timedelta(days=90))


def test_an_edge_makes_a_certificate_once(tmp_path: Path) -> None:
    first = certificate_in(tmp_path / "signing", "e" * 64)
    assert certificate_in(tmp_path / "signing") == first
    assert first.own
    assert stat.S_IMODE((tmp_path / "signing" / "key.pem").stat().st_mode) == 0o600


@pytest.mark.parametrize("lost", ["certificate.pem", "key.pem"])
def test_half_a_certificate_is_made_anew(tmp_path: Path, lost: str) -> None:
    first = certificate_in(tmp_path)
    (tmp_path / lost).unlink()
    assert certificate_in(tmp_path).chain != first.chain


def test_one_that_does_not_hold_for_long_is_made_anew(tmp_path: Path) -> None:
    first = certificate_in(tmp_path)
    later = Certificate.own_in(tmp_path, "edge", now=NOW + timedelta(days=3651))
    assert later.ends > first.ends


@pytest.mark.parametrize("days", [-30_000, -400, 0, 3000])
async def test_an_edge_whose_clock_was_wrong_signs_what_holds(tmp_path: Path, days: int) -> None:
    wrong = Certificate.own_in(tmp_path, "edge", now=max(NOW + timedelta(days=days), EPOCH))
    assert certificate_in(tmp_path) == wrong
    assert (await verify(signed(CLIP, tmp_path / "a.mp4", wrong), None)).standing is Standing.HOLDS
    back = Certificate.own_in(tmp_path, "edge", now=EPOCH)
    assert back == wrong


def test_settings_say_what_results_bear(tmp_path: Path) -> None:
    usual = marks_of(EdgeSettings(name="north"), tmp_path)
    assert usual.certificate is not None
    assert (usual.certificate.name, usual.producer, usual.label) == ("north", "north", None)
    none = marks_of(EdgeSettings(sign="off", aigc="off"), tmp_path / "off")
    assert (none.certificate, none.producer) == (None, "")
    assert not (tmp_path / "off").exists()
    with pytest.raises(InvalidInputError, match="both or neither"):
        marks_of(EdgeSettings(sign_key=tmp_path / "key.pem"), tmp_path)
    named = marks_of(EdgeSettings(aigc_producer="001191000000000000000"), tmp_path)
    assert named.producer == "001191000000000000000"
