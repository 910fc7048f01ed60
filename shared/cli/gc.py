"""``viseme gc``: what may go of an edge's folder on this machine."""

import json
import os
import re
from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from shared.cli.command import JsonOption, places, run_command

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_TIME = re.compile(r"(\d+(?:\.\d+)?)([smhd])?")
_HELP: Final = "How long they stay: 30d, 12h, 45m, 90s, or 0 for ever; else as the edge's settings say."
EXAMPLES = """\b
viseme gc --dry-run                         what would go by the edge's settings
viseme gc --dry-run --job-keep 30d --asset-keep 90d
viseme gc --data /var/lib/viseme/edge       the same for good; the edge must be stopped
The edge's settings are taken from VISEME_EDGE_* and --config, as viseme-edge does.
"""
_WORDS: Final = {
    "job": "jobs, with events and results",
    "result": "finished videos",
    "asset": "files that were brought",
    "upload": "unfinished uploads",
    "face": "faces",
    "webhook": "webhooks that were told",
    "file": "files of which nothing knows",
    "row": "rows whose file is gone",
}


def gc(
    data: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The edge's data folder; else VISEME_EDGE_DATA, else that of `viseme up`."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go; an edge may run.")] = False,
    job_keep: Annotated[str, typer.Option(metavar="TIME", help=f"Jobs that are over. {_HELP}")] = "",
    result_keep: Annotated[str, typer.Option(metavar="TIME", help="Finished videos.")] = "",
    asset_keep: Annotated[str, typer.Option(metavar="TIME", help="Files that were brought.")] = "",
    face_keep: Annotated[str, typer.Option(metavar="TIME", help="Faces that were cut.")] = "",
    upload_expire: Annotated[str, typer.Option(metavar="TIME", help="Uploads that nothing comes for.")] = "",
    config: Annotated[Path | None, typer.Option(metavar="FILE", help="The edge's TOML file.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Clear away what an edge's folder has kept for long enough, and what belongs to nothing."""

    async def work() -> None:
        given = {
            "job-keep-s": job_keep,
            "result-keep-s": result_keep,
            "asset-keep-s": asset_keep,
            "face-keep-s": face_keep,
            "upload-expire-s": upload_expire,
            "tus-expire-s": upload_expire,
        }
        flags = [f"--{name}={_seconds(text, name)}" for name, text in given.items() if text]
        if config is not None:
            flags.append(f"--config={config.absolute()}")
        if data is not None or not (config is not None or "VISEME_EDGE_DATA" in os.environ):
            flags.append(f"--data={(data or places().data / 'edge').absolute()}")
        from shared.cli.edge_program import ask_keeping

        *items, end = await ask_keeping([*flags, *(["--dry-run"] if dry_run else [])])
        _tell(items, end, as_json=as_json)

    run_command(lambda _display: work(), as_json=as_json)


def _seconds(text: str, name: str) -> float:
    from shared.errors import InvalidInputError

    told = _TIME.fullmatch(text.strip())
    if told is None:
        field = name.removesuffix("-s")
        raise InvalidInputError(f"--{field} {text!r} is no time; write 30d, 12h, 45m or 90s", field=field)
    return float(told[1]) * _UNITS[told[2] or "s"]


def _tell(items: list[dict[str, Any]], end: dict[str, Any], *, as_json: bool) -> None:
    from shared.cli.assets import size_words

    counts: Counter[str] = Counter(item["kind"] for item in items)
    sizes: Counter[str] = Counter()
    for item in items:
        sizes[item["kind"]] += item["size_bytes"]
        line = f"{item['kind']:<8} {size_words(item['size_bytes']):>12}  {item['name']}"
        print(json.dumps(item) if as_json else line)
    if as_json:
        kinds = {kind: {"count": counts[kind], "size_bytes": sizes[kind]} for kind in counts}
        print(json.dumps({**end, "kinds": kinds}))
        return
    print(("would go" if end["dry_run"] else "gone") + f" from {end['data']}:" + ("" if items else " nothing"))
    for kind, count in counts.items():
        print(f"{count:>8} {size_words(sizes[kind]):>12}  {_WORDS[kind]}")
    if end["edge_runs"]:
        print("an edge runs there: it lets go by itself, by its own settings; stop it to clear more away")
