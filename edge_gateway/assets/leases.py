"""Leases: how long an asset certainly stays, and when an unfinished upload is given up.

Time is counted while the edge runs, by the monotonic clock, and written down from time to time: a system clock that
jumps, or a machine that was off, makes nothing expire.
"""

import sqlite3
import time
from collections.abc import Callable
from typing import Final

from edge_gateway.database import Database

_FINE: Final = 20
"""A lease is written down anew when this part of the time has passed since it was last."""


class Leases:
    """When assets were last used. Made by :meth:`open`.

    Args:
        database: Where it is written down.
        before_us: For how long the edge has run before, in microseconds.
        lease_s: Seconds after its last use for which an asset stays whatever comes.
        expire_s: Seconds after the last byte for which an unfinished upload stays.
        keep_s: Seconds after their last use after which assets go at the earliest; 0 is never.
        clock: Seconds, never going back.
    """

    def __init__(
        self,
        database: Database,
        before_us: int,
        *,
        lease_s: float,
        expire_s: float,
        keep_s: float,
        clock: Callable[[], float],
    ) -> None:
        self._database = database
        self._lease_us = round(lease_s * 1e6)
        self._expire_us = round(expire_s * 1e6)
        shortest = min(lease_s, expire_s, keep_s or expire_s)
        self._fine_us = round(shortest * 1e6) // _FINE
        self._clock = clock
        self._begun = clock() - before_us / 1e6
        self._renewed: dict[str, int] = {}

    @classmethod
    async def open(
        cls,
        database: Database,
        *,
        lease_s: float,
        expire_s: float,
        keep_s: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> "Leases":
        """Go on from the time that was written down last."""
        (before_us,) = await database.run(lambda c: c.execute("SELECT us FROM running_time").fetchone())
        return cls(database, before_us, lease_s=lease_s, expire_s=expire_s, keep_s=keep_s, clock=clock)

    @property
    def now_us(self) -> int:
        """For how long the edge has run, over all its starts, in microseconds."""
        return round((self._clock() - self._begun) * 1e6)

    def used_us(self, asset_id: str) -> int:
        """When an asset was last used since the edge's start, by the clock of ``now_us``; 0 where it was not."""
        return self._renewed.get(asset_id, 0)

    async def renew(self, asset_id: str) -> None:
        """Note that an asset is used, or that an upload came further."""
        now = self.now_us
        last = self._renewed.get(asset_id)
        if last is not None and now - last < self._fine_us:
            return
        values = (now, asset_id)
        await self._database.run(lambda c: c.execute("UPDATE assets SET used_us = ? WHERE asset_id = ?", values))
        self._renewed[asset_id] = now

    async def note_time(self) -> None:
        """Write down for how long the edge has run."""
        now = self.now_us
        await self._database.run(lambda c: c.execute("UPDATE running_time SET us = ?", (now,)))
        self._renewed = {name: last for name, last in self._renewed.items() if now - last < self._expire_us}

    async def expired(self) -> list[str]:
        """Unfinished uploads that nothing came for, the oldest first."""
        return await self._unused("ready = 0", self.now_us - self._expire_us)

    async def over(self) -> list[str]:
        """Assets that were brought, not made, and whose lease is over, the one first that was used longest ago."""
        return await self._unused("ready = 1 AND kind <> 'result'", self.now_us - self._lease_us)

    async def _unused(self, which: str, before_us: int) -> list[str]:
        def work(connection: sqlite3.Connection) -> list[str]:
            rows = connection.execute(
                f"SELECT asset_id FROM assets WHERE {which} AND used_us <= ? ORDER BY used_us",  # noqa: S608 - our words
                (before_us,),
            )
            return [row[0] for row in rows]

        return await self._database.run(work)
