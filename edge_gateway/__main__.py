"""``viseme-edge``: the edge gateway."""

import asyncio
import os
import sys

import uvloop

from edge_gateway.app import edge
from edge_gateway.settings import EdgeSettings
from shared.errors import VisemeError
from shared.memory import KEEP_MESSAGES, calm_collector, set_malloc
from shared.open_files import raise_open_files
from shared.rpc.ready import Ready, announce
from shared.rpc.server import stop_requested
from shared.settings import load
from shared.telemetry.logging import configure_logging, get_logger
from shared.telemetry.start import traced

_LOG = get_logger(__name__)

EXIT_SETTINGS = 2
"""Exit status when the settings are not right, an address is taken, or the folder is another edge's."""


def main() -> None:
    """Run the edge until SIGTERM or SIGINT."""
    try:
        settings = load(
            EdgeSettings, program="viseme-edge", prefix="VISEME_EDGE_", argv=sys.argv[1:], environ=os.environ
        )
        configure_logging(part="edge", log_format=settings.log_format, level=settings.log_level)
        set_malloc(KEEP_MESSAGES, os.environ)
        calm_collector()
        raise_open_files()
        named = {"edge": settings.name, "region": settings.region}
        with traced(settings.otlp_endpoint, part="edge", share=settings.otlp_share, **named):
            uvloop.run(_run(settings))
    except VisemeError as error:
        sys.stderr.write(f"viseme-edge: {error}\n")
        sys.exit(EXIT_SETTINGS)


async def _run(settings: EdgeSettings) -> None:
    stopping = asyncio.ensure_future(stop_requested())
    async with edge(settings) as addresses:
        told = {"rpc": str(addresses.rpc), "web": str(addresses.web), "metrics": str(addresses.metrics)}
        _LOG.info("edge serves", node=settings.node, data=str(settings.data), **told)
        announce(Ready(part="edge", addresses=told), settings.ready_fd)
        number = await stopping
        _LOG.info("edge stops", signal=number.name)


if __name__ == "__main__":
    main()
