"""The metadata ``AIGC`` of GB 45438-2025: that a file was generated, by whom, and as which."""

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self

from shared.errors import InvalidMediaError

KEY = "AIGC"
"""The key of a file's metadata under which it stands, as JSON."""
_MOST_CHARACTERS = 1024


class Generated(StrEnum):
    """How sure it is that the content was generated."""

    YES = "1"
    POSSIBLY = "2"
    SUSPECTED = "3"


@dataclass(frozen=True, slots=True, kw_only=True)
class Aigc:
    """The seven values that the standard names, in its order; those that nobody has given are empty."""

    label: Generated
    producer: str
    """Who generated it."""
    produce_id: str
    """What the producer calls it."""
    producer_reserve: str = ""
    """For the producer's own protection."""
    propagator: str = ""
    """Who spreads it."""
    propagate_id: str = ""
    propagator_reserve: str = ""

    def to_json(self) -> str:
        """As it stands in a file."""
        told = dict(zip(_KEYS, _values(self), strict=True))
        return json.dumps(told, ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def of(cls, text: str) -> Self:
        """Read what stands in a file.

        Raises:
            InvalidMediaError: it is not what the standard asks for.
        """
        try:
            told: dict[str, Any] = json.loads(text)
            label, producer, produce_id, reserve, propagator, propagate_id, other = (_word(told, key) for key in _KEYS)
            return cls(
                label=Generated(label),
                producer=producer,
                produce_id=produce_id,
                producer_reserve=reserve,
                propagator=propagator,
                propagate_id=propagate_id,
                propagator_reserve=other,
            )
        except (ValueError, AttributeError, RecursionError):
            raise InvalidMediaError("its metadata AIGC is not as GB 45438-2025 asks for", field="file") from None


_KEYS = (
    "Label",
    "ContentProducer",
    "ProduceID",
    "ReservedCode1",
    "ContentPropagator",
    "PropagateID",
    "ReservedCode2",
)


def _word(told: dict[str, Any], key: str) -> str:
    word = told.get(key, "")
    if not isinstance(word, str) or len(word) > _MOST_CHARACTERS:
        raise ValueError(key)
    return word


def _values(aigc: Aigc) -> tuple[str, ...]:
    return (
        aigc.label.value,
        aigc.producer,
        aigc.produce_id,
        aigc.producer_reserve,
        aigc.propagator,
        aigc.propagate_id,
        aigc.propagator_reserve,
    )
