"""``viseme certs``: a private authority, and certificates for edges, nodes and clients."""

import dataclasses
import json
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shared.cli.command import JsonOption, run_command

if TYPE_CHECKING:
    from shared.tls.certificate import Certificate

certs = typer.Typer(
    name="certs",
    help="A private authority, and certificates for edges, nodes and clients.",
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

FolderArgument = Annotated[Path, typer.Argument(metavar="DIR", help="The folder of the authority; keep it offline.")]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace what is there.")]

_ISSUE_EXAMPLES = """\b
viseme certs init ca
viseme certs issue ca node gpu-1 --host gpu.example -o gpu-1
viseme certs issue ca edge eu --host edge.example --host 10.0.0.5 -o eu
viseme certs issue ca client anna -o anna
Each folder then holds certificate.pem, key.pem, and the authorities of those
whom its owner talks to: nodes.pem and clients.pem, or edges.pem.
"""


@certs.command()
def init(folder: FolderArgument, force: ForceOption = False, as_json: JsonOption = False) -> None:
    """Make the authority: one for each role, so that who trusts nodes does not trust clients."""

    def work() -> "list[Certificate]":
        from shared.tls.authority import make_authority

        return make_authority(folder, force=force)

    _run(work, as_json=as_json)


@certs.command(epilog=_ISSUE_EXAMPLES)
def issue(
    folder: FolderArgument,
    role: Annotated[str, typer.Argument(metavar="edge|node|client", help="Whose it is.")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="What its owner is called.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="OUT", help="The folder for its owner.")],
    host: Annotated[
        list[str] | None,
        typer.Option(metavar="HOST", help="A DNS name or IP address under which it is called; may be repeated."),
    ] = None,
    days: Annotated[int, typer.Option(metavar="DAYS", help="How long it holds, 1 to 825.")] = 365,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Issue a certificate: one file for it, one for its key, and whom its owner trusts."""

    def work() -> "list[Certificate]":
        from shared.tls.authority import issue as make
        from shared.tls.certificate import role_of

        return [make(folder, role_of(role), name, host or (), output=output, days=days, force=force)]

    _run(work, as_json=as_json)


@certs.command()
def show(
    file: Annotated[Path, typer.Argument(metavar="FILE.pem", help="Certificates.")], as_json: JsonOption = False
) -> None:
    """Say whose the certificates in FILE are, who issued them, and until when they hold."""

    def work() -> "list[Certificate]":
        from shared.tls.certificate import Certificate, certificates_in, read_pem

        return [Certificate.of(one) for one in certificates_in(read_pem(file, field="file"), file, field="file")]

    _run(work, as_json=as_json)


def _run(work: "Callable[[], list[Certificate]]", *, as_json: bool) -> None:
    run_command(lambda _display: _tell(work, as_json=as_json), as_json=as_json)


def _tell(work: "Callable[[], list[Certificate]]", *, as_json: bool) -> Coroutine[Any, Any, None]:
    async def told() -> None:
        from shared.errors import UnavailableError

        try:
            made = work()
        except ModuleNotFoundError as error:
            raise UnavailableError(f"{error.name} is not installed; run: pip install 'viseme[service]'") from None
        for one in made:
            print(json.dumps(_plain(one)) if as_json else _lines(one))

    return told()


def _plain(one: "Certificate") -> dict[str, Any]:
    told = dataclasses.asdict(one)
    return {**told, "begins": one.begins.isoformat(), "ends": one.ends.isoformat(), "days_left": _days(one)}


def _days(one: "Certificate") -> int:
    return (one.ends - datetime.now(UTC)).days


def _lines(one: "Certificate") -> str:
    left = _days(one)
    until = f"{one.ends:%F} ({left} days left)" if left >= 0 else f"{one.ends:%F}: it has run out"
    return (
        f"{one.name}\n  role         {one.role or 'none'}\n  names        {', '.join(one.names) or 'none'}\n"
        f"  issuer       {one.issuer}\n  until        {until}\n  fingerprint  {one.fingerprint}"
    )
