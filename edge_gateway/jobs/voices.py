"""The faces that one job makes speak, each with its own track, speech, stream to the node and files."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from edge_gateway.jobs.composite import Layer, Rendered
from edge_gateway.jobs.faces import Face, Faces, FaceView
from edge_gateway.jobs.files import JobFiles, Speech
from edge_gateway.jobs.job import Progress, Stage
from edge_gateway.jobs.orders import Orders
from edge_gateway.jobs.plan import Plan
from edge_gateway.jobs.render import RenderLeg, Told
from edge_gateway.jobs.start import Start
from edge_gateway.jobs.work import Work
from shared.media.timeline import OutputSegment


@dataclass(frozen=True, slots=True, kw_only=True)
class Voice:
    """One of the faces, at work."""

    index: int
    files: JobFiles
    orders: Orders
    rendered: Rendered
    rendering: RenderLeg
    face: Face

    @property
    def layer(self) -> Layer:
        """What is painted of it."""
        return Layer(face=self.face, files=self.files, rendered=self.rendered)

    async def hand_out(self, plan: Plan, segment: OutputSegment) -> None:
        """Order a segment of this face where that is needed."""
        order = plan.order(segment, self.index)
        if order is not None and await asyncio.to_thread(self.files.rendered, segment.index) is None:
            await self.orders.add(order)
        else:
            self.pass_by(segment)
            self.rendered.mark(segment.index)

    def pass_by(self, segment: OutputSegment) -> None:
        """Nothing is to be rendered for a segment."""
        self.orders.frames_done += len(segment.frames)

    async def close(self, frames: int) -> None:
        """Every segment has been handed out; so many frames are in the result."""
        self.orders.frames_in_all = frames
        await self.orders.close()


class Shares:
    """The progress of several who do the same, told as that of one.

    Args:
        board: Where it goes.
        count: How many they are.
    """

    def __init__(self, board: Told, count: int) -> None:
        self._board = board
        self._told: list[dict[Stage, Progress]] = [{} for _ in range(count)]

    def of(self, index: int) -> Told:
        """Where one of them tells."""
        return _Share(self, index)

    def tell(self, index: int, progress: Progress) -> None:
        """One of them has come further."""
        self._told[index][progress.stage] = progress
        told = [stages[progress.stage] for stages in self._told if progress.stage in stages]
        self._board.set(
            Progress(
                stage=progress.stage,
                done_frames=sum(one.done_frames for one in told),
                # Whoever has not begun has as much to do as the others.
                total_frames=max(one.total_frames for one in told) * len(self._told),
                done_bytes=sum(one.done_bytes for one in told),
            )
        )


class _Share:
    def __init__(self, shares: Shares, index: int) -> None:
        self._shares = shares
        self._index = index

    def set(self, progress: Progress) -> None:
        self._shares.tell(self._index, progress)


@asynccontextmanager
async def open_views(faces: Faces, start: Start, work: Work) -> AsyncIterator[Sequence[FaceView]]:
    """Use the faces of a job, each of which is made, or continued, meanwhile."""
    async with AsyncExitStack() as stack:
        # Each reads the video by itself, so each asks for bytes that are still to come by itself.
        sources = [work.video, *(work.video.again() for _ in start.asks[1:])]
        asked = zip(start.asks, sources, strict=True)
        yield [await stack.enter_async_context(faces.open(ask, source)) for ask, source in asked]


def voices_of(
    views: Sequence[FaceView],
    speeches: Sequence[Speech],
    work: Work,
    make: Callable[[Face, Speech, Told, JobFiles], tuple[Orders, Rendered, RenderLeg]],
) -> list[Voice]:
    """The faces of a job, each with what ``make`` makes for it."""
    shares = Shares(work.board, len(views))
    voices = []
    for index, (view, speech) in enumerate(zip(views, speeches, strict=True)):
        files = work.files.of_voice(index)
        told: Told = work.board if len(views) == 1 else shares.of(index)
        orders, rendered, rendering = make(view.face, speech, told, files)
        voices.append(
            Voice(index=index, files=files, orders=orders, rendered=rendered, rendering=rendering, face=view.face)
        )
    return voices
