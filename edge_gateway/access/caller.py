"""Who calls."""

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

from shared.access.key import DEFAULT_TENANT
from shared.access.scope import EVERYTHING, Scope
from shared.errors import PermissionDeniedError


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Somebody who may call."""

    tenant: str
    name: str
    """For the audit log: a key's id, or the subject of a token."""
    scopes: frozenset[Scope]
    key_id: str = ""
    """The key that was shown; empty where it was something else."""
    until: float | None = None
    """When that ends, in seconds since 1970; None where nobody knows."""

    def check(self, scope: Scope) -> None:
        """Refuse what this caller may not do.

        Raises:
            PermissionDeniedError: It may not.
        """
        if scope not in self.scopes:
            may = ", ".join(sorted(one.value for one in self.scopes)) or "nothing"
            raise PermissionDeniedError(f"this takes the scope {scope.value!r}, and {self.name} may {may}", field="key")


LOCAL: Final = Caller(tenant=DEFAULT_TENANT, name="local", scopes=EVERYTHING)
"""Whoever calls an edge that only this machine reaches."""

CALLER: Final[ContextVar[Caller]] = ContextVar("caller", default=LOCAL)
"""Whose call is served: set by the gates, which stand before everything that serves."""
