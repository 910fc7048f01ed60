"""Watchers of previews: one child for all, none for nobody, and none that holds up another or the job."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from edge_gateway.disk import make_directory
from edge_gateway.fragment import Fragment
from edge_gateway.jobs.events import Journal
from edge_gateway.jobs.files import JobFiles
from edge_gateway.jobs.job import Change, Event, EventBody, Job, JobError, JobOptions, JobState, StateChanged
from edge_gateway.jobs.preview import PreviewAnswer, PreviewPiece, Previews
from edge_gateway.jobs.reel import PreviewInit, Reel, Reels
from shared.errors import (
    CancelledByUserError,
    EdgeUnavailableError,
    InternalError,
    InvalidInputError,
    JobFailedError,
    ResourceExhaustedError,
    VisemeError,
)
from shared.media.sandbox import Message
from shared.media.timeline import OutputFrame, OutputSegment

JOB = "job-" + "0" * 20
INIT = PreviewInit(mime_type="video/mp4", data=b"init")
PIECE = 1000


def segment(index: int) -> OutputSegment:
    frame = OutputFrame(index=index, source=index, time_us=index * 10, end_us=index * 10 + 10)
    return OutputSegment(index=index, frames=(frame,))


def pictures(index: int) -> bytes:
    return bytes([index]) * (PIECE * 2 + index)


def whole(index: int) -> bytes:
    return b"head" + pictures(index) + b"tail"


class Child:
    """Cuts: its fragments are a head, the whole file, and a tail."""

    def __init__(self, cutters: "Cutters") -> None:
        self.cutters = cutters
        self.answers: list[Message] = []
        self.told = 0

    async def send(self, header: dict[str, Any], payload: bytes = b"") -> None:
        self.cutters.asked.append((self.told, header["skip"]))
        if not self.told:
            self.answers.append(Message(header={"kind": "init", "mime_type": INIT.mime_type}, payload=INIT.data))
        if not header["skip"]:
            size = Path(header["path"]).stat().st_size
            fragment = Fragment(
                start_us=header["start_us"], end_us=header["end_us"], head=b"head", extents=((0, size),), tail=b"tail"
            )
            self.answers.append(Message(header={"kind": "fragment"}, payload=fragment.to_bytes()))
        self.told += 1

    async def receive(self) -> Message | None:
        await self.cutters.may.wait()
        if self.cutters.error is not None:
            raise self.cutters.error
        return self.answers.pop(0)


class Cutters:
    """Starts children and counts them."""

    def __init__(self) -> None:
        self.started = self.living = 0
        self.asked: list[tuple[int, bool]] = []
        self.error: VisemeError | None = None
        self.may = asyncio.Event()
        self.may.set()

    @asynccontextmanager
    async def __call__(self, speech: Path, segments: Path) -> AsyncIterator[Child]:
        self.started += 1
        self.living += 1
        try:
            yield Child(self)
        finally:
            self.living -= 1


class FakeResult:
    """The same fragments, in one file."""

    init = INIT

    def __init__(self, path: Path, count: int) -> None:
        self.path, self.count = path, count
        path.write_bytes(b"".join(map(pictures, range(count))))

    async def fragment(self, index: int) -> Fragment:
        at = sum(len(pictures(one)) for one in range(index))
        extent = (at, len(pictures(index)))
        return Fragment(start_us=index * 10, end_us=index * 10 + 10, head=b"head", extents=(extent,), tail=b"tail")

    async def open(self, asset_id: str) -> "FakeResult":
        assert asset_id == "result"
        return self


class World:
    """One job, written down nowhere."""

    def __init__(self, root: Path, watchers: int = 9) -> None:
        self.root = root
        self.cutters = Cutters()
        self.files = JobFiles(root / "job")
        make_directory(root / "job")
        self.job = Job(
            job_id=JOB,
            state=JobState.RENDERING,
            video_asset_id="",
            speech_asset_id="",
            options=JobOptions(),
            created_us=0,
            updated_us=0,
        )
        self.journal = Journal(self)
        self.reels = Reels(self.cutters)
        self.result = FakeResult(root / "result", 4)
        self.counted: list[int] = []
        jobs: Any = self
        results: Any = self.result
        self.previews = Previews(
            jobs,
            self.journal,
            self.reels,
            results,
            piece_bytes=PIECE,
            watchers=watchers,
            count_down=self.counted.append,
        )

    async def get(self, job_id: str) -> Job:
        return self.job

    async def record(self, job_id: str, bodies: Any, change: Change | None = None) -> tuple[Job, list[Event]]:
        assert change is not None
        self.job = Job(
            job_id=JOB,
            state=change.state,
            video_asset_id="",
            speech_asset_id="",
            options=JobOptions(),
            created_us=0,
            updated_us=0,
            result_asset_id=change.result_asset_id,
            error=change.error,
        )
        body: EventBody = StateChanged(state=change.state)
        return self.job, [Event(job_id=JOB, sequence=1, time_us=0, body=body)]

    async def events(self, job_id: str, after: int, limit: int) -> list[Event]:
        return []

    async def last(self, job_id: str) -> Event:
        raise NotImplementedError

    def composite(self, reel: Reel, *indices: int) -> None:
        for index in indices:
            self.files.composited(index).write_bytes(pictures(index))
            reel.add(segment(index))

    def watch(self, first: int = 0) -> "Watcher":
        return Watcher(self.previews, first)

    async def end(self, state: JobState, error: JobError | None = None) -> None:
        for path in (self.root / "job").iterdir():
            path.unlink()
        result = "result" if state is JobState.SUCCEEDED else ""
        await self.journal.record(JOB, change=Change(state=state, result_asset_id=result, error=error))

    async def sound(self) -> Path:
        return Path("speech")

    def open(self) -> Any:
        return self.reels.open(JOB, self.files, self.sound)


class Watcher:
    """Takes a preview piece by piece and puts fragments together."""

    def __init__(self, previews: Previews, first: int) -> None:
        self.answers = previews.watch(JOB, first)
        self.fragments: dict[int, bytes] = {}
        self.inits = 0

    def take(self, answer: PreviewAnswer) -> None:
        if isinstance(answer, PreviewPiece):
            assert len(answer.data) <= PIECE
            assert len(self.fragments.get(answer.fragment, b"")) == answer.offset
            self.fragments[answer.fragment] = self.fragments.get(answer.fragment, b"") + answer.data
        else:
            assert answer == INIT
            self.inits += 1

    async def until(self, count: int) -> None:
        """Go on until so many fragments are whole."""
        while sum(self.fragments.get(index) == whole(index) for index in self.fragments) < count:
            self.take(await anext(self.answers))

    async def rest(self) -> None:
        async with aclosing(self.answers):
            async for answer in self.answers:
                self.take(answer)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def all_of(first: int, count: int) -> dict[int, bytes]:
    return {index: whole(index) for index in range(first, count)}


async def test_nobody_watching_costs_nothing(world: World) -> None:
    async with world.open() as reel:
        world.composite(reel, 0, 1)
    await world.end(JobState.SUCCEEDED)
    assert world.cutters.started == 0


async def test_all_watch_what_one_child_cuts(world: World) -> None:
    async with world.open() as reel, asyncio.TaskGroup() as tasks:
        first, second, third = world.watch(), world.watch(), world.watch(2)
        for watcher in (first, second):
            tasks.create_task(watcher.until(3))
        tasks.create_task(third.until(1))
        world.composite(reel, 0, 1)
        world.composite(reel, 2)
    assert (world.cutters.started, world.cutters.living) == (1, 0)
    assert world.cutters.asked == [(0, False), (1, False), (2, False)]
    assert first.fragments == second.fragments == all_of(0, 3)
    assert third.fragments == all_of(2, 3)
    for watcher in (first, second, third):
        assert watcher.inits == 1
        await watcher.answers.aclose()


async def test_the_child_goes_with_the_last_watcher_and_another_goes_on(world: World) -> None:
    async with world.open() as reel:
        world.composite(reel, 0, 1)
        async with aclosing(world.watch().answers) as answers:
            assert await anext(answers) == INIT
            assert isinstance(await anext(answers), PreviewPiece)
        assert (world.cutters.started, world.cutters.living) == (1, 0)
        watcher = world.watch(1)
        await watcher.until(1)
        assert world.cutters.asked == [(0, False), (0, True), (1, False)]
        await watcher.answers.aclose()


async def test_a_watcher_cut_off_while_it_waits_for_the_child_harms_nobody(world: World) -> None:
    async with world.open() as reel:
        world.composite(reel, 0)
        world.cutters.may.clear()
        async with asyncio.TaskGroup() as tasks:
            gone, stays = world.watch(), world.watch()
            waiting = tasks.create_task(gone.until(1))
            going_on = tasks.create_task(stays.until(1))
            while not world.cutters.asked:  # noqa: ASYNC110 - the fake counts, and tells nobody
                await asyncio.sleep(0)
            waiting.cancel()
            world.cutters.may.set()
            await going_on
        assert stays.fragments == all_of(0, 1)
        for watcher in (gone, stays):
            await watcher.answers.aclose()


async def test_who_reads_slowly_holds_up_nobody_and_goes_on_in_the_result(world: World) -> None:
    slow, quick = world.watch(), world.watch()
    async with world.open() as reel:
        world.composite(reel, 0, 1, 2, 3)
        slow.take(await anext(slow.answers))
        slow.take(await anext(slow.answers))
        await quick.until(4)
        assert sum(map(len, slow.fragments.values())) == PIECE
    await world.end(JobState.SUCCEEDED)
    # In the middle of a fragment whose files are gone.
    for watcher in (slow, quick):
        await watcher.rest()
        assert watcher.fragments == all_of(0, 4)
        assert watcher.inits == 1
    assert world.cutters.living == 0
    assert sum(world.counted) == 2 * sum(len(whole(index)) for index in range(4))


async def test_a_finished_job_is_watched_in_its_result(world: World) -> None:
    await world.end(JobState.SUCCEEDED)
    for first, count in ((0, 4), (2, 4), (4, 4)):
        watcher = world.watch(first)
        await watcher.rest()
        assert watcher.fragments == all_of(first, count)
        assert watcher.inits == 1
    with pytest.raises(InvalidInputError, match="from_fragment"):
        await world.watch(5).rest()


@pytest.mark.parametrize(
    ("state", "raised"), [(JobState.FAILED, JobFailedError), (JobState.CANCELLED, CancelledByUserError)]
)
async def test_a_job_that_ends_badly_ends_its_previews(
    world: World, state: JobState, raised: type[VisemeError]
) -> None:
    early = world.watch()
    async with world.open() as reel:
        world.composite(reel, 0)
        await early.until(1)
    await world.end(state, JobError(reason="no_face", field="video", message="none"))
    for watcher in (early, world.watch()):
        with pytest.raises(raised) as caught:
            await watcher.rest()
        assert getattr(caught.value, "cause_reason", "no_face") == "no_face"


async def test_what_the_child_dies_of_is_told_to_the_watcher_alone(world: World) -> None:
    async with world.open() as reel:
        world.composite(reel, 0)
        world.cutters.error = InternalError("broken")
        with pytest.raises(InternalError, match="broken"):
            await world.watch().rest()
        world.cutters.error = None
        watcher = world.watch()
        await watcher.until(1)
        await watcher.answers.aclose()


async def test_watchers_are_bounded_and_an_edge_that_ends_lets_them_go(tmp_path: Path) -> None:
    world = World(tmp_path, watchers=2)
    async with AsyncExitStack() as opened, world.open() as reel:
        world.composite(reel, 0)
        watchers = [world.watch(), world.watch()]
        for watcher in watchers:
            opened.push_async_callback(watcher.answers.aclose)
            await watcher.until(1)
        with pytest.raises(ResourceExhaustedError) as caught:
            await world.watch().rest()
        assert caught.value.limit == "preview_watchers"
        world.journal.close()
        for watcher in watchers:
            with pytest.raises(EdgeUnavailableError):
                await watcher.rest()


async def test_a_job_that_ends_before_its_sound_is_made_holds_nobody_up(tmp_path: Path) -> None:
    world, asked = World(tmp_path), asyncio.Event()

    async def never() -> Path:
        asked.set()
        return await asyncio.get_running_loop().create_future()

    world.sound = never  # type: ignore[method-assign]
    async with world.open() as reel:
        world.composite(reel, 0)
        waiting = asyncio.create_task(anext(world.previews.watch(JOB, 0)))
        await asked.wait()
        await world.end(JobState.CANCELLED)
    with pytest.raises(CancelledByUserError):
        await waiting
