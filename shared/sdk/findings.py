"""What is slow or wrong on the way from a client to the GPU, in words, with what helps."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from shared.sdk.forecast import Culprit, NodeWay, Pace
from shared.sdk.probe import EdgeWay


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that is slow or wrong, and what helps."""

    culprit: Culprit | None
    """None for what is not slow, but wrong."""
    words: str


SLOW_BITS_S: Final = 10e6
FAR_S: Final = 0.1
UNEASY_S: Final = 0.03
NARROW_BITS_S: Final = 3.4e6
"""Below this the edge sends the profile ``thin``."""
NODE_FAR_S: Final = 0.25
BEHIND: Final = 1.2
"""Seconds of work for a second of video, from which on somebody is told."""
SKEW_S: Final = 2.0


def findings(way: EdgeWay, nodes: Sequence[NodeWay] | None, pace: Pace, *, is_here: bool) -> list[Finding]:
    """Everything that is slow or wrong, whatever the job.

    Args:
        way: From here to the edge.
        nodes: The ways from there; None where the edge cannot tell.
        pace: What jobs took.
        is_here: Whether the edge is this machine.
    """
    told = [*_client_findings(way, is_here=is_here), *_work_findings(pace)]
    if nodes is None:
        return [*told, Finding(culprit=None, words="The edge is too old to tell how its node is.")]
    for node in nodes:
        told += _node_findings(node)
    return told


def _client_findings(way: EdgeWay, *, is_here: bool) -> Iterable[Finding]:
    minute_s = 30e6 * 8 / way.up_bits_s
    if way.up_bits_s < SLOW_BITS_S:
        words = f"It carries {_bits(way.up_bits_s)}: a minute of 1080p (30 MB) takes {minute_s:.0f} s."
        yield Finding(culprit=Culprit.UPLINK, words=f"{words} `viseme push` sends files ahead of a job.")
    if way.down_bits_s < SLOW_BITS_S:
        words = f"It carries {_bits(way.down_bits_s)}; `viseme dub --preview` shows the result while it is made."
        yield Finding(culprit=Culprit.DOWNLINK, words=words)
    if way.round_trip_s > FAR_S:
        words = f"{_ms(way.round_trip_s)} to the edge and back; an edge nearer to you would answer sooner."
        yield Finding(culprit=Culprit.DISTANCE, words=words)
    if way.jitter_s > UNEASY_S:
        words = f"Round trips vary by {_ms(way.jitter_s)}: the way is shared with something that fills it, or is radio."
        yield Finding(culprit=Culprit.DISTANCE, words=words)
    if abs(way.skew_s) > SKEW_S + way.skew_error_s:
        ahead = "ahead of" if way.skew_s > 0 else "behind"
        words = f"The edge's clock is {abs(way.skew_s):.1f} s {ahead} this machine's; one of them is wrong."
        yield Finding(culprit=None, words=words)
    if not (way.is_encrypted or is_here):
        yield Finding(culprit=None, words="The way to the edge is not encrypted (no TLS).")


def _work_findings(pace: Pace) -> Iterable[Finding]:
    if not pace.jobs:
        return
    slower = max(pace.prepare_s, pace.composite_s)
    if slower > BEHIND:
        words = f"A second of video takes it {slower:.1f} s; it wants more or faster processor cores."
        yield Finding(culprit=Culprit.EDGE, words=words)
    if pace.infer_s > BEHIND:
        words = f"A second of video takes it {pace.infer_s:.1f} s; it wants a faster GPU, or a second node."
        yield Finding(culprit=Culprit.GPU, words=words)


def _node_findings(node: NodeWay) -> Iterable[Finding]:
    name = node.name or node.address
    if not node.is_up:
        words = f"The edge does not reach the node at {node.address}: jobs wait until it does."
        yield Finding(culprit=Culprit.LINK, words=words)
        return
    if not node.engine_ready:
        words = f"The networks of {name} do not answer: Triton is down, or starts."
        yield Finding(culprit=Culprit.GPU, words=words)
    if node.queue_limit and node.queued_segments > node.queue_limit / 2:
        words = f"{node.queued_segments} of {node.queue_limit} segments wait at {name}: it has more to do than it can."
        yield Finding(culprit=Culprit.GPU, words=words)
    if node.round_trip_s is not None and node.round_trip_s > NODE_FAR_S:
        words = f"{_ms(node.round_trip_s)} from the edge to {name} and back."
        yield Finding(culprit=Culprit.LINK, words=words)
    if node.bits_s and node.bits_s < NARROW_BITS_S:
        words = f"It carries {_bits(node.bits_s)} to {name}; crops and speech are sent smaller (profile thin)."
        yield Finding(culprit=Culprit.LINK, words=words)


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"


def _bits(rate: float) -> str:
    return f"{rate / 1e6:.1f} Mbit/s"
