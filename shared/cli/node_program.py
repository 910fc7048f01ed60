"""The node's own program for networks, run on this machine; the command line knows nothing of networks itself."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any, Final

from shared.cli.edges import Given, edges_of, open_edge
from shared.cli.local import ROOT, part_program
from shared.cli.places import Places
from shared.errors import InternalError, VisemeError, by_reason

LISTED_SECONDS: Final = 20.0
"""A node looks at the folder every few seconds, and the edge asks its nodes as often."""

_AGAIN_S: Final = 0.5


async def ask_networks(models: Path, *words: str) -> list[dict[str, Any]]:
    """Run ``python -m inference_node.own`` and give the networks that it tells of.

    Raises:
        NodeUnavailableError: The node is not installed here.
        VisemeError: What the program answered.
    """
    part_program("node", data=models, listens={})  # raises where it is not installed
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "inference_node.own", "--models", str(models), *words),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
        cwd=ROOT,
    )
    try:
        out, err = await process.communicate()
    finally:
        with contextlib.suppress(ProcessLookupError):  # it reads files in a child of its own
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
    try:
        answer = json.loads(out.splitlines()[-1])
    except (IndexError, ValueError):
        words_of = err.decode(errors="replace").strip().splitlines()
        raise InternalError(f"the node's program failed: {words_of[-1] if words_of else 'it said nothing'}") from None
    if "error" in answer:
        error = answer["error"]
        raise by_reason(str(error["reason"]))(
            str(error["message"]), field=str(error["field"]), limit=str(error["limit"])
        )
    told: list[dict[str, Any]] = answer["networks"]
    return told


async def listed_by_edge(name: str, given: Given, where: Places) -> bool | None:
    """Wait until an edge, or the one that runs on this machine, lists an engine; None where none runs."""
    addresses = await edges_of(given, where)
    if not addresses:
        return None
    try:
        async with asyncio.timeout(LISTED_SECONDS), open_edge(addresses, where) as edge:
            while True:
                told = await edge.capabilities()
                if any(engine.name == name for engine in told.engines):
                    return True
                await asyncio.sleep(_AGAIN_S)
    except (TimeoutError, VisemeError):
        return False
