"""The edge put together: everything is made here, in one stack, and taken down in the reverse order."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace

from edge_gateway.access.links import BaseUrl
from edge_gateway.entrance import check_doors, open_doorman, tls_ends, tls_of
from edge_gateway.identity import Identity
from edge_gateway.metrics import EdgeMetrics
from edge_gateway.neighbours import Neighbours
from edge_gateway.node_pool import NodePool
from edge_gateway.peers import Peers
from edge_gateway.premises import open_premises
from edge_gateway.rpc.gate import Gate
from edge_gateway.services import Frontage
from edge_gateway.settings import EdgeSettings
from edge_gateway.tenants import Tenants
from edge_gateway.web.gate import WebGate
from edge_gateway.web.http import HeadLimits
from edge_gateway.web.operations import OPERATIONS
from edge_gateway.web.pack import pack
from edge_gateway.web.page import Page
from edge_gateway.web.server import serve_web
from shared.access.key import DEFAULT_TENANT
from shared.rpc.address import Address, parse_address, parse_listen
from shared.rpc.congestion import tell_congestion_control
from shared.rpc.server import RpcServer
from shared.rpc.tls import Door
from shared.telemetry.metrics import CallMetrics, certificate_gauge, new_registry, serve_metrics
from shared.version import version

_SERVICES = (
    "viseme.gateway.v1.AssetService",
    "viseme.gateway.v1.JobService",
    "viseme.gateway.v1.NetworkService",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Where a running edge listens."""

    rpc: Address
    web: Address
    metrics: Address


@asynccontextmanager
async def edge(settings: EdgeSettings) -> AsyncIterator[Addresses]:
    """Run an edge inside the block.

    At the end it says NOT_SERVING, gives calls their grace and stops; jobs that run then go on at the next start.

    Raises:
        InvalidInputError: an address in the settings is none, or the peers or keys are not to be read.
        ConflictError: an address cannot be listened on, or another edge has the data folder.
    """
    files, trust = tls_of(settings)
    is_encrypted = files is not None
    listen = parse_listen(settings.listen, insecure=settings.insecure, encrypted=is_encrypted)
    web = parse_listen(settings.web, field="web", insecure=settings.insecure, encrypted=is_encrypted)
    # What is scraped names nobody; keep it from strangers by a firewall.
    scraped = parse_listen(settings.metrics, field="metrics", insecure=settings.insecure or is_encrypted)
    node_addresses = [
        replace(parse_address(node, field="node"), is_encrypted=trust is not None or node.startswith("https://"))
        for node in settings.node
    ]
    tell_congestion_control(next((node for node in node_addresses if not node.is_loopback), node_addresses[0]))
    peers = await asyncio.to_thread(Peers, settings.peers)
    async with AsyncExitStack() as stack:
        registry = new_registry()
        metrics = EdgeMetrics(registry, settings.name, settings.region)
        node = await stack.enter_async_context(
            NodePool.open(
                node_addresses,
                trust=trust,
                on_up=metrics.node_up,
                on_down=metrics.node_down,
                on_answer=metrics.answered,
            )
        )
        premises = await open_premises(stack, settings, node, metrics)
        doorman = await asyncio.to_thread(open_doorman, stack, settings, metrics)
        check_doors(doorman, listen=listen, web=web)
        here: list[Address] = [listen]
        identity = Identity(
            version=version(),
            name=settings.name,
            region=settings.region,
            address=lambda: str(here[-1]),
            engines=node.engines,
        )
        base = BaseUrl(settings.public_url)
        frontage = Frontage(
            settings=settings,
            doorman=doorman,
            identity=identity,
            neighbours=Neighbours(identity, peers),
            node=node,
            metrics=metrics,
            base=base,
            page=Page(await asyncio.to_thread(pack)),
        )
        tenants = await stack.enter_async_context(Tenants.open(premises, doorman.quota, frontage.serve))

        rpc = RpcServer(
            listen,
            services=_SERVICES,
            observe=CallMetrics(registry, metrics.here),
            begins_traces=True,
            grace_s=settings.grace_seconds,
            gates=[Gate(doorman, tenants.handlers)],
            door=Door(files=files) if files else None,
        )
        frontage.draining = rpc.draining
        await stack.enter_async_context(_looking(node, tenants, metrics, settings.node_poll_s))
        if ends := tls_ends(files, trust):
            certificate_gauge(registry, "viseme_edge", metrics.here, ends)
        metrics_at = stack.enter_context(serve_metrics(registry, scraped))
        head = HeadLimits(bytes=settings.web_head_bytes, seconds=settings.web_head_s)
        gate = WebGate(
            doorman,
            OPERATIONS,
            site_of=tenants.site,
            result_of=tenants.result,
            everyone=DEFAULT_TENANT,
            tell=metrics.requested,
        )
        web_at = await stack.enter_async_context(
            serve_web(gate, web, grace_s=settings.grace_seconds, head=head, files=files)
        )
        base.url = base.url or (str(web_at) if files else f"http://{web_at}")
        rpc_at = await stack.enter_async_context(rpc.serving())
        stack.callback(tenants.quiet)
        here.append(rpc_at)
        yield Addresses(rpc=rpc_at, web=web_at, metrics=metrics_at)


@asynccontextmanager
async def _looking(node: NodePool, tenants: Tenants, metrics: EdgeMetrics, poll_s: float) -> AsyncIterator[None]:
    """Ask the nodes how they are, and count, inside the block."""
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(node.watch(poll_s)), tasks.create_task(tenants.count(metrics.counted))]
        yield
        for task in running:
            task.cancel()
