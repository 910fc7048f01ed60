"""The edge put together: everything is made here, in one stack, and taken down in the reverse order."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

from starlette.applications import Starlette
from starlette.routing import Route

from edge_gateway.bounds import (
    web_limits,
)
from edge_gateway.core import Core, open_core, running
from edge_gateway.identity import Identity
from edge_gateway.jobs.pace import Pace
from edge_gateway.metrics import EdgeMetrics
from edge_gateway.neighbours import Neighbours
from edge_gateway.node_pool import NodePool
from edge_gateway.peers import Peers
from edge_gateway.rpc.assets import AssetServicer
from edge_gateway.rpc.jobs import JobServicer
from edge_gateway.rpc.network import NetworkServicer
from edge_gateway.settings import EdgeSettings
from edge_gateway.ways import Ways
from edge_gateway.web.about import AboutPages, Limits
from edge_gateway.web.answer import HANDLERS
from edge_gateway.web.archive import ArchivePages
from edge_gateway.web.assets import AssetPages
from edge_gateway.web.content import Content
from edge_gateway.web.events import EventPages
from edge_gateway.web.health import Health
from edge_gateway.web.http import HeadLimits
from edge_gateway.web.jobs import JobPages
from edge_gateway.web.library import LibraryPages
from edge_gateway.web.limits import WebLimits
from edge_gateway.web.network import NetworkPages
from edge_gateway.web.openapi import OpenApiPages
from edge_gateway.web.operations import OPERATIONS
from edge_gateway.web.pack import pack
from edge_gateway.web.page import Page
from edge_gateway.web.pictures import PicturePages
from edge_gateway.web.preview import PreviewPages
from edge_gateway.web.routes import merged
from edge_gateway.web.server import serve_web
from edge_gateway.web.tus import TusFiles
from edge_gateway.web.watch import Watched
from shared.pb.viseme.gateway.v1.asset_pb2_grpc import add_AssetServiceServicer_to_server
from shared.pb.viseme.gateway.v1.job_pb2_grpc import add_JobServiceServicer_to_server
from shared.pb.viseme.gateway.v1.network_pb2_grpc import add_NetworkServiceServicer_to_server
from shared.rpc.address import Address, parse_address, parse_listen
from shared.rpc.congestion import tell_congestion_control
from shared.rpc.server import RpcServer
from shared.telemetry.metrics import CallMetrics, new_registry, serve_metrics
from shared.version import version

_SERVICES = (
    "viseme.gateway.v1.AssetService",
    "viseme.gateway.v1.JobService",
    "viseme.gateway.v1.NetworkService",
)


class Pages(Protocol):
    """Pages that belong together."""

    def routes(self) -> list[Route]:
        """What the application answers there."""
        ...


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
        InvalidInputError: an address in the settings is none, or the peers are not to be read.
        ConflictError: an address cannot be listened on, or another edge has the data folder.
    """
    listen = parse_listen(settings.listen, insecure=settings.insecure)
    web = parse_listen(settings.web, field="web", insecure=settings.insecure)
    scraped = parse_listen(settings.metrics, field="metrics", insecure=settings.insecure)
    node_addresses = [parse_address(node, field="node") for node in settings.node]
    tell_congestion_control(next((node for node in node_addresses if not node.is_loopback), node_addresses[0]))
    peers = await asyncio.to_thread(Peers, settings.peers)
    async with AsyncExitStack() as stack:
        registry = new_registry()
        metrics = EdgeMetrics(registry, settings.name, settings.region)
        node = await stack.enter_async_context(
            NodePool.open(node_addresses, on_up=metrics.node_up, on_down=metrics.node_down, on_answer=metrics.answered)
        )
        core = await open_core(stack, settings, node, metrics)
        rpc = RpcServer(
            listen,
            services=_SERVICES,
            observe=CallMetrics(registry, metrics.here),
            begins_traces=True,
            grace_s=settings.grace_seconds,
        )
        here: list[Address] = [listen]
        identity = Identity(
            version=version(),
            name=settings.name,
            region=settings.region,
            address=lambda: str(here[-1]),
            engines=node.engines,
        )
        neighbours = Neighbours(identity, peers)
        assets = AssetServicer(core.assets, core.libraries, core.gallery, identity, core.media)
        add_AssetServiceServicer_to_server(assets, rpc.server)
        jobs = JobServicer(core.jobs, core.sessions, core.previews, core.webhooks)
        add_JobServiceServicer_to_server(jobs, rpc.server)
        network = NetworkServicer(neighbours, Ways(node.nodes), settings.probe_bytes)
        add_NetworkServiceServicer_to_server(network, rpc.server)
        health = Health(lambda: (node.address, node.is_up), rpc.draining.is_set)
        about = AboutPages(
            identity,
            gauge=core.gauge,
            pace=Pace(core.repository),
            node=node,
            libraries=core.libraries,
            limits=Limits.of(core.assets.limits, core.media, web_limits(settings)),
        )
        limits = web_limits(settings)
        page = Page(await asyncio.to_thread(pack))
        site = _site(core, limits, health, page, about, NetworkPages(limits, neighbours))
        await stack.enter_async_context(running(core, metrics, settings.node_poll_s))
        metrics_at = stack.enter_context(serve_metrics(registry, scraped))
        head = HeadLimits(bytes=settings.web_head_bytes, seconds=settings.web_head_s)
        web_at = await stack.enter_async_context(
            serve_web(Watched(site, metrics.requested), web, grace_s=settings.grace_seconds, head=head)
        )
        rpc_at = await stack.enter_async_context(rpc.serving())
        stack.callback(core.journal.close)
        stack.callback(core.news.close)
        stack.callback(core.streams.close)
        here.append(rpc_at)
        yield Addresses(rpc=rpc_at, web=web_at, metrics=metrics_at)


def _site(core: Core, limits: WebLimits, *about: Pages) -> Starlette:
    parts = (
        *about,
        TusFiles(core.streams),
        AssetPages(core.assets, core.gallery),
        Content(core.assets, core.jobs),
        JobPages(core.jobs, core.cards, limits),
        PreviewPages(core.previews),
        PicturePages(core.pictures, core.stills),
        LibraryPages(core.libraries, limits),
        EventPages(core.news, core.gauge, limits),
        ArchivePages(core.archives, limits),
        OpenApiPages(OPERATIONS, version()),
    )
    routes = merged(route for part in parts for route in part.routes())
    return Starlette(routes=routes, exception_handlers=HANDLERS)
