"""What a tenant has left of what it may ask at once."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from shared.access.quota import Quota
from shared.errors import ResourceExhaustedError

_UPLOAD_RETRY_S = 5.0


class Allowance:
    """Counts requests and uploads of one tenant.

    Args:
        quota: Gives what it may have, now.
        clock: Seconds that only grow.
    """

    def __init__(self, quota: Callable[[], Quota], clock: Callable[[], float] = time.monotonic) -> None:
        self._quota = quota
        self._clock = clock
        self._left = quota().requests_burst
        self._at = clock()
        self._uploads = 0

    def take_request(self) -> None:
        """One more request.

        Raises:
            ResourceExhaustedError: Too many came lately; says when the next may come.
        """
        quota, now = self._quota(), self._clock()
        if not quota.requests_s:
            return
        self._left = min(max(1.0, quota.requests_burst), self._left + (now - self._at) * quota.requests_s)
        self._at = now
        if self._left < 1:
            message = f"more than {quota.requests_s:g} requests a second; send fewer"
            raise ResourceExhaustedError(message, limit="requests_s", retry_after_s=(1 - self._left) / quota.requests_s)
        self._left -= 1

    @contextmanager
    def upload(self) -> Iterator[None]:
        """One more upload that sends, inside the block.

        Raises:
            ResourceExhaustedError: As many send as may.
        """
        most = self._quota().uploads_at_once
        if most and self._uploads >= most:
            message = f"{most} uploads of this tenant send already; wait until one has ended"
            raise ResourceExhaustedError(message, limit="uploads_at_once", retry_after_s=_UPLOAD_RETRY_S)
        self._uploads += 1
        try:
            yield
        finally:
            self._uploads -= 1
