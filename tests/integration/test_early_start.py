"""Jobs that begin while their video is still being uploaded, on a real edge with a node that gives the crop back."""

import wave
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shared.errors import InvalidMediaError, NotFoundError
from shared.pb.viseme.gateway.v1 import asset_pb2, job_pb2
from tests.integration.test_edge_gateway import (
    MEDIA,
    Client,
    EchoNode,
    error_of,
    reasons,
    running_edge,
    running_node,
    states,
)
from tests.trickle import Trickle, large_clip

QUEUED, PREPARING, RENDERING, FINISHING, SUCCEEDED, FAILED = range(1, 7)
STALL_S = 0.3


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    more = {"upload_stall_s": STALL_S, "jobs_at_once": 1}
    async with running_node(EchoNode()) as address, running_edge(tmp_path / "edge", address, **more) as client:
        yield client


async def speech_of(client: Client) -> str:
    return (await client.upload((MEDIA / "speech-papa.wav").read_bytes(), "speech.wav")).asset_id


async def submit(client: Client, video: str, speech: str) -> str:
    request = job_pb2.SubmitJobRequest(video_asset_id=video, speech_asset_id=speech)
    return (await client.jobs.SubmitJob(request)).job.job_id


async def until(client: Client, job_id: str, reached: str) -> None:
    """Wait for a notice of this reason, or for the first frames of the result (``composited``)."""
    session = client.jobs.Session(iter([job_pb2.SessionRequest(subscribe=job_pb2.Subscribe(job_id=job_id))]))
    async for answer in session:
        told = answer.event
        assert told.state_changed.state not in (SUCCEEDED, FAILED), told
        is_frame = told.progress.stage == job_pb2.STAGE_COMPOSITE and told.progress.done_frames > 0
        if told.notice.reason == reached or (is_frame and reached == "composited"):
            session.cancel()
            return
    pytest.fail(f"the job ended before {reached}")


def trickling(client: Client, data: bytes) -> Trickle:
    return Trickle(client.channel, data, "clip.mp4")


async def done(client: Client, job_id: str) -> job_pb2.Job:
    await client.events(job_id)
    job = await client.job(job_id)
    assert job.state == job_pb2.JOB_STATE_SUCCEEDED, job.error
    return job


def faces_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("faces/*/*")}


@pytest.mark.parametrize("name", ["head.mp4", "tail.mov", "tail.mkv"])
async def test_a_result_is_begun_before_the_upload_ends_and_is_the_same(name: str, tmp_path: Path) -> None:
    """Whatever part of the file holds its index: an index at the end is asked for."""
    data = large_clip(tmp_path / name.replace("head.mp4", "head.mov"), faststart=name.startswith("head"))
    folders, results = [tmp_path / "early", tmp_path / "whole"], []
    for folder in folders:
        async with running_node(EchoNode()) as address, running_edge(folder, address) as client:
            speech = await speech_of(client)
            async with trickling(client, data) as upload:
                if folder.name == "whole":
                    await upload.send_rest()
                else:
                    await upload.send(0)
                job_id = await submit(client, upload.asset_id, speech)
                last = len(upload.chunks) - 1
                if folder.name == "early":
                    if name == "tail.mov":
                        await upload.until_wanted(last)
                        await upload.send(last)
                    await upload.send(*upload.missing[:-2])
                    await until(client, job_id, "composited")
                    assert upload.missing
                    await upload.send_rest()
                results.append((await done(client, job_id)).result_asset_id)
    assert results[0] == results[1]
    assert faces_in(folders[0]) == faces_in(folders[1])


async def test_a_stalled_upload_lets_other_jobs_go_first_and_is_waited_for(client: Client, tmp_path: Path) -> None:
    data = large_clip(tmp_path / "clip.mov", faststart=True)
    speech = await speech_of(client)
    async with trickling(client, data) as upload:
        await upload.send(*range(6))
        early = await submit(client, upload.asset_id, speech)
        await until(client, early, "upload_stalled")
        other = await client.submit()
        await done(client, other.job_id)
        assert (await client.job(early)).state == job_pb2.JOB_STATE_QUEUED
        await upload.send_rest()
        job = await done(client, early)
    events = await client.events(early)
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert states(events)[-5:] == [QUEUED, PREPARING, RENDERING, FINISHING, SUCCEEDED]
    # On a slow machine it may stall once more between two chunks of the rest.
    assert reasons(events)[:2] == ["upload_stalled", "upload_resumed"]
    stalled = next(event.notice.message for event in events if event.notice.reason == "upload_stalled")
    assert stalled == f"Waiting for the rest of the video: 6.3 of {len(data) / 1e6:.1f} MB are here."
    waited = {stage.stage: stage.busy.ToMilliseconds() for stage in job.report.stages}
    assert waited[job_pb2.STAGE_WAIT] >= 1000 * STALL_S


