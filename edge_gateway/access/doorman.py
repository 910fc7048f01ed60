"""Who is let in: keys, tokens of a provider, sessions of the page; or everybody, where only this machine calls."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from edge_gateway.access.allowance import Allowance
from edge_gateway.access.audit import Audit
from edge_gateway.access.caller import LOCAL, Caller
from edge_gateway.access.oidc import Oidc
from edge_gateway.access.policy import Anyone, Need
from edge_gateway.access.seal import Seal
from shared.access.keyring import KeyFile
from shared.access.quota import Quota
from shared.access.scope import read_scopes
from shared.errors import UnauthenticatedError, VisemeError

_SESSION: Final = "session"
_LINK: Final = "link"


class Doorman:
    """Lets callers in.

    Args:
        keys: The keys; None where there are none.
        oidc: Reads tokens; None where no provider's are taken.
        seal: Seals sessions and links.
        audit: Where it is written down; None where nobody is asked who they are.
        quota: What a tenant may have that the keys say nothing else of.
        session_s: How long a session of the page lasts.
        on_refused: Told why somebody was not let in, in one word.
    """

    def __init__(
        self,
        *,
        keys: KeyFile | None,
        oidc: Oidc | None,
        seal: Seal,
        audit: Audit | None,
        quota: Quota,
        session_s: float,
        on_refused: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._keys = keys
        self._oidc = oidc
        self._seal = seal
        self._audit = audit
        self._quota = quota
        self._session_s = session_s
        self._on_refused = on_refused
        self._allowances: dict[str, Allowance] = {}

    @property
    def asks(self) -> bool:
        """Whether it is asked who calls."""
        return self._keys is not None or self._oidc is not None

    def quota(self, tenant: str) -> Quota:
        """What a tenant may have."""
        told = self._keys.current().tenants.get(tenant) if self._keys is not None else None
        return self._quota.with_changes(told, field=f"tenants.{tenant}") if told else self._quota

    def allowance(self, tenant: str) -> Allowance:
        """What a tenant has left."""
        found = self._allowances.get(tenant)
        if found is None:
            found = self._allowances[tenant] = Allowance(lambda: self.quota(tenant))
        return found

    async def caller(self, *, bearer: str = "", session: str = "") -> Caller:
        """Who shows these.

        Raises:
            UnauthenticatedError: Nobody who is known.
            UnavailableError: The provider cannot be asked.
        """
        if not self.asks:
            return LOCAL
        if bearer:
            return await self._bearer(bearer)
        if session:
            return self._from_session(session)
        raise UnauthenticatedError(
            "this edge asks who calls; give a key: VISEME_KEY, viseme.connect(..., key=...) or the header "
            "Authorization: Bearer KEY",
            field="key",
        )

    async def _bearer(self, text: str) -> Caller:
        if self._keys is not None and (self._oidc is None or text.startswith("vis_")):
            key = self._keys.current().find(text, datetime.now(UTC))
            return Caller(tenant=key.tenant, name=key.key_id, scopes=key.scopes, key_id=key.key_id)
        if self._oidc is None:
            raise UnauthenticatedError("this edge takes no keys", field="key")
        return await self._oidc.caller(text)

    def _from_session(self, text: str) -> Caller:
        told = self._seal.open(_SESSION, text)
        if key_id := told.get("key"):
            key = self._keys.current().keys.get(key_id) if self._keys is not None else None
            if key is None:
                raise UnauthenticatedError("the key of this session is gone; sign in again", field=_SESSION)
            key.check(datetime.now(UTC))
            return Caller(tenant=key.tenant, name=key.key_id, scopes=key.scopes, key_id=key.key_id)
        return Caller(
            tenant=told["tenant"],
            name=told["name"],
            scopes=read_scopes(told["scopes"], field=_SESSION) if told["scopes"] else frozenset(),
            until=float(told["exp"]),
        )

    def check_still(self, caller: Caller) -> None:
        """Refuse to go on with what was begun, where a key was revoked or a time is over.

        Raises:
            UnauthenticatedError: It is so.
        """
        if caller.until is not None and caller.until <= time.time():
            raise UnauthenticatedError("the session or token has expired; show another", field="key")
        if not caller.key_id or self._keys is None:
            return
        key = self._keys.current().keys.get(caller.key_id)
        if key is None:
            raise UnauthenticatedError(f"the key {caller.key_id} is gone; ask the operator for another", field="key")
        key.check(datetime.now(UTC))

    async def sign_in(self, bearer: str) -> tuple[str, float]:
        """A session for whoever shows a key or a token, and how many seconds it lasts.

        Raises:
            UnauthenticatedError: Nobody who is known.
            UnavailableError: The provider cannot be asked.
        """
        caller = await self.caller(bearer=bearer)
        now = time.time()
        until = min(now + self._session_s, caller.until or now + self._session_s)
        if caller.key_id:
            told: dict[str, object] = {"key": caller.key_id}
        else:
            scopes = sorted(scope.value for scope in caller.scopes)
            told = {"tenant": caller.tenant, "name": caller.name, "scopes": scopes}
        return self._seal.seal(_SESSION, told, until=until), until - now

    def link(self, caller: Caller, job_id: str, until: float) -> str:
        """A text by which anybody may fetch a job's result until a time in seconds since 1970."""
        return self._seal.seal(_LINK, {"tenant": caller.tenant, "job": job_id}, until=until)

    def open_link(self, text: str) -> tuple[str, str]:
        """The tenant and the job of a link.

        Raises:
            UnauthenticatedError: It is none of this edge, or its time is over.
        """
        told = self._seal.open(_LINK, text)
        return str(told["tenant"]), str(told["job"])

    def check(self, caller: Caller, need: Need) -> None:
        """Refuse what a caller may not, or not now.

        Raises:
            PermissionDeniedError: It may not.
            ResourceExhaustedError: Its tenant asks too much.
        """
        if isinstance(need, Anyone):
            return
        caller.check(need)
        if self.asks:
            self.allowance(caller.tenant).take_request()

    def note_status(self, caller: Caller, what: str, status: int, peer: str) -> None:
        """Write down what was answered by HTTP."""
        if self._audit is not None:
            self._audit.done(caller, what, "", "ok" if 0 < status < 400 else f"http {status}", peer)

    def note(self, caller: Caller | None, what: str, subject: str, error: VisemeError | None, peer: str) -> None:
        """Write down what was done or refused."""
        outcome = error.reason if error is not None else "ok"
        if error is not None:
            self._on_refused(outcome)
        if self._audit is None:
            return
        if caller is None:
            self._audit.refused(what, outcome, peer)
        else:
            self._audit.done(caller, what, subject, outcome, peer)
