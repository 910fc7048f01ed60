"""A private authority: what it issues, what it refuses, what it never overwrites."""

import json
import ssl
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from shared.cli.main import app
from shared.errors import ConflictError, InvalidInputError, NotFoundError
from shared.tls.authority import issue, make_authority
from shared.tls.certificate import Certificate, Role, certificates_in


def test_certificate_says_its_role_its_names_and_how_long_it_holds(tmp_path: Path) -> None:
    make_authority(tmp_path / "ca")
    made = issue(tmp_path / "ca", Role.EDGE, "eu", ["Edge.example", "10.0.0.5"], output=tmp_path / "eu", days=30)
    chain = (tmp_path / "eu" / "certificate.pem").read_bytes()
    assert Certificate.of(certificates_in(chain, tmp_path, field="file")[0]) == made
    assert (made.role, made.names, made.issuer) == (
        "edge",
        ("edge.example", "10.0.0.5"),
        "viseme authority of edges",
    )
    assert timedelta(days=29) < made.ends - datetime.now(UTC) <= timedelta(days=30)


def test_keys_are_for_their_owner_alone_and_nothing_unfinished_is_left(tmp_path: Path) -> None:
    make_authority(tmp_path / "ca")
    issue(tmp_path / "ca", Role.NODE, "gpu", ["gpu.example"], output=tmp_path / "gpu", days=1)
    keys = [*tmp_path.glob("ca/*.key"), tmp_path / "gpu" / "key.pem"]
    assert [stat.S_IMODE(key.stat().st_mode) for key in keys] == [0o600] * 4
    assert not list(tmp_path.rglob("*.part"))


def test_each_owner_gets_the_authorities_of_those_it_talks_to_alone(tmp_path: Path) -> None:
    make_authority(tmp_path / "ca")
    for role in Role:
        issue(tmp_path / "ca", role, "one", ["one.example"], output=tmp_path / role, days=1)
    trusted = {role: sorted(p.name for p in (tmp_path / role).glob("*s.pem")) for role in Role}
    assert trusted == {Role.EDGE: ["clients.pem", "nodes.pem"], Role.NODE: ["edges.pem"], Role.CLIENT: ["edges.pem"]}
    context = ssl.create_default_context(cafile=tmp_path / "edge" / "nodes.pem")
    (known,) = context.get_ca_certs()
    assert (("commonName", "viseme authority of nodes"),) in known["subject"]


def test_nothing_is_overwritten_unless_it_is_asked_for(tmp_path: Path) -> None:
    make_authority(tmp_path / "ca")
    before = (tmp_path / "ca" / "edge-authority.key").read_bytes()
    with pytest.raises(ConflictError, match="--force"):
        make_authority(tmp_path / "ca")
    assert (tmp_path / "ca" / "edge-authority.key").read_bytes() == before
    make_authority(tmp_path / "ca", force=True)
    assert (tmp_path / "ca" / "edge-authority.key").read_bytes() != before


@pytest.mark.parametrize(
    ("names", "days", "field"),
    [([], 1, "host"), (["a b"], 1, "host"), (["edge.example:50051"], 1, "host"), (["e"], 826, "days")],
)
def test_what_cannot_be_issued_names_its_field(tmp_path: Path, names: list[str], days: int, field: str) -> None:
    make_authority(tmp_path / "ca")
    with pytest.raises(InvalidInputError) as caught:
        issue(tmp_path / "ca", Role.EDGE, "eu", names, output=tmp_path / "eu", days=days)
    assert caught.value.field == field
    assert not (tmp_path / "eu").exists()


def test_folder_without_an_authority_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="viseme certs init"):
        issue(tmp_path, Role.CLIENT, "anna", [], output=tmp_path / "anna", days=1)


def test_command_line_makes_issues_and_shows(tmp_path: Path) -> None:
    run = CliRunner()
    assert run.invoke(app, ["certs", "init", str(tmp_path / "ca")]).exit_code == 0
    words = ["certs", "issue", str(tmp_path / "ca"), "client", "anna", "-o", str(tmp_path / "anna")]
    assert run.invoke(app, words).exit_code == 0
    assert run.invoke(app, words).exit_code == 1
    shown = run.invoke(app, ["certs", "show", str(tmp_path / "anna" / "certificate.pem"), "--json"])
    told = json.loads(shown.stdout)
    assert (told["name"], told["role"], told["days_left"]) == ("anna", "client", 364)
    wrong = run.invoke(app, ["certs", "issue", str(tmp_path / "ca"), "boss", "anna", "-o", str(tmp_path / "b")])
    assert wrong.exit_code == 3
