"""The videos and photos that jobs used: whoever takes one again uploads only speech."""

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, replace

from edge_gateway.assets.asset import Asset
from edge_gateway.assets.catalog import read_asset
from edge_gateway.assets.stream import is_upload_name
from edge_gateway.database import Database
from edge_gateway.paging import page_size, read_token, write_token


@dataclass(frozen=True, slots=True, kw_only=True)
class UsedVideo:
    """A video or photo that jobs used."""

    asset: Asset
    place: int
    """The number of the newest job that used it."""
    used_us: int
    """When that was submitted, in microseconds since 1970."""
    jobs: int
    """How many used it, those that were deleted counted, too."""


def note_used(connection: sqlite3.Connection, asset_id: str, job_number: int, now_us: int) -> None:
    """Note that a new job uses a video; one that is still an upload is noted when it is an asset."""
    if is_upload_name(asset_id):
        return
    connection.execute(
        "INSERT INTO used_videos VALUES (?, ?, ?, 1) ON CONFLICT (asset_id) DO UPDATE SET"
        " place = excluded.place, used_us = excluded.used_us, jobs = jobs + 1",
        (asset_id, job_number, now_us),
    )


class Gallery:
    """Finds them.

    Args:
        database: Where they stand.
        expires: Tells when an asset goes, in microseconds since 1970.
    """

    def __init__(self, database: Database, *, expires: Callable[[Asset], int | None] = lambda _: None) -> None:
        self._database = database
        self._expires = expires

    async def page(self, size: int, token: str) -> tuple[list[UsedVideo], str]:
        """Those that are still there, the one first that was used last, and the token of the next page."""
        count, before = page_size(size), read_token(token)

        def work(connection: sqlite3.Connection) -> list[UsedVideo]:
            rows = connection.execute(
                "SELECT assets.*, place, used_videos.used_us AS job_us, jobs FROM used_videos JOIN assets"
                " USING (asset_id) WHERE ready AND (:before IS NULL OR place < :before)"
                " ORDER BY place DESC LIMIT :count",
                {"before": before, "count": count + 1},
            )
            return [
                UsedVideo(asset=read_asset(row), place=row["place"], used_us=row["job_us"], jobs=row["jobs"])
                for row in rows
            ]

        found = await self._database.run(work)
        found = [replace(one, asset=replace(one.asset, expire_us=self._expires(one.asset))) for one in found]
        more = len(found) > count
        return found[:count], write_token(found[count - 1].place) if more else ""
