"""Everything that can be told of one edge from here: the way to it, the ways from there, its pace, what is slow."""

from dataclasses import dataclass
from typing import Final

import grpc

from shared.errors import VisemeError
from shared.pb.viseme.gateway.v1 import asset_pb2, job_pb2
from shared.pb.viseme.gateway.v1 import network_pb2 as pb
from shared.rpc.address import Address, parse_address
from shared.sdk.client import DEFAULT_PORT
from shared.sdk.convert import job_from
from shared.sdk.entry import check_shown, trust_of
from shared.sdk.findings import Finding, findings
from shared.sdk.forecast import Forecast, NodeWay, Pace, Wanted, forecast, pace_of
from shared.sdk.link import Link, Patience
from shared.sdk.probe import EdgeWay, probe

_PATIENCE: Final = Patience(connect_s=5.0, silence_s=15.0, call_s=20.0)
"""Whoever asks what is slow does not want to wait for it as a job would."""
_JOBS: Final = 100
"""The newest jobs, of which those that succeeded tell the pace."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkup:
    """What was found out."""

    address: str
    name: str = ""
    region: str = ""
    version: str = ""
    way: EdgeWay | None = None
    nodes: tuple[NodeWay, ...] | None = None
    """None where the edge cannot tell."""
    pace: Pace | None = None
    findings: tuple[Finding, ...] = ()
    forecast: Forecast | None = None
    error: VisemeError | None = None
    """Why nothing more could be found out."""


async def check_up(
    text: str, job: Wanted | None = None, *, key: str = "", ca: str | None = None, insecure: bool = False
) -> Checkup:
    """Measure an edge; takes a few seconds. An edge that does not answer gives a checkup with ``error``.

    Args:
        text: Its address: ``host:port``, or ``host`` for port 50051.
        job: What would be asked of it.
        key: Shown to it, where it asks who calls.
        ca: Who vouches for it, a file in PEM; None for the system's.
        insecure: Whether the key may be shown without TLS.

    Raises:
        InvalidInputError: It is not an address.
    """
    address = parse_address(text, field="edge", default_port=DEFAULT_PORT)
    check_shown(key, [address], insecure=insecure)
    link = Link(address, _PATIENCE, key=key, trust=trust_of(ca))
    try:
        return await _look(link, address, job)
    except VisemeError as error:
        return Checkup(address=str(address), error=error)
    finally:
        await link.close()


async def _look(link: Link, address: Address, job: Wanted | None) -> Checkup:
    about = await link.call(link.assets.GetCapabilities, asset_pb2.GetCapabilitiesRequest())
    way = await probe(link)
    nodes = await _nodes(link)
    page = await link.call(link.jobs.ListJobs, job_pb2.ListJobsRequest(page_size=_JOBS))
    statuses = [job_from(one) for one in page.jobs]
    pace = pace_of(status.report for status in statuses if status.report is not None)
    likely = next((node for node in nodes or () if node.is_up), None)
    return Checkup(
        address=str(address),
        name=about.edge,
        region=about.region,
        version=about.version,
        way=way,
        nodes=nodes,
        pace=pace,
        findings=tuple(findings(way, nodes, pace, is_here=address.is_loopback)),
        forecast=forecast(job, way, likely, pace) if job is not None and likely is not None else None,
    )


async def _nodes(link: Link) -> tuple[NodeWay, ...] | None:
    """The ways from the edge to its nodes, measured where nobody knew; None where it has not learnt to tell yet."""
    try:
        answer = await link.network.ListNodes(pb.ListNodesRequest(measure=True), timeout=link.patience.call_s)
    except grpc.aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.UNIMPLEMENTED:
            return None
        raise link.error(error) from error
    return tuple(
        NodeWay(
            name=node.name,
            address=node.address,
            is_up=node.is_up,
            engine_ready=node.engine_ready,
            round_trip_s=node.round_trip.ToNanoseconds() / 1e9 if node.HasField("round_trip") else None,
            bits_s=node.bits_per_second or None,
            queued_segments=node.queued_segments,
            queue_limit=node.queue_limit,
        )
        for node in answer.nodes
    )
