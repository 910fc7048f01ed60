"""What one render stream may ask for."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamLimits:
    """Named limits; the node's settings of the same names fill some of them in."""

    max_name_length: int = 128
    """Characters of the name that a job has at its edge."""
    max_speech_bytes: int = 64 << 20
    max_crop_bytes: int = 16 << 20
    max_crop_segments: int = 4096
    max_parked_orders: int = 2048
    max_segments: int = 100_000
    max_segment_frames: int = 300
    max_context_frames: int = 8
    max_order_crops: int = 16
    """Crop segments that one order may refer to, and as many from which the open mouth is learnt: all are in memory."""
    max_open_crops: int = 8
    """Crop segments that may arrive at the same time."""
    max_open_bytes: int = 32 << 20
    """Bytes of those; a whole one goes to the cache on disk."""
    stream_segments: int = 4
    """Segments of one stream that may wait in the queue, be rendered or wait to be sent."""
    outbox_bytes: int = 8 << 20
    """Rendered bytes of one stream that wait to be sent, from which on no more of it is rendered."""
    max_streams: int = 64
    """Streams that may be open at once; what each may hold in memory adds up."""
