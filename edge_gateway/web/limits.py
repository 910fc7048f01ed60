"""What is refused of requests."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class WebLimits:
    """The sizes beyond which a request is refused."""

    body_bytes: int
    """Of JSON and forms."""
    body_s: float
    """Seconds within which they must have come."""
    stall_s: float
    """For which a client that watches may take nothing."""
    probe_bytes: int
    """One way, of one measurement of a connection."""
    job_list: int
    """Jobs that one request may name to be deleted."""
