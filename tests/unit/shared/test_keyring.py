"""Keys and the file that they stand in."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from shared.access.key import ApiKey
from shared.access.keyring import Keyring, changed
from shared.access.scope import EVERYTHING, read_scopes
from shared.errors import InvalidInputError, NotFoundError, UnauthenticatedError

NOW = datetime.now(UTC)


def test_a_key_is_found_by_its_text_and_its_secret_is_nowhere(tmp_path: Path) -> None:
    key, text = ApiKey.make(name="ci", tenant="acme", scopes=EVERYTHING, expires=NOW + timedelta(days=1))
    file = tmp_path / "deep" / "keys.json"
    with changed(file) as change:
        change(lambda ring: ring.with_key(key))
    assert Keyring.read(file).find(text, NOW) == key
    assert text.rpartition("_")[2] not in file.read_text()
    assert file.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("text", ["", "vis_", "vis_" + "0" * 12 + "_" + "A" * 43, "é"])
def test_what_is_no_key_opens_nothing(text: str) -> None:
    key, _ = ApiKey.make(name="ci", tenant="acme", scopes=EVERYTHING)
    with pytest.raises(UnauthenticatedError, match="no such key"):
        Keyring().with_key(key).find(text, NOW)


def test_a_key_ends_by_time_or_by_hand() -> None:
    key, text = ApiKey.make(name="ci", tenant="acme", scopes=EVERYTHING, expires=NOW + timedelta(days=1))
    ring = Keyring().with_key(key)
    with pytest.raises(UnauthenticatedError, match="expired"):
        ring.find(text, NOW + timedelta(days=2))
    with pytest.raises(UnauthenticatedError, match="revoked"):
        ring.revoked(key.key_id).find(text, NOW)
    with pytest.raises(NotFoundError):
        ring.revoked("0")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "no file of keys"),
        ('{"keys": [{}]}', "no file of keys"),
        ('{"tenants": {"../up": {}}}', "is no tenant"),
        ('{"tenants": {"acme": {"stored_bites": 1}}}', "no limit of a tenant"),
        ('{"tenants": {"acme": {"stored_bytes": -1}}}', "number from 0 on"),
    ],
)
def test_a_file_that_is_none_says_why(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "keys.json"
    file.write_text(text)
    with pytest.raises(InvalidInputError, match=words):
        Keyring.read(file)


def test_names_scopes_and_tenants_are_checked() -> None:
    for name, tenant in (("", "acme"), ("a\nb", "acme"), ("ci", "../up"), ("ci", "A")):
        with pytest.raises(InvalidInputError):
            ApiKey.make(name=name, tenant=tenant, scopes=EVERYTHING)
    with pytest.raises(InvalidInputError, match="no scope"):
        read_scopes(["all"], field="scope")
    assert read_scopes([], field="scope") == EVERYTHING


def test_limits_are_kept_with_the_keys(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_text(json.dumps({"keys": [], "tenants": {"acme": {"stored_bytes": 5}}}))
    with changed(file) as change:
        change(lambda ring: ring)
    assert Keyring.read(file).tenants == {"acme": {"stored_bytes": 5}}
