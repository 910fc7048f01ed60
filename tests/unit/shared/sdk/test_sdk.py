"""The SDK against an edge on a real port: uploads, events and downloads mend themselves."""

import asyncio
import hashlib
import inspect
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import viseme
from shared.digest import CHUNK_BYTES
from shared.pb.viseme.gateway.v1 import asset_pb2, job_pb2
from shared.sdk.convert import event_from, job_from
from shared.sdk.download import part_path
from shared.sdk.source import chunk_order, open_source
from shared.sdk.testing import RESULT, FakeEdge, Faults, progress, state, succeeding

PATIENCE = viseme.Patience(connect_s=0.5, silence_s=5, first_delay_s=0.01, longest_delay_s=0.05)


@pytest.fixture
async def fake() -> AsyncIterator[FakeEdge]:
    async with FakeEdge() as made:
        yield made


@pytest.fixture
async def edge(fake: FakeEdge) -> AsyncIterator[viseme.Edge]:
    async with viseme.connect(fake.address, patience=PATIENCE) as made:
        yield made


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"".join(bytes([index]) * CHUNK_BYTES for index in range(6)) + b"tail")
    return path


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    path = tmp_path / "speech.wav"
    path.write_bytes(b"speech" * 1000)
    return path


async def test_the_example_of_the_readme(fake: FakeEdge, video: Path, speech: Path, tmp_path: Path) -> None:
    async with viseme.connect(fake.address) as edge:
        job = await edge.dub(str(video), str(speech), fit="loop")
        events = [event async for event in job.events()]
        await job.save(tmp_path / "out.mp4")
    assert [event.sequence for event in events] == list(range(1, len(succeeding()) + 2))
    assert isinstance(events[-1], viseme.StateChanged)
    assert events[-1].state is viseme.JobState.SUCCEEDED
    assert (tmp_path / "out.mp4").read_bytes() == RESULT
    assert not list(tmp_path.glob("*.part"))
    assert job.report is not None
    assert set(job.report.stages) == set(viseme.Stage) - {viseme.Stage.UNKNOWN}
    assert (job.report.frames, job.report.wan_up_bytes, job.report.wan_down_bytes) == (50, 1000, 2000)
    assert job.report.sync == viseme.SyncScore(score=88, lag_ms=-5, correlation=0.636, amplitude=0.988)
    assert (job.report.unscored, job.report.sync.is_low) == (None, False)
    (stretch,) = job.report.untouched
    assert (stretch.end_seconds, stretch.reason) == (0.12, viseme.UntouchedReason.NO_FACE)
    assert job.status.fit is viseme.FitMode.LOOP


async def test_head_and_tail_go_first(fake: FakeEdge, edge: viseme.Edge, video: Path) -> None:
    asset = await edge.upload(video)
    assert fake.first_chunks == [0, 1, 5, 6, 2, 3, 4]
    assert asset.state is viseme.AssetState.READY
    assert fake.stored[asset.id].data == video.read_bytes()
    async with await open_source(video, field="x") as source:
        await source.hashed()
        assert asset.id == source.asset_id


@pytest.mark.parametrize("count", range(8))
def test_every_chunk_is_sent_once(count: int) -> None:
    assert sorted(chunk_order(count)) == list(range(count))


async def test_a_cut_upload_sends_only_what_is_missing(fake: FakeEdge, edge: viseme.Edge, video: Path) -> None:
    fake.faults.upload_after_bytes = [2 * CHUNK_BYTES + 5, 100, 3 * CHUNK_BYTES]
    told: list[viseme.Transfer] = []
    asset = await edge.upload(video, on_progress=told.append)
    assert fake.stored[asset.id].data == video.read_bytes()
    assert told[-1].done_bytes == video.stat().st_size
    # A cut costs the pieces of the one chunk that it came into; the fake counts the message that it refuses.
    assert fake.received_bytes <= video.stat().st_size + 3 * CHUNK_BYTES


async def test_what_the_edge_has_is_not_sent_again(fake: FakeEdge, edge: viseme.Edge, video: Path) -> None:
    await edge.upload(video)
    first = fake.received_bytes
    told: list[viseme.Transfer] = []
    await edge.upload(video, on_progress=told.append)
    assert told[-1].skipped_bytes == video.stat().st_size
    assert fake.received_bytes == first


async def test_an_upload_outlives_a_restart(fake: FakeEdge, edge: viseme.Edge, video: Path) -> None:
    restarted: list[asyncio.Task[None]] = []

    async def restart() -> None:
        await fake.stop()
        await fake.start()

    def once(transfer: viseme.Transfer) -> None:
        if not restarted and transfer.done_bytes:
            restarted.append(asyncio.ensure_future(restart()))

    asset = await edge.upload(video, on_progress=once)
    await restarted[0]
    assert fake.stored[asset.id].complete


