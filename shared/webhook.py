"""Signatures of webhooks, as the Standard Webhooks specification (standardwebhooks.com) has them.

What is signed is ``ID.TIMESTAMP.BODY`` with HMAC-SHA256; the key is the base64 behind ``whsec_`` of the secret.
"""

import base64
import binascii
import hashlib
import hmac
import secrets
from typing import Final

from shared.errors import InvalidInputError

ID_HEADER: Final = "webhook-id"
TIME_HEADER: Final = "webhook-timestamp"
SIGNATURE_HEADER: Final = "webhook-signature"

SECRET_FILE: Final = "webhook.secret"  # noqa: S105 - where it lies
"""The file in an edge's data folder that holds the secret which it made for itself."""

_PREFIX: Final = "whsec_"
_VERSION: Final = "v1,"
_SHORTEST_KEY: Final = 24
_LONGEST_KEY: Final = 64
_NEW_KEY: Final = 32


def new_secret() -> str:
    """A secret that nobody knows."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(_NEW_KEY)).decode()


def check_secret(secret: str, field: str = "webhook_secret") -> str:
    """Return a secret if it is one.

    Raises:
        InvalidInputError: it is none.
    """
    _key(secret, field)
    return secret


def sign(secret: str, webhook_id: str, timestamp: int, body: bytes) -> str:
    """The signature of one try; ``timestamp`` is in seconds since 1970."""
    told = f"{webhook_id}.{timestamp}.".encode() + body
    digest = hmac.new(_key(secret, "webhook_secret"), told, hashlib.sha256).digest()
    return _VERSION + base64.b64encode(digest).decode()


def is_signed(secret: str, webhook_id: str, timestamp: int, body: bytes, signatures: str) -> bool:
    """Whether one of the signatures, with spaces between them, was made with the secret."""
    expected = sign(secret, webhook_id, timestamp, body).encode()
    return any(hmac.compare_digest(expected, one.encode()) for one in signatures.split())


def _key(secret: str, field: str) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not _SHORTEST_KEY <= len(key) <= _LONGEST_KEY:
        message = f"a secret is {_PREFIX} and the base64 of {_SHORTEST_KEY} to {_LONGEST_KEY} bytes"
        raise InvalidInputError(message, field=field)
    return key
