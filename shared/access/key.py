"""API keys: ``vis_``, an id by which one is named, and a secret that only its owner has.

A secret has 256 random bits, so its SHA-256 may be kept as it is: there is nothing to guess that a slow hash would
protect, and every call would have to pay for one.
"""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Self

from shared.access.scope import Scope
from shared.errors import InvalidInputError, UnauthenticatedError

DEFAULT_TENANT: Final = "default"
"""The tenant that has what an edge without keys had."""

_TEXT: Final = re.compile(r"vis_([0-9a-f]{12})_([0-9A-Za-z_-]{43})")
_TENANT: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
NAME_CHARACTERS: Final = 64


def check_tenant(name: str, *, field: str = "tenant") -> str:
    """A tenant's name, which is also a folder's.

    Raises:
        InvalidInputError: It is none.
    """
    if not _TENANT.fullmatch(name):
        raise InvalidInputError(
            f"{name!r} is no tenant; take 1 to 63 small letters, digits and hyphens, no hyphen first", field=field
        )
    return name


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """What is kept of a key; its secret is not."""

    key_id: str
    name: str
    """What people call it; 1 to 64 characters."""
    tenant: str
    scopes: frozenset[Scope]
    digest: str
    """SHA-256 of the secret, 64 hexadecimal digits."""
    created: datetime
    expires: datetime | None = None
    """None where it does not."""
    revoked: datetime | None = None

    @classmethod
    def make(
        cls, *, name: str, tenant: str, scopes: frozenset[Scope], expires: datetime | None = None
    ) -> tuple[Self, str]:
        """A new key, and its text, which cannot be had again.

        Raises:
            InvalidInputError: The name or the tenant is none, or it would have expired already.
        """
        if not name.strip() or len(name) > NAME_CHARACTERS or not name.isprintable():
            raise InvalidInputError(f"a key has a name of 1 to {NAME_CHARACTERS} printable characters", field="name")
        now = datetime.now(UTC)
        if expires is not None and expires <= now:
            raise InvalidInputError("it would have expired already", field="expires")
        key_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
        key = cls(
            key_id=key_id,
            name=name,
            tenant=check_tenant(tenant),
            scopes=scopes,
            digest=_digest(secret),
            created=now,
            expires=expires,
        )
        return key, f"vis_{key_id}_{secret}"

    def check(self, now: datetime) -> None:
        """Refuse one that holds no longer.

        Raises:
            UnauthenticatedError: It was revoked or has expired.
        """
        if self.revoked is not None:
            raise UnauthenticatedError(f"the key {self.key_id} was revoked; ask the operator for another", field="key")
        if self.expires is not None and self.expires <= now:
            raise UnauthenticatedError(
                f"the key {self.key_id} expired at {self.expires:%F %T} UTC; ask the operator for another", field="key"
            )

    def is_of(self, secret: str) -> bool:
        """Whether this is its secret; takes as long for any."""
        return hmac.compare_digest(self.digest, _digest(secret))


def read_text(text: str) -> tuple[str, str] | None:
    """The id and the secret of a key's text; None where it is not one."""
    found = _TEXT.fullmatch(text)
    return None if found is None else (found[1], found[2])


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
