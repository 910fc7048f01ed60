"""Rates as people write them."""

import re
from typing import Final

from shared.errors import InvalidInputError

_RATE: Final = re.compile(r"(\d+(?:\.\d+)?)([KMG]?)(?:i?B)?(?:/s)?", re.IGNORECASE)
_UNITS: Final = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def read_rate(text: str) -> float:
    """Bytes a second of ``500K``, ``2M``, ``1.5M``; 0, that is no limit, where nothing is written.

    Raises:
        InvalidInputError: It is no rate.
    """
    if not text:
        return 0.0
    found = _RATE.fullmatch(text.strip())
    rate = float(found[1]) * _UNITS[found[2].upper()] if found else 0.0
    if rate < 1:
        raise InvalidInputError(f"{text!r} is no rate; write bytes a second as 500K or 2M", field="limit-rate")
    return rate
