"""The edge's own program for its folder, run on this machine; the command line knows nothing of that folder itself."""

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from shared.cli.local import ROOT, part_program
from shared.errors import InternalError, by_reason


async def ask_keeping(flags: Sequence[str]) -> list[dict[str, Any]]:
    """Run ``python -m edge_gateway.keeping``: its lines, the last of which sums up.

    Raises:
        EdgeUnavailableError: the edge is not installed here.
        VisemeError: what the program answered.
    """
    part_program("edge", data=Path(), listens={})  # raises where it is not installed
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "edge_gateway.keeping", *flags),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])},
    )
    out, err = await process.communicate()
    try:
        told: list[dict[str, Any]] = [json.loads(line) for line in out.splitlines()]
        last = told[-1]
    except (IndexError, ValueError):
        words = err.decode(errors="replace").strip().splitlines()
        raise InternalError(f"the edge's program failed: {words[-1] if words else 'it said nothing'}") from None
    if "error" in last:
        error = last["error"]
        raise by_reason(str(error["reason"]))(
            str(error["message"]), field=str(error["field"]), limit=str(error["limit"])
        )
    return told
