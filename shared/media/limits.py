"""The sizes beyond which media is refused; the edge's settings fill them in."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaLimits:
    """What a file may ask for; a ``LimitExceededError`` names the field of this class that was exceeded."""

    frame_pixels: int = 9_437_184
    """Largest frame, in pixels."""
    photo_pixels: int = 64_000_000
    """Largest photo, in pixels; one of more than ``frame_pixels`` is reduced to that."""
    duration_seconds: float = 1200.0
    """Longest video or speech."""
    min_speech_seconds: float = 0.25
    """Shortest speech."""
    decoded_pixels: int = 80_000_000_000
    """Pixels of one video over all its frames; about 20 minutes of 1080p at 30 frames a second."""
    frame_cache_bytes: int = 256 << 20
    """Decoded frames that random access may keep."""
