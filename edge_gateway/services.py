"""What answers for a tenant, by gRPC and by HTTP: made of its parts and of what is the whole edge's."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import grpc
from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import ASGIApp

from edge_gateway.access.doorman import Doorman
from edge_gateway.access.links import BaseUrl, Links
from edge_gateway.bounds import web_limits
from edge_gateway.core import Core
from edge_gateway.identity import Identity
from edge_gateway.jobs.pace import Pace
from edge_gateway.metrics import EdgeMetrics
from edge_gateway.neighbours import Neighbours
from edge_gateway.node_pool import NodePool
from edge_gateway.rpc.assets import AssetServicer
from edge_gateway.rpc.gate import Handlers
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
from edge_gateway.web.jobs import JobPages
from edge_gateway.web.library import LibraryPages
from edge_gateway.web.links import LinkPages
from edge_gateway.web.network import NetworkPages
from edge_gateway.web.openapi import OpenApiPages
from edge_gateway.web.operations import OPERATIONS
from edge_gateway.web.page import Page
from edge_gateway.web.pictures import PicturePages
from edge_gateway.web.preview import PreviewPages
from edge_gateway.web.routes import merged
from edge_gateway.web.sign_in import SignInPages
from edge_gateway.web.tus import TusFiles
from edge_gateway.web.watch import Watched
from shared.pb.viseme.gateway.v1.asset_pb2_grpc import add_AssetServiceServicer_to_server
from shared.pb.viseme.gateway.v1.job_pb2_grpc import add_JobServiceServicer_to_server
from shared.pb.viseme.gateway.v1.network_pb2_grpc import add_NetworkServiceServicer_to_server
from shared.version import version


class Pages(Protocol):
    """Pages that belong together."""

    def routes(self) -> list[Route]:
        """What the application answers there."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What answers for one tenant."""

    handlers: "Mapping[str, grpc.RpcMethodHandler[Any, Any]]"
    site: ASGIApp


@dataclass(slots=True, kw_only=True)
class Frontage:
    """What is the whole edge's, and makes what answers for a tenant."""

    settings: EdgeSettings
    doorman: Doorman
    identity: Identity
    neighbours: Neighbours
    node: NodePool
    metrics: EdgeMetrics
    base: BaseUrl
    page: Page
    draining: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the edge ends."""

    def serve(self, name: str, core: Core) -> Services:
        """Make it."""
        links = Links(self.doorman, core.jobs, self.base, most_s=self.settings.link_most_s)
        site = self._site(name, core, links)
        return Services(handlers=self._handlers(core, links), site=Watched(site, self.metrics.requested))

    def _handlers(self, core: Core, links: Links) -> "Mapping[str, grpc.RpcMethodHandler[Any, Any]]":
        handlers: Any = Handlers()  # as much of a server as servicers are added to
        assets = AssetServicer(core.assets, core.libraries, core.gallery, self.identity, core.media)
        add_AssetServiceServicer_to_server(assets, handlers)
        jobs = JobServicer(core.jobs, core.sessions, core.previews, core.webhooks, links)
        add_JobServiceServicer_to_server(jobs, handlers)
        network = NetworkServicer(self.neighbours, Ways(self.node.nodes), self.settings.probe_bytes)
        add_NetworkServiceServicer_to_server(network, handlers)
        found: Mapping[str, grpc.RpcMethodHandler[Any, Any]] = handlers.by_method
        return found

    def _site(self, name: str, core: Core, links: Links) -> Starlette:
        limits = web_limits(self.settings)
        about = AboutPages(
            self.identity,
            gauge=core.gauge,
            pace=Pace(core.repository),
            node=self.node,
            libraries=core.libraries,
            limits=Limits.of(core.assets.limits, core.media, limits),
            tenant=name if self.doorman.asks else "",
        )
        parts: tuple[Pages, ...] = (
            Health(lambda: (self.node.address, self.node.is_up), self.draining.is_set),
            self.page,
            about,
            NetworkPages(limits, self.neighbours),
            SignInPages(self.doorman, limits),
            LinkPages(links, limits),
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
