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
    stream_segments: int = 4
    """Segments of one stream that may wait in the queue, be rendered or wait to be sent."""
