"""How much of an edge one tenant has taken, and whether it may have more."""

import json
import sqlite3
import time
from collections.abc import Callable
from typing import Final

from edge_gateway.database import Database
from edge_gateway.jobs.job import Job
from shared.access.quota import Quota
from shared.errors import ResourceExhaustedError

DAY_US: Final = 86_400 * 1_000_000
_PHOTO_RATE: Final = 25
"""Frames a second of a result that is made of a photo."""
_ROOM_RETRY_S: Final = 60.0


class Quotas:
    """Looks what one tenant has.

    Args:
        database: Its database.
        quota: What it may have, now.
        clock_us: Microseconds since 1970.
    """

    def __init__(
        self,
        database: Database,
        quota: Callable[[], Quota],
        clock_us: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        self._database = database
        self._quota = quota
        self._clock_us = clock_us

    async def check_room(self, size_bytes: int) -> None:
        """Refuse a file that has not begun to come where the tenant keeps too much.

        Raises:
            ResourceExhaustedError: It does, or would.
        """
        most = self._quota().stored_bytes
        if not most:
            return

        def work(connection: sqlite3.Connection) -> int:
            return int(
                connection.execute(
                    "SELECT (SELECT COALESCE(SUM(size_bytes), 0) FROM assets WHERE kind <> 'result')"
                    " + (SELECT COALESCE(SUM(size_bytes), 0) FROM streams WHERE asset_id = '')"
                ).fetchone()[0]
            )

        has = await self._database.run(work)
        if has + size_bytes > most:
            message = f"{has} of {most} bytes are taken, and this file has {size_bytes}; delete some files"
            raise ResourceExhaustedError(message, field="size_bytes", limit="stored_bytes", retry_after_s=_ROOM_RETRY_S)

    def spend(self, connection: sqlite3.Connection, job: Job) -> None:
        """Write down what a new job is to decode, in the transaction that accepts it.

        Of a video that is still being uploaded nobody knows; it counts from the next job on.

        Raises:
            ResourceExhaustedError: It is more than the tenant has left; says when it has more.
        """
        now = self._clock_us()
        connection.execute("DELETE FROM spent WHERE time_us <= ?", (now - DAY_US,))
        _settle(connection)
        pixels = _pixels(connection, job.video_asset_id, job.speech_asset_id)
        most = self._quota().decoded_pixels
        spent, oldest = connection.execute("SELECT COALESCE(SUM(pixels), 0), MIN(time_us) FROM spent").fetchone()
        if most and spent + (pixels or 0) > most:
            message = (
                f"{spent} of {most} pixels were taken within 24 hours, and this video has {pixels or 0}; "
                "try again later, or with a smaller video"
            )
            wait_s = (oldest + DAY_US - now) / 1e6 if oldest is not None else None
            raise ResourceExhaustedError(message, field="video", limit="decoded_pixels", retry_after_s=wait_s)
        connection.execute(
            "INSERT INTO spent (time_us, video_asset_id, speech_asset_id, pixels) VALUES (?, ?, ?, ?)",
            (
                now,
                "" if pixels is not None else job.video_asset_id,
                "" if pixels is not None else job.speech_asset_id,
                pixels,
            ),
        )


def unname(connection: sqlite3.Connection, asset_id: str) -> None:
    """A file is about to be deleted in this transaction: what jobs on it spent is counted, and names it no more."""
    _settle(connection)
    connection.execute(
        "UPDATE spent SET video_asset_id = '', speech_asset_id = '' WHERE ? IN (video_asset_id, speech_asset_id)",
        (asset_id,),
    )


def _settle(connection: sqlite3.Connection) -> None:
    rows = connection.execute(
        "SELECT rowid, video_asset_id, speech_asset_id FROM spent WHERE pixels IS NULL"
    ).fetchall()
    for number, video, speech in rows:
        pixels = _pixels(connection, video, speech)
        if pixels is not None:
            connection.execute(
                "UPDATE spent SET pixels = ?, video_asset_id = '', speech_asset_id = '' WHERE rowid = ?",
                (pixels, number),
            )


def _pixels(connection: sqlite3.Connection, video: str, speech: str) -> int | None:
    pictures, sound = _media(connection, video), _media(connection, speech)
    if pictures is None:
        return None
    frames = int(pictures.get("frames") or 0)
    if pictures.get("kind") == "photo":
        frames = round(float((sound or {}).get("duration_seconds") or 0) * _PHOTO_RATE)
    return int(pictures.get("width") or 0) * int(pictures.get("height") or 0) * max(1, frames)


def _media(connection: sqlite3.Connection, asset_id: str) -> dict[str, float | str] | None:
    row = connection.execute("SELECT media FROM assets WHERE asset_id = ? AND ready = 1", (asset_id,)).fetchone()
    if row is None or row[0] is None:
        return None
    told: dict[str, float | str] = json.loads(row[0])
    return told
