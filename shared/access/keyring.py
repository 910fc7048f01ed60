"""The file of keys: made by ``viseme keys``, read by edges, which look at it again when it has changed.

It has no secrets in it, so that one file may be sent to every edge of an operator. ::

    {"keys": [{"key_id": "0123456789ab", "name": "ci", "tenant": "acme", "scopes": ["dub", "read"],
               "digest": "<SHA-256 of the secret>", "created": "2026-01-31T12:00:00+00:00",
               "expires": null, "revoked": null}],
     "tenants": {"acme": {"stored_bytes": 50000000000}}}
"""

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Self

from shared.access.key import ApiKey, check_tenant, read_text
from shared.access.quota import Quota
from shared.access.scope import read_scopes
from shared.errors import InvalidInputError, NotFoundError, UnauthenticatedError
from shared.lock import locked

_LOOK_S: Final = 1.0
"""How soon a change of the file is seen."""
_UNKNOWN: Final = "0" * 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Keyring:
    """Keys, and what tenants may have."""

    keys: Mapping[str, ApiKey] = field(default_factory=dict)
    """By their ids."""
    tenants: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """The limits that differ from the edge's, by tenant."""

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a file of keys.

        Raises:
            InvalidInputError: It cannot be read or is none.
        """
        try:
            told = json.loads(path.read_text(encoding="utf-8"))
            keys = [_key(one) for one in told.get("keys", [])]
            tenants = {check_tenant(name): dict(limits) for name, limits in told.get("tenants", {}).items()}
        except OSError as error:
            raise InvalidInputError(f"{path} cannot be read: {error.strerror}", field="keys") from None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InvalidInputError(f"{path} is no file of keys: {error}", field="keys") from None
        for name, limits in tenants.items():
            Quota().with_changes(limits, field=f"tenants.{name}")
        return cls(keys={key.key_id: key for key in keys}, tenants=tenants)

    def find(self, text: str, now: datetime) -> ApiKey:
        """The key of a text.

        Raises:
            UnauthenticatedError: There is none, or it holds no longer.
        """
        key_id, secret = read_text(text) or ("", "")
        key = self.keys.get(key_id)
        # Something is hashed in any case: how long it takes must not tell whether there is a key of this id.
        if not (key or _NOBODY).is_of(secret) or key is None:
            raise UnauthenticatedError("this edge knows no such key; ask its operator for one", field="key")
        key.check(now)
        return key

    def write(self, path: Path) -> None:
        """Replace the file, as a whole or not at all."""
        told = {"keys": [_plain(key) for key in self.keys.values()], "tenants": self.tenants}
        fresh = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
                json.dump(told, file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(path)
        except OSError as error:
            raise InvalidInputError(f"{path} cannot be written: {error.strerror}", field="keys") from None

    def with_key(self, key: ApiKey) -> Self:
        """With another key, or with a key in another state."""
        return replace(self, keys={**self.keys, key.key_id: key})

    def revoked(self, key_id: str) -> Self:
        """With a key that holds no longer.

        Raises:
            NotFoundError: There is none of this id.
        """
        key = self.keys.get(key_id)
        if key is None:
            raise NotFoundError(f"there is no key {key_id!r}; `viseme keys list` shows them", field="key_id")
        return self.with_key(key if key.revoked else replace(key, revoked=datetime.now(UTC)))


@contextmanager
def changed(path: Path) -> "Iterator[Callable[[Callable[[Keyring], Keyring]], Keyring]]":
    """Change a file of keys, one program at a time; a file that is not there is empty."""
    folder = path.absolute().parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidInputError(f"{folder} cannot be made: {error.strerror}", field="keys") from None

    def change(how: Callable[[Keyring], Keyring]) -> Keyring:
        ring = how(Keyring.read(path) if path.exists() else Keyring())
        ring.write(path)
        return ring

    with locked(folder, name=f".{path.name}.lock", wait=True):
        yield change


class KeyFile:
    """A file of keys that may be replaced while it is used; a file that is broken leaves the keys as they were.

    Args:
        path: The file.
        on_bad: Told why a new file was not taken.

    Raises:
        InvalidInputError: It cannot be read or is none.
    """

    def __init__(self, path: Path, on_bad: Callable[[str], None] = lambda _: None) -> None:
        self._path = path
        self._on_bad = on_bad
        self._state = _state(path)
        self._ring = Keyring.read(path)
        self._looked = time.monotonic()

    def current(self) -> Keyring:
        """The keys as they are now, a second old at most."""
        now = time.monotonic()
        if now - self._looked >= _LOOK_S:
            self._looked = now
            state = _state(self._path)
            if state != self._state:
                self._state = state
                try:
                    self._ring = Keyring.read(self._path)
                except InvalidInputError as error:
                    self._on_bad(error.message)
        return self._ring


def _state(path: Path) -> tuple[int, int, int]:
    try:
        told = path.stat()
    except OSError:
        return (0, 0, 0)
    return (told.st_mtime_ns, told.st_size, told.st_ino)


def _key(told: Mapping[str, Any]) -> ApiKey:
    return ApiKey(
        key_id=str(told["key_id"]),
        name=str(told["name"]),
        tenant=check_tenant(told["tenant"]),
        scopes=read_scopes(told["scopes"], field="keys"),
        digest=str(told["digest"]),
        created=datetime.fromisoformat(told["created"]),
        expires=_time(told.get("expires")),
        revoked=_time(told.get("revoked")),
    )


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _plain(key: ApiKey) -> dict[str, Any]:
    return {
        "key_id": key.key_id,
        "name": key.name,
        "tenant": key.tenant,
        "scopes": sorted(scope.value for scope in key.scopes),
        "digest": key.digest,
        "created": key.created.isoformat(),
        "expires": key.expires.isoformat() if key.expires else None,
        "revoked": key.revoked.isoformat() if key.revoked else None,
    }


_NOBODY: Final = ApiKey(
    key_id="", name="", tenant="", scopes=frozenset(), digest=_UNKNOWN, created=datetime.min.replace(tzinfo=UTC)
)
