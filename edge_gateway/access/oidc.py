"""Bearer tokens of an OpenID provider: who it says calls, whose tenant that is and what it may."""

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import jwt

from edge_gateway.access.caller import Caller
from shared.access.key import check_tenant
from shared.access.scope import Scope
from shared.errors import InvalidInputError, UnauthenticatedError, UnavailableError
from shared.rpc.address import Address

_ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA")
"""Those with public keys: a shared secret of a provider has no place at an edge."""
_ANSWER_BYTES: Final = 1 << 20
_ANSWER_S: Final = 10.0
_KEYS_S: Final = 300
_SKEW_S: Final = 30
NAME_CHARACTERS: Final = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class OidcSettings:
    """Whose tokens are taken, and what in them says what."""

    issuer: str
    audience: str
    tenant_claim: str = "tenant"
    scope_claim: str = "scope"

    def __post_init__(self) -> None:
        where = urlsplit(self.issuer)
        is_here = Address(host=where.hostname or "", port=0).is_loopback
        if where.scheme != "https" and not (where.scheme == "http" and is_here):
            raise InvalidInputError(f"{self.issuer!r} is no https:// address", field="oidc_issuer")
        if not self.audience:
            raise InvalidInputError("say what the tokens are for", field="oidc_audience")


class Oidc:
    """Reads tokens.

    Args:
        settings: Whose.
    """

    def __init__(self, settings: OidcSettings) -> None:
        self._settings = settings
        self._keys: jwt.PyJWKClient | None = None

    async def caller(self, token: str) -> Caller:
        """Who a token says calls.

        Raises:
            UnauthenticatedError: It is not the provider's, not for us, or its time is over.
            UnavailableError: The provider's keys cannot be had.
        """
        return await asyncio.to_thread(self._caller, token)

    def _caller(self, token: str) -> Caller:
        settings = self._settings
        try:
            key = self._client().get_signing_key_from_jwt(token)
            told = jwt.decode(
                token,
                key,
                algorithms=list(_ALGORITHMS),
                audience=settings.audience,
                issuer=settings.issuer,
                leeway=_SKEW_S,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except jwt.PyJWKClientConnectionError as error:
            message = f"the keys of {settings.issuer} cannot be had: {error}"
            raise UnavailableError(message, retry_after_s=5.0) from None
        except (jwt.PyJWKClientError, jwt.InvalidTokenError) as error:
            raise UnauthenticatedError(f"the token is not taken: {error}", field="token") from None
        return _caller_of(told, settings)

    def _client(self) -> jwt.PyJWKClient:
        if self._keys is None:
            told = _fetch(self._settings.issuer.rstrip("/") + "/.well-known/openid-configuration")
            if told.get("issuer") != self._settings.issuer:
                message = f"{self._settings.issuer} says that it is {told.get('issuer')!r}"
                raise UnavailableError(message)
            where = str(told.get("jwks_uri", ""))
            self._keys = jwt.PyJWKClient(where, lifespan=_KEYS_S, timeout=_ANSWER_S)
        return self._keys


def _caller_of(told: Mapping[str, Any], settings: OidcSettings) -> Caller:
    tenant, scopes = told.get(settings.tenant_claim), told.get(settings.scope_claim, "")
    words = scopes.split() if isinstance(scopes, str) else scopes if isinstance(scopes, list) else []
    known = {scope.value: scope for scope in Scope}
    if not isinstance(tenant, str):
        raise UnauthenticatedError(f"the token names no tenant in {settings.tenant_claim!r}", field="token")
    try:
        check_tenant(tenant, field="token")
    except InvalidInputError as error:
        raise UnauthenticatedError(error.message, field="token") from None
    return Caller(
        tenant=tenant,
        name=str(told["sub"])[:NAME_CHARACTERS],
        # A provider names scopes of other services, too; and "viseme:dub" where its names must not collide.
        scopes=frozenset(known[word] for one in words if (word := str(one).removeprefix("viseme:")) in known),
        until=float(told["exp"]),
    )


def _fetch(url: str) -> dict[str, Any]:
    try:
        with urllib.request.urlopen(url, timeout=_ANSWER_S) as answer:  # noqa: S310 - https, checked with the issuer
            told = json.loads(answer.read(_ANSWER_BYTES))
    except (OSError, ValueError) as error:
        raise UnavailableError(f"{url} does not answer as a provider does: {error}", retry_after_s=5.0) from None
    if not isinstance(told, dict):
        raise UnavailableError(f"{url} does not answer as a provider does")
    return told