async def test_a_file_that_changes_meanwhile_is_an_error(fake: FakeEdge, edge: viseme.Edge, video: Path) -> None:
    def change(_transfer: viseme.Transfer) -> None:
        with video.open("r+b") as file:
            file.seek(4 * CHUNK_BYTES)
            file.write(b"other")

    fake.faults.upload_after_bytes = [CHUNK_BYTES]
    with pytest.raises(viseme.InvalidInputError, match="changed while it was uploaded"):
        await edge.upload(video, on_progress=change)


async def test_local_faults_are_found_before_anything_is_sent(edge: viseme.Edge, speech: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty.mp4"
    empty.touch()
    for path, words in ((tmp_path / "no.mp4", "No such file"), (empty, "empty"), (tmp_path, "folder")):
        with pytest.raises(viseme.InvalidInputError, match=words) as raised:
            await edge.dub(path, speech)
        assert raised.value.field == "video"
    with pytest.raises(viseme.InvalidInputError) as raised:
        await edge.dub(speech, tmp_path / "no.wav")
    assert raised.value.field == "speech"


async def test_a_refused_upload_names_what_the_file_was_to_be(
    fake: FakeEdge, edge: viseme.Edge, video: Path, speech: Path
) -> None:
    fake.refuse_upload = viseme.LimitExceededError("too large", field="manifest.size_bytes", limit="asset_bytes")
    with pytest.raises(viseme.LimitExceededError) as raised:
        await (await edge.dub(video, speech)).wait()
    assert raised.value.field in {"video", "speech"}
    assert raised.value.limit == "asset_bytes"


async def test_a_wrong_option_is_refused_at_once(edge: viseme.Edge, video: Path, speech: Path) -> None:
    with pytest.raises(viseme.InvalidInputError, match="trim, loop, bounce, hold"):
        await edge.dub(video, speech, fit="stretch")


async def test_events_come_once_and_in_order_over_cuts(
    fake: FakeEdge, edge: viseme.Edge, video: Path, speech: Path
) -> None:
    fake.faults.session_after_events = [2, 0, 3, 1]
    job = await edge.dub(video, speech)
    sequences = [event.sequence async for event in job.events()]
    assert sequences == list(range(1, len(succeeding()) + 2))
    assert [event.sequence async for event in job.events(after=5)] == sequences[5:]
    assert [event async for event in job.events(after=sequences[-1])] == []


async def test_events_are_live_and_outlive_a_restart(
    fake: FakeEdge, edge: viseme.Edge, video: Path, speech: Path
) -> None:
    fake.script = []
    job = await edge.dub(video, speech)
    seen: list[int] = []
    async for event in job.events():
        seen.append(event.sequence)
        if event.sequence == 1:
            await fake.happen(job.id, progress(viseme.Stage.INFER, 1, 2))
        elif event.sequence == 2:
            await fake.stop()
            await fake.start()
            await fake.happen(job.id, progress(viseme.Stage.INFER, 2, 2), state(viseme.JobState.SUCCEEDED))
    assert seen == [1, 2, 3, 4]
    assert job.state is viseme.JobState.SUCCEEDED


async def test_a_quiet_stream_is_pinged_and_kept(fake: FakeEdge, video: Path, speech: Path) -> None:
    fake.script = []
    fake.faults.session_hangs = True
    hasty = viseme.Patience(ping_s=0.02, first_delay_s=0.01, longest_delay_s=0.02, silence_s=0.3)
    async with viseme.connect(fake.address, patience=hasty) as edge:
        job = await edge.dub(video, speech)
        with pytest.raises(viseme.EdgeUnavailableError, match="pings"):
            async with asyncio.timeout(10):
                await job.wait()


async def test_a_failed_job_raises_with_its_reason(
    fake: FakeEdge, edge: viseme.Edge, video: Path, speech: Path, tmp_path: Path
) -> None:
    fake.script = [state(viseme.JobState.FAILED)]
    job = await edge.dub(video, speech)
    with pytest.raises(viseme.JobFailedError) as raised:
        await job.save(tmp_path / "out.mp4")
    assert (raised.value.cause_reason, raised.value.field) == ("no_face", "video")
    assert not (tmp_path / "out.mp4").exists()


async def test_a_cancelled_job_raises(fake: FakeEdge, edge: viseme.Edge, video: Path, speech: Path) -> None:
    fake.script = []
    job = await edge.dub(video, speech)
    assert (await job.cancel()).state is viseme.JobState.CANCELLED
    with pytest.raises(viseme.CancelledByUserError):
        await job.wait()


async def test_a_preview_comes_whole_and_once_over_cuts(
    fake: FakeEdge, edge: viseme.Edge, video: Path, speech: Path
) -> None:
    fake.faults.preview_after_pieces = [3, 0, 1]
    job = await edge.dub(video, speech)
    init, *fragments = [part async for part in job.preview()]
    assert init == viseme.PreviewInit(mime_type="video/mp4", data=b"init")
    assert [fragment.data for fragment in fragments] == fake.fragments
    fake.failure = job_pb2.JobError(reason="no_face", message="no face was found")
    with pytest.raises(viseme.JobFailedError) as raised:
        _ = [part async for part in job.preview(from_fragment=2)]
    assert raised.value.cause_reason == "no_face"


async def test_a_cut_download_is_taken_up(fake: FakeEdge, edge: viseme.Edge, video: Path, tmp_path: Path) -> None:
    asset = await edge.upload(video)
    fake.faults.download_after_bytes = [300_000, 0, 1_000_000]
    told: list[viseme.Transfer] = []
    await edge.assets.save(asset.id, tmp_path / "copy.mp4", on_progress=told.append)
    assert (tmp_path / "copy.mp4").read_bytes() == video.read_bytes()
    assert [t.done_bytes for t in told] == sorted(t.done_bytes for t in told)


@pytest.mark.parametrize("left_over", [b"", RESULT[:77], RESULT, RESULT + b"more", b"wrong" * 10])
async def test_what_lies_there_of_a_download_is_used_or_replaced(
    fake: FakeEdge, edge: viseme.Edge, tmp_path: Path, left_over: bytes
) -> None:
    target = tmp_path / "out.mp4"
    name = fake.store(RESULT, "out.mp4")
    part_path(target, name).write_bytes(left_over)
    await edge.assets.save(name, target)
    assert target.read_bytes() == RESULT
    assert not part_path(target, name).exists()


async def test_a_damaged_download_is_fetched_again_then_refused(
    fake: FakeEdge, edge: viseme.Edge, tmp_path: Path
) -> None:
    name = fake.store(RESULT + b"x", "out.mp4")
    fake.faults.download_flip = 1
    await edge.assets.save(name, tmp_path / "good.mp4")
    assert hashlib.sha256((tmp_path / "good.mp4").read_bytes()).digest() == hashlib.sha256(RESULT + b"x").digest()
    fake.faults.download_flip = 2
    with pytest.raises(viseme.InternalError, match="digest"):
        await edge.assets.save(name, tmp_path / "bad.mp4")
    assert not list(tmp_path.glob(".bad*"))
    assert not list(tmp_path.glob("bad*"))


async def test_a_target_that_cannot_be_written_is_found_first(edge: viseme.Edge, tmp_path: Path) -> None:
    for target in (tmp_path, tmp_path / "no" / "out.mp4"):
        with pytest.raises(viseme.InvalidInputError) as raised:
            await edge.assets.save("0" * 64, target)
        assert raised.value.field == "output"


async def test_assets_and_jobs_are_listed_over_pages(
    fake: FakeEdge, edge: viseme.Edge, video: Path, speech: Path
) -> None:
    for _ in range(3):
        job = await edge.dub(video, speech)
    assert [listed.id async for listed in edge.jobs()] == ["job-3", "job-2", "job-1"]
    assets = [asset async for asset in edge.assets.list()]
    assert {asset.id for asset in assets} == set(fake.stored)
    await edge.assets.delete(assets[0].id)
    with pytest.raises(viseme.NotFoundError):
        await edge.assets.get(assets[0].id)
    await job.delete()
    with pytest.raises(viseme.NotFoundError):
        await edge.job(job.id)


async def test_the_same_key_gives_the_same_job(edge: viseme.Edge, video: Path, speech: Path) -> None:
    first = await edge.dub(video, speech, idempotency_key="k")
    second = await edge.dub(video, speech, idempotency_key="k")
    assert first.id == second.id


async def test_one_file_for_both_is_uploaded_once(fake: FakeEdge, edge: viseme.Edge, video: Path) -> None:
    job = await edge.dub(video, video)
    assert job.status.video_asset_id == job.status.speech_asset_id
    await job.uploaded()
    assert fake.received_bytes == video.stat().st_size


async def test_one_content_in_two_files_is_uploaded_once(fake: FakeEdge, edge: viseme.Edge, video: Path) -> None:
    copy = video.with_name("copy.mp4")
    copy.write_bytes(video.read_bytes())
    job = await edge.dub(str(video), copy)
    assert job.status.video_asset_id == job.status.speech_asset_id
    await job.uploaded()
    assert fake.received_bytes == video.stat().st_size


async def test_a_background_is_brought_like_the_other_files(
    fake: FakeEdge, edge: viseme.Edge, video: Path, speech: Path
) -> None:
    music = video.with_name("music.mp3")
    music.write_bytes(b"music" * 1000)
    job = await edge.dub(video, speech, background=music, background_volume=0.5)
    await job.uploaded()
    assert fake.stored[job.status.background_asset_id].data == music.read_bytes()
    assert (job.status.keep_sound, job.status.background_volume) == (False, 0.5)
    received = fake.received_bytes
    same = await edge.dub(video, speech, background=video)
    assert same.status.background_asset_id == same.status.video_asset_id
    await same.uploaded()
    assert fake.received_bytes == received
    plain = await edge.dub(video, speech)
    assert (plain.status.background_asset_id, plain.status.background_volume) == ("", None)
    with pytest.raises(viseme.InvalidInputError) as missing:
        await edge.dub(video, speech, background="no such file")
    assert missing.value.field == "background"


async def test_the_videos_own_sound_may_be_kept(fake: FakeEdge, edge: viseme.Edge, video: Path, speech: Path) -> None:
    job = await edge.dub(video, speech, background="keep")
    await job.uploaded()
    assert (job.status.keep_sound, job.status.background_asset_id, job.status.background_volume) == (True, "", 0.3)
    assert fake.received_bytes == video.stat().st_size + speech.stat().st_size


async def test_capabilities_are_told(edge: viseme.Edge) -> None:
    told = await edge.capabilities()
    assert [(engine.name, engine.is_default) for engine in told.engines] == [("warp", True)]


async def test_an_edge_that_is_not_there_is_named(video: Path, speech: Path) -> None:
    async with viseme.connect("127.0.0.1:1", patience=PATIENCE) as edge:
        with pytest.raises(viseme.EdgeUnavailableError, match=r"the edge at 127\.0\.0\.1:1 does not answer"):
            await edge.capabilities()
        with pytest.raises(viseme.EdgeUnavailableError, match=r"tried \d+ times"):
            await edge.dub(video, speech)


async def test_patience_ends_in_the_middle_of_a_job(fake: FakeEdge, video: Path, speech: Path) -> None:
    fake.script = []
    short = viseme.Patience(connect_s=0.1, silence_s=0.2, first_delay_s=0.01, longest_delay_s=0.02)
    async with viseme.connect(fake.address, patience=short) as edge:
        job = await edge.dub(video, speech)
        events = job.events()
        await anext(events)
        await fake.stop()
        with pytest.raises(viseme.EdgeUnavailableError, match=fake.address):
            await anext(events)


def test_an_edge_is_used_inside_its_block() -> None:
    with pytest.raises(RuntimeError, match="async with"):
        _ = viseme.connect("localhost").assets
    with pytest.raises(viseme.InvalidInputError):
        viseme.connect("localhost:http")
    assert viseme.connect("::1").address == "[::1]:50051"


def test_an_unknown_event_of_a_newer_edge_is_left_out() -> None:
    assert event_from(job_pb2.Event(job_id="j", sequence=1)) is None
    odd = job_pb2.Job(job_id="j")
    odd.state = 99  # type: ignore[assignment]  # a value that this version does not know
    assert job_from(odd).state is viseme.JobState.UNKNOWN


def test_the_sdk_needs_nothing_but_the_base_install() -> None:
    heavy = "{'numpy', 'av', 'pydantic', 'structlog', 'typer', 'rich', 'cv2', 'prometheus_client'}"
    code = f"import sys, viseme, shared.sdk.testing; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_what_the_module_shows_is_of_ours() -> None:
    assert all(hasattr(viseme, name) for name in viseme.__all__)
    assert inspect.isclass(viseme.Edge)


def test_faults_are_used_up() -> None:
    assert Faults().upload_after_bytes == []


@pytest.mark.parametrize("round_", range(20))
async def test_why_an_upload_was_refused_is_never_lost(round_: int, video: Path) -> None:
    """The edge ends the stream while the client writes at full speed."""

    class Full(FakeEdge):
        async def Upload(self, request_iterator: Any, context: Any) -> AsyncIterator[Any]:
            async for request in request_iterator:
                if round_ % 2 or request.HasField("piece"):
                    raise viseme.DiskFullError("the disk is full", limit="data")
                yield asset_pb2.UploadResponse(start=asset_pb2.UploadStart())

    async with Full() as fake, viseme.connect(fake.address, patience=PATIENCE) as edge:
        with pytest.raises(viseme.DiskFullError):
            await edge.upload(video)
