"""What the operator lets results say of themselves."""

from dataclasses import dataclass

from edge_gateway.label.policy import Label
from edge_gateway.provenance.certificate import Certificate


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """What every result bears; a job cannot do without any of it."""

    certificate: Certificate | None
    """Who signs; None where nobody does."""
    producer: str
    """Who generates, for the metadata AIGC; empty where there is none."""
    label: Label | None
    """What viewers see at the beginning."""
