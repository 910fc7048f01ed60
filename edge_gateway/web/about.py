"""What an edge says of itself: what it can do, what it refuses, and how it stands."""

from typing import Literal, Protocol, Self

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from edge_gateway.assets.asset import AssetLimits
from edge_gateway.identity import Identity
from edge_gateway.jobs.figures import Gauge
from edge_gateway.jobs.pace import Pace
from edge_gateway.library.service import Libraries
from edge_gateway.web.answer import answered, reading
from edge_gateway.web.limits import WebLimits
from edge_gateway.web.told import Told
from shared.digest import CHUNK_BYTES
from shared.media.limits import MediaLimits


class Engine(Told):
    """A lip-sync engine of the node."""

    name: str
    summary: str
    is_default: bool


class Node(Told):
    """The inference node."""

    up: bool
    """Whether it answered the last question."""
    address: str


class Limits(Told):
    """What the edge refuses."""

    asset_bytes: int
    frame_pixels: int
    photo_pixels: int
    duration_s: float
    min_speech_s: float
    decoded_pixels: int
    manifest_chunks: int
    chunk_bytes: int
    request_body_bytes: int
    probe_bytes: int
    job_list: int
    """Jobs that one call may name."""

    @classmethod
    def of(cls, files: AssetLimits, media: MediaLimits, web: WebLimits) -> Self:
        """Tell of limits."""
        return cls(
            asset_bytes=files.asset_bytes,
            frame_pixels=media.frame_pixels,
            photo_pixels=media.photo_pixels,
            duration_s=media.duration_seconds,
            min_speech_s=media.min_speech_seconds,
            decoded_pixels=media.decoded_pixels,
            manifest_chunks=files.manifest_chunks,
            chunk_bytes=CHUNK_BYTES,
            request_body_bytes=web.body_bytes,
            probe_bytes=web.probe_bytes,
            job_list=web.job_list,
        )


class Link(Told):
    """The link between edge and node."""

    round_trip_s: float | None
    """None while the node does not answer."""
    up_bits_s: float | None
    """Bits a second; None where no job has had it measured."""


class Load(Told):
    """Jobs that are not over."""

    running: int
    queued: int


class Speed(Told):
    """How fast jobs have been done lately."""

    frames_s: float | None
    """Frames of a result for each second that its job was at work; None before any was done."""


class Status(Told):
    """An edge, and how it stands."""

    edge: str
    version: str
    region: str
    tenant: str
    """Who the caller is of; empty where nobody is asked who they are."""
    node: Node
    engines: list[Engine]
    limits: Limits
    libraries: list[str]
    link: Link
    load: Load
    pace: Speed


class Health(Told):
    """Whether an edge serves."""

    status: Literal["serving", "ending"]
    node: Literal["up", "down"]


class NodeAddress(Protocol):
    """Where the node is."""

    @property
    def address(self) -> str:
        """For people."""
        ...


class AboutPages:
    """Answers for the edge.

    Args:
        identity: Who this edge is.
        gauge: How it stands.
        pace: How fast jobs have been done lately.
        node: Where its node is.
        libraries: The files that lie there already.
        limits: What it refuses.
        tenant: Who callers are of.
    """

    def __init__(
        self,
        identity: Identity,
        *,
        gauge: Gauge,
        pace: Pace,
        node: NodeAddress,
        libraries: Libraries,
        limits: Limits,
        tenant: str = "",
    ) -> None:
        self._identity = identity
        self._gauge = gauge
        self._pace = pace
        self._node = node
        self._libraries = libraries
        self._limits = limits
        self._tenant = tenant

    def routes(self) -> list[Route]:
        """What the application answers here."""
        return [Route("/status", reading(self.status), methods=["GET"])]

    async def status(self, request: Request) -> Response:
        """The edge, and how it stands."""
        del request
        figures, identity = await self._gauge.now(), self._identity
        status = Status(
            edge=identity.name,
            version=identity.version,
            region=identity.region,
            tenant=self._tenant,
            node=Node(up=figures.node_up, address=self._node.address),
            engines=[
                Engine(name=engine.name, summary=engine.summary, is_default=engine.is_default)
                for engine in identity.engines()
            ],
            limits=self._limits,
            libraries=self._libraries.names,
            link=Link(round_trip_s=figures.round_trip_s, up_bits_s=figures.up_bits_s),
            load=Load(running=figures.running, queued=figures.queued),
            pace=Speed(frames_s=await self._pace.frames_s()),
        )
        return answered(status)
