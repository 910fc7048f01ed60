"""What the edge wants of an inference node, and the words that they exchange."""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from shared.media.encode import Coding


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineCard:
    """An engine of a node."""

    name: str
    summary: str
    is_default: bool
    crop_px: int
    """Side of the square crops that it wants, in pixels."""
    crop_scale: float
    """Side of the crop as a multiple of the face's height."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeStatus:
    """How a node is."""

    version: str
    name: str
    engine_ready: bool
    """Whether the networks answer."""
    engines: tuple[EngineCard, ...]
    queued_segments: int
    queue_limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderSpec:
    """What a job needs of the node."""

    job_id: str
    engine: str
    crop_px: int
    matrix: str
    """How the crops' samples stand for colours: ``bt601``, ``bt709`` or ``bt2020``."""
    full_range: bool
    speech_digest: bytes
    speech_bytes: int
    total_segments: int
    patch: Coding
    """What rendered segments are to be encoded with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechPiece:
    """A piece of the encoded speech."""

    offset: int
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class CropOffer:
    """A crop segment that could be sent."""

    index: int
    digest: bytes
    size_bytes: int
    first_frame: int
    frame_count: int
    lead: int
    trail: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CropPiece:
    """A piece of a crop segment."""

    index: int
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentOrder:
    """An output segment that is wanted."""

    segment: int
    source_frames: tuple[int, ...]
    times_us: tuple[int, ...]
    has_face: tuple[bool, ...]
    reference_crops: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentAck:
    """A rendered segment is on disk."""

    segment: int


ToNode = RenderSpec | SpeechPiece | CropOffer | CropPiece | SegmentOrder | SegmentAck


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The node took the spec."""

    engine: str
    node: str
    need_speech: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CropNeed:
    """Whether an offered crop segment must be sent."""

    index: int
    needed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentProgress:
    """How far a segment has come."""

    segment: int
    done_frames: int
    queue_ahead: int


class Fate(Enum):
    """What became of a frame."""

    PAINTED = "painted"
    NO_FACE = "no_face"
    HIDDEN = "hidden"
    """There is a face, but its features cannot be made out, or its mouth is covered."""
    TURNED_AWAY = "turned_away"
    TOO_SMALL = "too_small"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lips:
    """The lips of a rendered segment, one value for each output frame; empty where the node does not say.

    Apertures are the inner lips' mean distance over the face's height; -1 where that is not known.
    """

    seen: tuple[float, ...] = ()
    """In what was painted."""
    asked: tuple[float, ...] = ()
    """By the speech."""
    fates: tuple[Fate, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderedCard:
    """What belongs to a whole rendered segment."""

    digest: bytes
    size_bytes: int
    patch: tuple[int, int, int, int]
    """x, y, width, height in pixels of the crop."""
    masks: tuple[tuple[float, ...], ...]
    """For each output frame: centre x, y, half axes along and across the mouth, angle, feather."""
    queue_s: float
    infer_s: float
    lips: Lips = Lips()


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderedPiece:
    """A piece of a rendered segment; the last one carries the card."""

    segment: int
    offset: int
    data: bytes
    card: RenderedCard | None = None


FromNode = Accepted | CropNeed | SegmentProgress | RenderedPiece


@dataclass(slots=True, kw_only=True)
class Meter:
    """Bytes that crossed the link between edge and node, as messages weigh them."""

    up_bytes: int = 0
    down_bytes: int = 0


class RenderStream(Protocol):
    """One ``Render`` call; whatever goes wrong with it is raised by all three."""

    @property
    def address(self) -> str:
        """Where the node is that it leads to, for people."""
        ...

    @property
    def is_draining(self) -> bool:
        """Whether the node has said that it is about to end, so that it had better get no more orders."""
        ...

    async def send(self, message: ToNode) -> None:
        """Send one message; waits while the link is full."""
        ...

    async def receive(self) -> FromNode | None:
        """Wait for the next message; None when the node has said everything."""
        ...

    async def end(self) -> None:
        """Say that nothing more will be sent."""
        ...


class InferenceNode(Protocol):
    """A node, or several that stand for each other.

    Raises:
        NodeUnavailableError: it does not answer.
        EngineUnavailableError: its networks do not answer.
        ResourceExhaustedError: it has no room now.
    """

    @property
    def address(self) -> str:
        """Where it is, for people."""
        ...

    async def status(self) -> NodeStatus:
        """Ask how it is."""
        ...

    async def rate(self) -> float:
        """Bits a second that the way to it and back carries, measured where that is not known."""
        ...

    @property
    def is_up(self) -> bool:
        """Whether any node answered the last question."""
        ...

    def has_another(self, address: str) -> bool:
        """Whether another node than the one at that address could take a call at once."""
        ...

    def render(self, meter: Meter, engine: str) -> AbstractAsyncContextManager[RenderStream]:
        """Open a ``Render`` call for an engine; leaving the context cancels it where it still runs."""
        ...
