"""``viseme keys``: who may call an edge."""

import json
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shared.cli.command import JsonOption, run_command

if TYPE_CHECKING:
    from shared.access.key import ApiKey

keys = typer.Typer(
    name="keys",
    help="Keys for callers of an edge, in the file that it gets by --keys.",
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

FileOption = Annotated[
    Path,
    typer.Option("--file", metavar="FILE", envvar="VISEME_KEYS", help="The file of keys; edges see changes in 1 s."),
]
_DEFAULT_FILE = Path("viseme-keys.json")
_EXAMPLES = """\b
viseme keys create ci --tenant acme --days 90
viseme keys create page --tenant acme --scope read --scope dub
viseme-edge --keys viseme-keys.json
VISEME_KEY=vis_... viseme jobs --edge https://edge.example:50051
"""


@keys.command(epilog=_EXAMPLES)
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What people call the key.")],
    file: FileOption = _DEFAULT_FILE,
    tenant: Annotated[
        str, typer.Option(metavar="TENANT", help="Whose key it is; tenants do not see each other.")
    ] = "default",
    scope: Annotated[
        list[str] | None, typer.Option(metavar="read|dub|delete", help="What it may; all, where none is named.")
    ] = None,
    days: Annotated[int, typer.Option(metavar="DAYS", help="How long it holds; 0 for ever.", min=0)] = 0,
    as_json: JsonOption = False,
) -> None:
    """Make a key and show it, this once: only its digest is kept."""

    def work() -> None:
        from shared.access.key import ApiKey
        from shared.access.keyring import changed
        from shared.access.scope import read_scopes

        expires = datetime.now(UTC) + timedelta(days=days) if days else None
        key, text = ApiKey.make(
            name=name, tenant=tenant, scopes=read_scopes(scope or (), field="scope"), expires=expires
        )
        with changed(file) as change:
            change(lambda ring: ring.with_key(key))
        print(json.dumps({"key": text, **_plain(key)}) if as_json else f"{text}\n{_line(key)}")

    _run(work, as_json=as_json)


@keys.command("list")
def list_keys(file: FileOption = _DEFAULT_FILE, as_json: JsonOption = False) -> None:
    """Show the keys of a file, without what would let anybody in."""

    def work() -> None:
        from shared.access.keyring import Keyring

        for key in Keyring.read(file).keys.values():
            print(json.dumps(_plain(key)) if as_json else _line(key))

    _run(work, as_json=as_json)


@keys.command()
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="The key's id, from `viseme keys list`.")],
    file: FileOption = _DEFAULT_FILE,
    as_json: JsonOption = False,
) -> None:
    """Let a key hold no longer."""

    def work() -> None:
        from shared.access.keyring import changed

        with changed(file) as change:
            key = change(lambda ring: ring.revoked(key_id)).keys[key_id]
        print(json.dumps(_plain(key)) if as_json else _line(key))

    _run(work, as_json=as_json)


def _run(work: Callable[[], None], *, as_json: bool) -> None:
    def told(_display: Any) -> Coroutine[Any, Any, None]:
        async def do() -> None:
            work()

        return do()

    run_command(told, as_json=as_json)


def _state(key: "ApiKey") -> str:
    if key.revoked:
        return "revoked"
    return "expired" if key.expires and key.expires <= datetime.now(UTC) else "holds"


def _plain(key: "ApiKey") -> dict[str, Any]:
    return {
        "key_id": key.key_id,
        "name": key.name,
        "tenant": key.tenant,
        "scopes": sorted(one.value for one in key.scopes),
        "created": key.created.isoformat(),
        "expires": key.expires.isoformat() if key.expires else None,
        "state": _state(key),
    }


def _line(key: "ApiKey") -> str:
    until = f"until {key.expires:%F}" if key.expires else "for ever"
    return (
        f"{key.key_id}  {_state(key):7}  {key.tenant:16}  {','.join(sorted(one.value for one in key.scopes)):15}  "
        f"{until}  {key.name}"
    )
