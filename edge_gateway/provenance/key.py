"""Signing with the keys that C2PA allows."""

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from edge_gateway.provenance.manifest import Signer
from shared.errors import InvalidInputError

_EDDSA, _PS256 = -8, -37
_RSA_BITS = 2048
_CURVES: dict[str, tuple[int, hashes.HashAlgorithm]] = {
    "secp256r1": (-7, hashes.SHA256()),
    "secp384r1": (-35, hashes.SHA384()),
    "secp521r1": (-36, hashes.SHA512()),
}
"""COSE's number, and the hash that belongs to a curve."""


def signer_of(chain: str, key: str) -> Signer:
    """Who signs with a key in PEM, as the first of the certificates in PEM says.

    Raises:
        InvalidInputError: they cannot be read, or C2PA does not allow such a key.
    """
    try:
        read = x509.load_pem_x509_certificates(chain.encode())
    except ValueError:
        raise InvalidInputError("there is no certificate in PEM in it", field="sign_certificate") from None
    certificates = [one.public_bytes(serialization.Encoding.DER) for one in read]
    try:
        private = serialization.load_pem_private_key(key.encode(), password=None)
    except (ValueError, TypeError):
        raise InvalidInputError("there is no key in PEM without a password in it", field="sign_key") from None
    return _signer(private, certificates)


def _signer(key: PrivateKeyTypes, chain: list[bytes]) -> Signer:
    match key:
        case ed25519.Ed25519PrivateKey():
            return Signer(algorithm=_EDDSA, chain=chain, sign=key.sign)
        case ec.EllipticCurvePrivateKey() if key.curve.name in _CURVES:
            return _elliptic(key, chain)
        case rsa.RSAPrivateKey() if key.key_size >= _RSA_BITS:
            scheme = padding.PSS(padding.MGF1(hashes.SHA256()), salt_length=hashes.SHA256.digest_size)
            return Signer(algorithm=_PS256, chain=chain, sign=lambda data: key.sign(data, scheme, hashes.SHA256()))
        case _:
            raise InvalidInputError(
                f"C2PA signs with Ed25519, ECDSA (P-256, P-384, P-521) or RSA of {_RSA_BITS} bits and more",
                field="sign_key",
            )


def _elliptic(key: ec.EllipticCurvePrivateKey, chain: list[bytes]) -> Signer:
    number, digest = _CURVES[key.curve.name]
    half = (key.key_size + 7) // 8

    def sign(data: bytes) -> bytes:
        # By RFC 6979: the same film gives the same signature.
        told = key.sign(data, ec.ECDSA(digest, deterministic_signing=True))
        return b"".join(part.to_bytes(half, "big") for part in utils.decode_dss_signature(told))

    return Signer(algorithm=number, chain=chain, sign=sign)
