"""Jobs in the database whose files are uploads that are not assets yet."""

import json
import sqlite3
from dataclasses import replace

from edge_gateway.assets.stream import SCHEME, is_upload_name, upload_of
from edge_gateway.jobs.gallery import note_used
from edge_gateway.jobs.job import Job
from shared.errors import NotFoundError, by_reason


def settled(connection: sqlite3.Connection, job: Job) -> Job:
    """The job with the assets that uploads have become by now."""

    def asset(name: str) -> str:
        if not is_upload_name(name):
            return name
        row = connection.execute(
            "SELECT asset_id FROM streams WHERE upload_id = ?", (name.removeprefix(SCHEME),)
        ).fetchone()
        return name if row is None or not row["asset_id"] else str(row["asset_id"])

    voices = tuple(replace(voice, speech=asset(voice.speech)) for voice in job.options.voices)
    return replace(
        job,
        video_asset_id=asset(job.video_asset_id),
        speech_asset_id=asset(job.speech_asset_id),
        background_asset_id=asset(job.background_asset_id),
        options=replace(job.options, voices=voices),
    )


def need_upload(connection: sqlite3.Connection, name: str, field: str) -> None:
    """Refuse the name of an upload that can become no asset; other names pass.

    Raises:
        NotFoundError: there is no such upload.
        VisemeError: why it will never become an asset.
    """
    if not is_upload_name(name):
        return
    row = connection.execute("SELECT error FROM streams WHERE upload_id = ?", (upload_of(name, field),)).fetchone()
    if row is None:
        raise NotFoundError("this edge has no such upload; it may have expired", field=field)
    if row["error"] is not None:
        told = json.loads(row["error"])
        raise by_reason(told["reason"])(told["message"], field=field, limit=told["limit"])


def replace_upload(connection: sqlite3.Connection, upload_id: str, asset_id: str) -> None:
    """An upload has become an asset: jobs that name it, those that are over as well, name that."""
    names = {"name": f"{SCHEME}{upload_id}", "asset": asset_id}
    for row in connection.execute("SELECT number, created_us FROM jobs WHERE video_asset_id = :name", names).fetchall():
        note_used(connection, asset_id, row["number"], row["created_us"])
    connection.execute(
        "UPDATE jobs SET video_asset_id = replace(video_asset_id, :name, :asset),"
        " speech_asset_id = replace(speech_asset_id, :name, :asset),"
        " background_asset_id = replace(background_asset_id, :name, :asset),"
        " speakers = replace(speakers, :name, :asset)"
        " WHERE :name IN (video_asset_id, speech_asset_id, background_asset_id) OR instr(speakers, :name)",
        names,
    )
