"""``viseme-node``: the program."""

import asyncio
import os
import sys

from inference_node.app import Node, running_node
from inference_node.memory import settle_memory
from inference_node.settings import PREFIX, NodeSettings
from inference_node.triton.watchdog import TritonState
from shared.errors import VisemeError
from shared.rpc.ready import Ready, announce
from shared.rpc.server import stop_requested
from shared.settings import load
from shared.telemetry.logging import configure_logging, get_logger
from shared.telemetry.start import traced

_LOG = get_logger(__name__)

EXIT_SETTINGS = 2
"""Exit status when the settings are not right, an address is taken, or the folder is another node's."""


def main() -> None:
    """Run a node until it is asked to stop."""
    try:
        settings = load(NodeSettings, program="viseme-node", prefix=PREFIX, argv=sys.argv[1:], environ=os.environ)
        configure_logging(part="node", log_format=settings.log_format, level=settings.log_level)
        settle_memory(os.environ)
        named = {"node": settings.node_name, "region": settings.region}
        with traced(settings.otlp_endpoint, part="node", share=settings.otlp_share, **named):
            asyncio.run(_serve(settings))
    except VisemeError as error:
        sys.stderr.write(f"viseme-node: {error}\n")
        sys.exit(EXIT_SETTINGS)


async def _serve(settings: NodeSettings) -> None:
    async with running_node(settings) as node, asyncio.TaskGroup() as group:
        announcing = group.create_task(_announce(node, settings.ready_fd), name="announce")
        number = await stop_requested()
        _LOG.info("stopping", signal=number.name)
        announcing.cancel()


async def _announce(node: Node, fd: int | None) -> None:
    """Say that the node is ready once Triton is, or has failed to be: that is then for health to tell."""
    addresses = {"rpc": str(node.rpc), "metrics": str(node.metrics)}
    state = await node.runtime.next_state(TritonState.STARTING)
    if node.shelf is not None:
        await node.shelf.looked.wait()
    _LOG.info("ready", triton=state.value, **addresses)
    announce(Ready(part="node", addresses=addresses), fd)


if __name__ == "__main__":
    main()
