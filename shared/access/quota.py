"""How much a tenant may have of an edge."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Self

from shared.errors import InvalidInputError


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """Limits of one tenant; 0 stands for none."""

    requests_s: float = 200.0
    """Calls and requests a second, on average."""
    requests_burst: float = 2000.0
    """How many may come at once."""
    uploads_at_once: int = 64
    """Uploads that send at once."""
    stored_bytes: int = 0
    """Bytes of uploads that are kept, whole and unfinished."""
    decoded_pixels: int = 0
    """Pixels of the videos of the jobs that were accepted within 24 hours, over all frames."""
    jobs_at_once: int = 0
    """Jobs that run at once; more wait."""

    def with_changes(self, told: Mapping[str, Any], *, field: str) -> Self:
        """The same with other limits.

        Raises:
            InvalidInputError: One is unknown or no number from 0 on.
        """
        known = {one.name for one in fields(self)}
        for name, value in told.items():
            if name not in known:
                raise InvalidInputError(
                    f"{name!r} is no limit of a tenant; there are {', '.join(sorted(known))}", field=field
                )
            if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
                raise InvalidInputError(f"{name} is a number from 0 on, not {value!r}", field=field)
        return replace(self, **dict(told))
