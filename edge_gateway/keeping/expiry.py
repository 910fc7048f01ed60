"""When things go, for people: what is kept by a clock that stands while the edge does, told by the time of day."""

import time
from collections.abc import Callable

from edge_gateway.assets.asset import Asset, AssetKind
from edge_gateway.jobs.job import Job
from edge_gateway.keeping.plan import KeepTimes


class Expiry:
    """Tells it. It is the earliest time: an edge that is off meanwhile, and every use of a file, puts it off.

    Args:
        keep: How long things stay.
        upload_s: Seconds for which an upload stays that nothing comes for.
        now_us: The clock of the edge's running time, in microseconds.
        used_us: By that clock, when a file was last used by this process; 0 where it was not.
        wall_us: Microseconds since 1970.
    """

    def __init__(
        self,
        keep: KeepTimes,
        upload_s: float,
        now_us: Callable[[], int],
        used_us: Callable[[str], int],
        wall_us: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        self._keep = keep
        self._upload_s = upload_s
        self._now_us = now_us
        self._used_us = used_us
        self._wall_us = wall_us

    def of_asset(self, asset: Asset) -> int | None:
        """When a file goes, in microseconds since 1970; None where it stays."""
        kept_s = self._keep.result_s if asset.kind is AssetKind.RESULT else self._keep.asset_s
        return self._at(kept_s if asset.ready else self._upload_s, max(asset.used_us, self._used_us(asset.asset_id)))

    def of_job(self, job: Job) -> int | None:
        """When a job goes, in microseconds since 1970; None where it stays, or is not over."""
        return self._at(self._keep.job_s, job.touched_us) if job.state.is_final else None

    def _at(self, kept_s: float, since_us: int) -> int | None:
        if not kept_s:
            return None
        return self._wall_us() + max(0, since_us + round(kept_s * 1e6) - self._now_us())
