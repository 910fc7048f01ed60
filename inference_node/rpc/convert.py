"""Between the wire's messages and the domain's."""

from collections.abc import AsyncIterator
from datetime import timedelta

from inference_node.engine.port import EngineCard
from inference_node.render import messages as domain
from inference_node.render.service import NodeStatus
from inference_node.triton.watchdog import TritonState
from shared.errors import InvalidInputError
from shared.media.encode import Codec, Coding
from shared.media.planes import Matrix
from shared.media.profile import BALANCED
from shared.pb.viseme.inference.v1 import render_pb2 as pb

_MATRICES = {
    pb.COLOR_MATRIX_UNSPECIFIED: Matrix.BT601,
    pb.COLOR_MATRIX_BT601: Matrix.BT601,
    pb.COLOR_MATRIX_BT709: Matrix.BT709,
    pb.COLOR_MATRIX_BT2020: Matrix.BT2020,
}
_CODECS = {pb.VIDEO_CODEC_H264: Codec.H264, pb.VIDEO_CODEC_AV1: Codec.AV1}
_STATES = {
    TritonState.READY: pb.TRITON_STATE_READY,
    TritonState.STARTING: pb.TRITON_STATE_STARTING,
    TritonState.DOWN: pb.TRITON_STATE_DOWN,
    TritonState.LOCAL: pb.TRITON_STATE_LOCAL,
}
_FATES = {
    domain.Fate.PAINTED: pb.FRAME_FATE_PAINTED,
    domain.Fate.NO_FACE: pb.FRAME_FATE_NO_FACE,
    domain.Fate.HIDDEN: pb.FRAME_FATE_HIDDEN,
    domain.Fate.TURNED_AWAY: pb.FRAME_FATE_TURNED_AWAY,
}


async def messages_of(requests: AsyncIterator[pb.RenderRequest]) -> AsyncIterator[domain.Message]:
    """What an edge says."""
    async for request in requests:
        yield message_of(request)


def message_of(request: pb.RenderRequest) -> domain.Message:
    """One message of an edge.

    Raises:
        InvalidInputError: it says nothing, or something that this version does not know.
    """
    match request.WhichOneof("message"):
        case "spec":
            return _spec(request.spec)
        case "speech":
            return domain.SpeechChunk(offset=request.speech.offset_bytes, data=request.speech.data)
        case "offer":
            return _offer(request.offer)
        case "crop":
            crop = request.crop
            return domain.CropChunk(crop_index=crop.crop_index, offset=crop.offset_bytes, data=crop.data)
        case "order":
            return _order(request.order)
        case "ack":
            return domain.Ack(segment_index=request.ack.segment_index)
        case _:
            raise InvalidInputError("A message of the render stream is empty or of a later version.", field="message")


def response_of(reply: domain.Reply) -> pb.RenderResponse:
    """One message of the node."""
    match reply:
        case domain.Accepted():
            accepted = pb.RenderAccepted(engine=reply.engine, node=reply.node, need_speech=reply.need_speech)
            return pb.RenderResponse(accepted=accepted)
        case domain.Need():
            return pb.RenderResponse(need=pb.CropNeed(crop_index=reply.crop_index, needed=reply.needed))
        case domain.Progress():
            progress = pb.SegmentProgress(
                segment_index=reply.segment_index, done_frames=reply.done_frames, queue_ahead=reply.queue_ahead
            )
            return pb.RenderResponse(progress=progress)
        case domain.Piece():
            piece = pb.RenderedPiece(
                segment_index=reply.segment_index,
                offset_bytes=reply.offset,
                data=reply.data,
                complete=_rendered(reply.complete) if reply.complete else None,
            )
            return pb.RenderResponse(rendered=piece)


def status_of(status: NodeStatus, *, version: str) -> pb.GetStatusResponse:
    """How the node is."""
    return pb.GetStatusResponse(
        version=version,
        node=status.node,
        triton=_STATES[status.triton],
        engines=[_engine(card, is_default=card.name == status.default_engine) for card in status.engines],
        queued_segments=status.queued_segments,
        queue_limit=status.queue_limit,
        active_jobs=status.active_jobs,
        cache_bytes=status.cache_bytes,
        cache_limit_bytes=status.cache_limit_bytes,
    )


def _spec(spec: pb.RenderSpec) -> domain.JobSpec:
    matrix = _MATRICES.get(spec.color_matrix)
    if matrix is None:
        raise InvalidInputError(f"Colour matrix {spec.color_matrix} is of a later version.", field="color_matrix")
    return domain.JobSpec(
        job_id=spec.job_id,
        engine=spec.engine,
        crop_px=spec.crop_px,
        matrix=matrix,
        full_range=spec.full_range,
        speech_digest=spec.speech_digest,
        speech_bytes=spec.speech_bytes,
        total_segments=spec.total_segments,
        patch=_coding(spec.patch) if spec.HasField("patch") else BALANCED.patch,
    )


def _coding(told: pb.VideoCoding) -> Coding:
    codec = _CODECS.get(told.codec)
    if codec is None:
        raise InvalidInputError(f"Video codec {told.codec} is of a later version, or none.", field="patch.codec")
    return Coding(codec=codec, crf=round(told.crf, 3), preset=told.preset).checked("patch")


def _offer(offer: pb.CropOffer) -> domain.Offer:
    return domain.Offer(
        crop_index=offer.crop_index,
        digest=offer.digest,
        size_bytes=offer.size_bytes,
        first_frame=offer.first_frame,
        frame_count=offer.frame_count,
        lead_frames=offer.lead_frames,
        trail_frames=offer.trail_frames,
    )


def _order(order: pb.SegmentOrder) -> domain.Order:
    return domain.Order(
        segment_index=order.segment_index,
        source_frames=tuple(order.source_frames),
        times_us=tuple(order.times_us),
        has_face=tuple(order.has_face) or (True,) * len(order.source_frames),
        reference_crops=tuple(order.reference_crops),
    )


def _rendered(rendered: domain.Rendered) -> pb.RenderedSegment:
    x, y, width, height = rendered.patch
    lips = rendered.lips
    all_painted = all(fate is domain.Fate.PAINTED for fate in lips.fates)
    segment = pb.RenderedSegment(
        digest=rendered.digest,
        size_bytes=rendered.size_bytes,
        patch=pb.PatchBox(x=x, y=y, width=width, height=height),
        masks=[_mask(mask) for mask in rendered.masks],
        lips_seen=lips.seen,
        lips_asked=lips.asked,
        fates=() if all_painted else [_FATES[fate] for fate in lips.fates],
    )
    segment.queue_time.FromTimedelta(timedelta(seconds=rendered.queue_s))
    segment.infer_time.FromTimedelta(timedelta(seconds=rendered.infer_s))
    return segment


def _mask(mask: tuple[float, ...]) -> pb.PaintMask:
    center_x, center_y, radius_x, radius_y, angle, feather = mask
    return pb.PaintMask(
        center_x=center_x, center_y=center_y, radius_x=radius_x, radius_y=radius_y, angle=angle, feather=feather
    )


def _engine(card: EngineCard, *, is_default: bool) -> pb.EngineInfo:
    return pb.EngineInfo(
        name=card.name,
        summary=card.summary,
        is_default=is_default,
        crop_px=card.crop_px,
        crop_scale=card.crop_scale,
    )
