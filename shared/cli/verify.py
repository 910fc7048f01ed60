"""``viseme verify``: what a file claims, and whether it holds."""

import json
from importlib.util import find_spec
from pathlib import Path

import typer

from shared.cli.exits import ExitCode
from shared.errors import InvalidInputError
from shared.provenance.finding import Standing, in_words

_CODES = {
    Standing.HOLDS: ExitCode.OK,
    Standing.BROKEN: ExitCode.BROKEN,
    Standing.UNSIGNED: ExitCode.UNSIGNED,
}
_WANTED = ("c2pa", "landlock", "pyseccomp")


async def verify(path: Path, trust: Path | None, *, walls: bool, as_json: bool) -> None:
    """Print what was found out about a file, and end with the exit code for it.

    Raises:
        VisemeError: nothing could be found out.
        typer.Exit: the file's claims do not hold, or there are none.
    """
    if any(find_spec(name) is None for name in _WANTED):
        raise InvalidInputError("it wants more than is installed: pip install 'viseme[verify]'", field="verify")
    from shared.provenance.verify import verify as look

    finding = await look(path, trust, walls=walls)
    if as_json:
        print(json.dumps({"type": "finding", "file": str(path), **finding.to_json()}))
    else:
        print("\n".join(in_words(finding, path.name)))
    if (code := _CODES[finding.standing]) is not ExitCode.OK:
        raise typer.Exit(code)