async def test_a_job_that_waits_for_its_speech_says_so_and_can_be_cancelled(client: Client) -> None:
    video = await client.upload((MEDIA / "clip.mp4").read_bytes(), "clip.mp4")
    async with trickling(client, (MEDIA / "speech-papa.wav").read_bytes()) as upload:
        job_id = await submit(client, video.asset_id, upload.asset_id)
        await until(client, job_id, "upload_stalled")
        cancelled = await client.jobs.CancelJob(job_pb2.CancelJobRequest(job_id=job_id))
        assert cancelled.job.state == job_pb2.JOB_STATE_CANCELLED
        again = await submit(client, video.asset_id, upload.asset_id)
        await until(client, again, "upload_stalled")
        await upload.send_rest()
        await done(client, again)


async def test_nobody_waits_long_for_a_client_that_is_not_there(tmp_path: Path) -> None:
    more = {"upload_stall_s": 3600.0, "jobs_at_once": 1}
    async with running_node(EchoNode()) as address, running_edge(tmp_path / "edge", address, **more) as client:
        video = await client.upload((MEDIA / "clip.mp4").read_bytes(), "clip.mp4")
        async with trickling(client, (MEDIA / "speech-papa.wav").read_bytes()) as upload:
            pass
        job_id = await submit(client, video.asset_id, upload.asset_id)
        await until(client, job_id, "upload_stalled")
        await speech_of(client)
        await done(client, job_id)


async def test_a_job_that_needs_only_the_beginning_ends_before_the_upload(client: Client, tmp_path: Path) -> None:
    data = large_clip(tmp_path / "clip.mov", faststart=True)
    with wave.open(str(MEDIA / "speech-papa.wav")) as whole, wave.open(str(tmp_path / "short.wav"), "wb") as short:
        short.setparams(whole.getparams())
        short.writeframes(whole.readframes(whole.getframerate()))
    speech = (await client.upload((tmp_path / "short.wav").read_bytes(), "short.wav")).asset_id
    async with trickling(client, data) as upload:
        await upload.send(*upload.missing[:-2])
        job = await done(client, await submit(client, upload.asset_id, speech))
        assert job.report.frames == 25
        assert upload.missing
        assert (await client.assets.GetAsset(asset_pb2.GetAssetRequest(asset_id=upload.asset_id))).asset.state == 1


async def test_what_is_no_media_fails_the_job_as_soon_as_its_head_is_there(client: Client) -> None:
    speech = await speech_of(client)
    async with trickling(client, b"this is no video at all. " * 100_000) as upload:
        await upload.send(0)
        job_id = await submit(client, upload.asset_id, speech)
        await client.events(job_id)
        error = (await client.job(job_id)).error
        assert (error.reason, error.field) == ("invalid_media", "video")
        assert upload.missing


async def test_a_file_that_is_refused_at_its_end_fails_the_jobs_that_wait_for_it(client: Client) -> None:
    video = await client.upload((MEDIA / "clip.mp4").read_bytes(), "clip.mp4")
    async with trickling(client, b"this is no speech at all. " * 100_000) as upload:
        await upload.send(0)
        job_id = await submit(client, video.asset_id, upload.asset_id)
        await until(client, job_id, "upload_stalled")
        with pytest.raises(InvalidMediaError):
            await upload.send_rest()
        await client.events(job_id)
        error = (await client.job(job_id)).error
        assert (error.reason, error.field) == ("invalid_media", "speech")
        gone = client.assets.GetAsset(asset_pb2.GetAssetRequest(asset_id=upload.asset_id))
        assert isinstance(await error_of(gone), NotFoundError)


async def test_two_jobs_on_one_growing_video_share_its_face(tmp_path: Path) -> None:
    data = large_clip(tmp_path / "clip.mov", faststart=True)
    node = EchoNode()
    async with running_node(node) as address, running_edge(tmp_path / "edge", address) as client:
        speech = await speech_of(client)
        async with trickling(client, data) as upload:
            await upload.send(0)
            jobs = [await submit(client, upload.asset_id, speech) for _ in range(2)]
            await upload.send(*upload.missing[:-2])
            for job_id in jobs:
                await until(client, job_id, "composited")
            await upload.send_rest()
            results = {(await done(client, job_id)).result_asset_id for job_id in jobs}
        assert len(results) == 1
        assert len(list((tmp_path / "edge" / "faces").iterdir())) == 1
