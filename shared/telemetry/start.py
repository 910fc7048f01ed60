"""Tracing from a setting: nothing is imported where no collector is named."""

from collections.abc import Iterator
from contextlib import contextmanager

from shared.errors import InvalidInputError


@contextmanager
def traced(endpoint: str, *, part: str, share: float = 1.0, **attributes: str) -> Iterator[None]:
    """Send spans to the collector at ``endpoint`` inside the block; nothing happens where it is empty.

    Raises:
        InvalidInputError: the endpoint is no address, or OpenTelemetry is not installed.
    """
    if not endpoint:
        yield
        return
    try:
        from shared.telemetry.otlp import exporting  # noqa: PLC0415 - see above
    except ImportError as error:
        message = f"{error.name} is missing: pip install 'viseme[trace]'"
        raise InvalidInputError(message, field="otlp_endpoint") from error
    with exporting(endpoint, part=part, share=share, attributes=attributes):
        yield
