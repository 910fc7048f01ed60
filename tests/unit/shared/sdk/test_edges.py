"""Several edges: the nearest is taken, and uploads and jobs go on at another when it goes."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import viseme
from shared.digest import CHUNK_BYTES
from shared.rpc.address import parse_address
from shared.sdk.nearest import first_to_answer, nearest
from shared.sdk.testing import RESULT, FakeEdge, Faults, progress, state
from tests.delay import far_link
from tests.silence import silence

PATIENCE = viseme.Patience(connect_s=2, silence_s=10, first_delay_s=0.01, longest_delay_s=0.05, leave_s=0.05)
NOBODY = "127.0.0.1:1"


@pytest.fixture
async def second() -> AsyncIterator[FakeEdge]:
    async with FakeEdge(ids="other") as made:
        yield made


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"".join(bytes([index]) * CHUNK_BYTES for index in range(6)) + b"tail")
    return path


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    path = tmp_path / "speech.wav"
    path.write_bytes(b"RIFF" * 1000)
    return path


def both(first: FakeEdge, second: FakeEdge, told: list[viseme.EdgeChange]) -> viseme.Edge:
    addresses = [first.address, second.address]
    return viseme.connect(addresses, patience=PATIENCE, prefer=first.address, on_change=told.append)


async def test_the_nearest_that_answers_is_taken(second: FakeEdge) -> None:
    with far_link(delay_s=0.05) as link:
        link.leads_to(second.address)
        for addresses in ([link.address, second.address, NOBODY], [second.address, NOBODY, link.address]):
            async with viseme.connect(addresses, patience=PATIENCE) as edge:
                assert edge.address == second.address
                assert (await edge.capabilities()).version
        far, near = (parse_address(one, field="edge") for one in (link.address, second.address))
        found = await nearest([near, far], prefer=far)
        assert found is not None
        assert found[0] == far
        assert 0.1 <= found[1] < 1


async def test_where_none_answers_that_is_said() -> None:
    async with viseme.connect([NOBODY, "127.0.0.1:2"], patience=PATIENCE) as edge:
        with pytest.raises(viseme.EdgeUnavailableError, match="none of the edges answers"):
            await edge.capabilities()
    assert await nearest([parse_address(NOBODY, field="edge")]) is None


def test_no_edge_at_all_is_refused() -> None:
    with pytest.raises(viseme.InvalidInputError, match="one edge at least"):
        viseme.connect([])


async def test_an_upload_goes_on_at_the_next_edge_which_is_sent_what_it_has_not(second: FakeEdge, video: Path) -> None:
    told: list[viseme.EdgeChange] = []
    async with FakeEdge(faults=Faults(upload_after_bytes=[4 * CHUNK_BYTES])) as first:

        def gone(transfer: viseme.Transfer) -> None:
            if transfer.done_bytes >= 3 * CHUNK_BYTES and not stopping:
                stopping.append(asyncio.create_task(first.stop()))

        stopping: list[asyncio.Task[None]] = []
        async with both(first, second, told) as edge:
            assert edge.address == first.address
            asset = await edge.upload(video, on_progress=gone)
            assert edge.address == second.address
        acknowledged = sum(map(len, next(iter(first.stored.values())).chunks.values()))
    assert asset.size_bytes == video.stat().st_size
    assert second.stored[asset.id].data == video.read_bytes()
    chosen, moved, again = told
    assert (chosen.edge, chosen.left) == (first.address, "")
    assert (moved.edge, moved.left) == (second.address, first.address)
    assert (again.file, again.edge) == (str(video), second.address)
    assert 3 * CHUNK_BYTES <= again.again_bytes <= acknowledged


async def test_what_the_next_edge_has_is_not_sent_again(second: FakeEdge, video: Path, speech: Path) -> None:
    told: list[viseme.EdgeChange] = []
    async with viseme.connect(second.address, patience=PATIENCE) as edge:
        await edge.upload(video)
    async with FakeEdge(script=[state(viseme.JobState.RENDERING)]) as first, both(first, second, told) as edge:
        await edge.upload(video)
        job = await edge.dub(video, speech)
        await job.uploaded()
        bytes_before = second.received_bytes
        await first.stop()
        await job.wait()
        assert second.received_bytes - bytes_before == speech.stat().st_size
    again = {Path(one.file).name: one.again_bytes for one in told if one.file}
    assert again == {"clip.mp4": 0, "speech.wav": speech.stat().st_size}


async def test_a_job_goes_on_at_the_next_edge_with_the_same_key(
    second: FakeEdge, video: Path, speech: Path, tmp_path: Path
) -> None:
    told: list[viseme.EdgeChange] = []
    steps = [state(viseme.JobState.RENDERING), progress(viseme.Stage.INFER, 5, 50)]
    async with FakeEdge(script=steps) as first, both(first, second, told) as edge:
        job = await edge.dub(video, speech)
        here, states = job.id, []
        async for event in job.events():
            if isinstance(event, viseme.Progress) and event.done_frames == 5:
                await first.stop()
            if isinstance(event, viseme.StateChanged):
                states.append(event.state)
        assert job.id != here
        assert [one.idempotency_key for one in first.submitted] == [second.submitted[-1].idempotency_key]
        assert states == [
            *(viseme.JobState.QUEUED, viseme.JobState.RENDERING),
            *(viseme.JobState.QUEUED, viseme.JobState.PREPARING, viseme.JobState.RENDERING),
            *(viseme.JobState.FINISHING, viseme.JobState.SUCCEEDED),
        ]
        assert (await job.save(tmp_path / "out.mp4")).read_bytes() == RESULT
    assert [one.left for one in told if not one.file] == ["", first.address]


async def test_a_result_that_went_with_its_edge_is_made_at_the_next(
    second: FakeEdge, video: Path, speech: Path, tmp_path: Path
) -> None:
    told: list[viseme.EdgeChange] = []
    async with FakeEdge() as first, both(first, second, told) as edge:
        job = await edge.dub(video, speech)
        await job.wait()
        await first.stop()
        assert (await job.save(tmp_path / "out.mp4")).read_bytes() == RESULT
    assert len(second.submitted) == 1


async def test_if_the_edge_returns_before_another_answers_the_upload_goes_on_there(video: Path) -> None:
    told: list[viseme.EdgeChange] = []
    async with (
        FakeEdge(faults=Faults(upload_after_bytes=[4 * CHUNK_BYTES])) as first,
        viseme.connect([first.address, NOBODY], patience=PATIENCE, on_change=told.append) as edge,
    ):
        away: list[asyncio.Task[None]] = []

        async def leave() -> None:
            await first.stop()
            await asyncio.sleep(4 * PATIENCE.leave_s)  # for longer than one waits before others are asked
            await first.start()

        def gone(transfer: viseme.Transfer) -> None:
            if transfer.done_bytes >= 3 * CHUNK_BYTES and not away:
                away.append(asyncio.create_task(leave()))

        asset = await edge.upload(video, on_progress=gone)
        assert first.stored[asset.id].complete
        assert first.received_bytes < video.stat().st_size + 2 * CHUNK_BYTES
    assert [one.left for one in told] == [""]


async def test_a_job_that_was_taken_by_its_id_stays_at_its_edge(second: FakeEdge, video: Path, speech: Path) -> None:
    async with FakeEdge(script=[state(viseme.JobState.RENDERING)]) as first:
        async with viseme.connect(first.address, patience=PATIENCE) as edge:
            job_id = (await edge.dub(video, speech)).id
        async with both(first, second, []) as edge:
            job = await edge.job(job_id)
            await first.stop()
            with pytest.raises(viseme.EdgeUnavailableError, match=f"is at the edge at {first.address}"):
                await job.wait()
    assert second.submitted == []


async def test_a_batch_goes_on_at_the_next_edge(second: FakeEdge, video: Path, speech: Path) -> None:
    steps = [state(viseme.JobState.RENDERING)]
    async with FakeEdge(script=steps) as first, both(first, second, []) as edge:

        async def stop() -> None:
            while len(first.jobs) < 3 or not first.sessions:  # noqa: ASYNC110 - the edge for tests tells nobody
                await asyncio.sleep(0.001)
            await first.stop()

        stopping = asyncio.create_task(stop())
        told = [one async for one in edge.dub_many([(video, speech)] * 3)]
        await stopping
    assert sorted(one.index for one in told) == [0, 1, 2]
    assert all(one.result().state is viseme.JobState.SUCCEEDED for one in told)
    keys = {one.idempotency_key for one in first.submitted}
    assert keys == {one.idempotency_key for one in second.submitted}


async def test_an_edge_that_says_nothing_any_more_is_left_though_its_connections_stand(
    second: FakeEdge, video: Path, speech: Path
) -> None:
    told: list[viseme.EdgeChange] = []
    patience = viseme.Patience(leave_s=0.2)
    async with (
        FakeEdge(script=[state(viseme.JobState.RENDERING)]) as first,
        silence(first.address) as (link, relayed),
        viseme.connect([relayed, second.address], patience=patience, prefer=relayed, on_change=told.append) as edge,
    ):
        job = await edge.dub(video, speech)
        await job.uploaded()
        for connection in link.connections:
            connection.is_silent = True
        link.target = ("127.0.0.1", 1)
        async with asyncio.timeout(10):  # of the 15 s after which a stream is asked whether it is there
            await job.wait()
    assert [one.edge for one in told if not one.file] == [relayed, second.address]


async def test_an_edge_that_does_not_answer_is_kept_where_no_other_does() -> None:
    here, there = parse_address(NOBODY, field="edge"), parse_address("127.0.0.1:2", field="edge")
    assert await first_to_answer(here, [there]) is None
    async with FakeEdge() as edge:
        up = parse_address(edge.address, field="edge")
        assert await first_to_answer(up, [there]) == up
        assert await first_to_answer(there, [here, up]) == up
