"""Between the words of the edge about a node and those of the wire."""

from typing import Final

from edge_gateway.jobs.node import (
    Accepted,
    CropNeed,
    CropOffer,
    CropPiece,
    Fate,
    FromNode,
    Lips,
    RenderedCard,
    RenderedPiece,
    RenderSpec,
    SegmentAck,
    SegmentOrder,
    SegmentProgress,
    SpeechPiece,
    ToNode,
)
from shared.errors import InternalError
from shared.media.encode import Codec
from shared.pb.viseme.inference.v1 import render_pb2 as pb

_MATRICES: Final = {
    "bt601": pb.COLOR_MATRIX_BT601,
    "bt709": pb.COLOR_MATRIX_BT709,
    "bt2020": pb.COLOR_MATRIX_BT2020,
    # All but the same; the node goes there and back by one matrix, so nothing shifts.
    "fcc": pb.COLOR_MATRIX_BT601,
    "smpte240m": pb.COLOR_MATRIX_BT709,
}
_CODECS: Final = {Codec.H264: pb.VIDEO_CODEC_H264, Codec.AV1: pb.VIDEO_CODEC_AV1}
_FATES: Final = {
    pb.FRAME_FATE_NO_FACE: Fate.NO_FACE,
    pb.FRAME_FATE_HIDDEN: Fate.HIDDEN,
    pb.FRAME_FATE_TURNED_AWAY: Fate.TURNED_AWAY,
}


def request_of(message: ToNode) -> pb.RenderRequest:
    """What is sent, as it crosses the wire."""
    match message:
        case RenderSpec():
            spec = pb.RenderSpec(
                job_id=message.job_id,
                engine=message.engine,
                crop_px=message.crop_px,
                color_matrix=_MATRICES.get(message.matrix, pb.COLOR_MATRIX_BT601),
                full_range=message.full_range,
                speech_digest=message.speech_digest,
                speech_bytes=message.speech_bytes,
                total_segments=message.total_segments,
                patch=pb.VideoCoding(
                    codec=_CODECS[message.patch.codec], crf=message.patch.crf, preset=message.patch.preset
                ),
            )
            return pb.RenderRequest(spec=spec)
        case SpeechPiece():
            return pb.RenderRequest(speech=pb.SpeechPiece(offset_bytes=message.offset, data=message.data))
        case CropOffer():
            offer = pb.CropOffer(
                crop_index=message.index,
                digest=message.digest,
                size_bytes=message.size_bytes,
                first_frame=message.first_frame,
                frame_count=message.frame_count,
                lead_frames=message.lead,
                trail_frames=message.trail,
            )
            return pb.RenderRequest(offer=offer)
        case CropPiece():
            piece = pb.CropPiece(crop_index=message.index, offset_bytes=message.offset, data=message.data)
            return pb.RenderRequest(crop=piece)
        case SegmentOrder():
            order = pb.SegmentOrder(
                segment_index=message.segment,
                source_frames=message.source_frames,
                times_us=message.times_us,
                has_face=() if all(message.has_face) else message.has_face,
                reference_crops=message.reference_crops,
            )
            return pb.RenderRequest(order=order)
        case SegmentAck():
            return pb.RenderRequest(ack=pb.SegmentAck(segment_index=message.segment))


def answer_of(response: pb.RenderResponse) -> FromNode:
    """What came, in the edge's words.

    Raises:
        InternalError: it is nothing that this edge knows.
    """
    match response.WhichOneof("message"):
        case "accepted":
            accepted = response.accepted
            return Accepted(engine=accepted.engine, node=accepted.node, need_speech=accepted.need_speech)
        case "need":
            return CropNeed(index=response.need.crop_index, needed=response.need.needed)
        case "progress":
            told = response.progress
            return SegmentProgress(
                segment=told.segment_index, done_frames=told.done_frames, queue_ahead=told.queue_ahead
            )
        case "rendered":
            piece = response.rendered
            card = _card(piece.complete) if piece.HasField("complete") else None
            return RenderedPiece(segment=piece.segment_index, offset=piece.offset_bytes, data=piece.data, card=card)
        case _:
            raise InternalError("the node said something that this edge does not know; it has another version")


def _card(told: pb.RenderedSegment) -> RenderedCard:
    patch = told.patch
    return RenderedCard(
        digest=told.digest,
        size_bytes=told.size_bytes,
        patch=(patch.x, patch.y, patch.width, patch.height),
        masks=tuple(
            (mask.center_x, mask.center_y, mask.radius_x, mask.radius_y, mask.angle, mask.feather)
            for mask in told.masks
        ),
        queue_s=told.queue_time.ToNanoseconds() / 1e9,
        infer_s=told.infer_time.ToNanoseconds() / 1e9,
        lips=Lips(
            seen=tuple(told.lips_seen),
            asked=tuple(told.lips_asked),
            fates=tuple(_FATES.get(fate, Fate.PAINTED) for fate in told.fates),
        ),
    )
