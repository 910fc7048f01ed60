"""The face for programs without an event loop, against an edge in another thread."""

import asyncio
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import viseme
from shared.sdk.testing import RESULT, FakeEdge, succeeding


class Served:
    """An edge in a thread of its own."""

    def __init__(self, fake: FakeEdge) -> None:
        self.fake = fake
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        asyncio.run_coroutine_threadsafe(fake.start(), self.loop).result()

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self.fake.stop(), self.loop).result()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


@pytest.fixture
def served(request: pytest.FixtureRequest) -> Iterator[Served]:
    made = Served(FakeEdge(script=getattr(request, "param", None)))
    yield made
    made.stop()


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    video, speech = tmp_path / "clip.mp4", tmp_path / "speech.wav"
    video.write_bytes(b"video" * 1000)
    speech.write_bytes(b"speech" * 1000)
    return video, speech


def test_a_job_from_its_files_to_its_result(served: Served, files: tuple[Path, Path], tmp_path: Path) -> None:
    with viseme.sync.connect(served.fake.address) as edge:
        job = edge.dub(*files)
        events = list(job.events())
        assert job.save(tmp_path / "out.mp4").read_bytes() == RESULT
        assert [event.sequence for event in events] == list(range(1, len(succeeding()) + 2))
        assert job.result().frames == 50
        assert [one.id for one in edge.jobs()] == [job.id]
        assert edge.job(job.id).refresh().state is viseme.JobState.SUCCEEDED
        assert {asset.name for asset in edge.assets.list()} >= {"clip.mp4", "speech.wav"}
        job.delete()
        job.delete()  # again, as after an answer that was lost


def test_many_and_a_loop_that_is_left(served: Served, files: tuple[Path, Path]) -> None:
    with viseme.sync.connect(served.fake.address) as edge:
        told = list(edge.dub_many([files] * 5))
        assert sorted(one.index for one in told) == list(range(5))
        assert {one.result().state for one in told} == {viseme.JobState.SUCCEEDED}
        for event in told[0].result().events():
            assert event.sequence == 1
            break


def test_errors_are_the_same(served: Served, tmp_path: Path) -> None:
    with viseme.sync.connect(served.fake.address) as edge:
        with pytest.raises(viseme.InvalidInputError) as refused:
            edge.dub(tmp_path / "none.mp4", tmp_path / "none.wav")
        assert refused.value.field == "video"
        with pytest.raises(viseme.NotFoundError):
            edge.job("job-9")
    with pytest.raises(viseme.ConflictError):
        edge.capabilities()


@pytest.mark.parametrize("served", [[]], indirect=True)
def test_ctrl_c_ends_a_call_and_what_it_was_about(served: Served, files: tuple[Path, Path]) -> None:
    with viseme.sync.connect(served.fake.address) as edge:
        many = edge.dub_many([files] * 3)
        begun = threading.Event()

        def interrupt() -> None:
            while len(served.fake.jobs) < 3:
                begun.wait(0.01)
            os.kill(os.getpid(), signal.SIGINT)

        thread = threading.Thread(target=interrupt)
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            next(many)
        thread.join()
        # What runs was cancelled, and the edge can be used on.
        assert [job.state for job in edge.jobs()] == [viseme.JobState.CANCELLED] * 3
    assert not [thread for thread in threading.enumerate() if thread.name == "viseme"]


def test_a_callback_that_waits_for_the_edge_is_told_why_it_cannot(served: Served, files: tuple[Path, Path]) -> None:
    refused: list[viseme.VisemeError] = []
    with viseme.sync.connect(served.fake.address) as edge:

        def told(_: viseme.Transfer) -> None:
            try:
                edge.capabilities()
            except viseme.VisemeError as error:
                refused.append(error)

        edge.upload(files[0], on_progress=told)
    assert isinstance(refused[0], viseme.ConflictError)
