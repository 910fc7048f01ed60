"""One job from its two files to its result. Everything overlaps; whatever is on disk already is not done again."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from edge_gateway.assets.asset import Asset
from edge_gateway.assets.service import AssetService
from edge_gateway.failures import one_error
from edge_gateway.jobs.children import Children
from edge_gateway.jobs.composite import CompositeLeg, Rendered
from edge_gateway.jobs.events import Journal, ProgressBoard
from edge_gateway.jobs.faces import Face, FaceAsk, Faces, FaceView
from edge_gateway.jobs.files import JobFiles, Speech
from edge_gateway.jobs.job import Change, Job, JobReport, JobState, Notice, Progress, Severity, Stage
from edge_gateway.jobs.node import EngineCard, InferenceNode, RenderSpec
from edge_gateway.jobs.patience import Patience, again
from edge_gateway.jobs.plan import Expected, Plan
from edge_gateway.jobs.profile import choose
from edge_gateway.jobs.reel import Reel, Reels
from edge_gateway.jobs.render import Orders, RenderLeg, RenderSettings
from edge_gateway.jobs.usage import Usage
from shared.errors import InvalidInputError, VisemeError
from shared.media.probe import MediaInfo
from shared.media.profile import PROFILES, LinkProfile
from shared.media.timeline import OutputSegment
from shared.telemetry.logging import get_logger

_LOG = get_logger(__name__)

_PROFILE = "profile.json"
_QUEUE = 64
"""Segments that may be planned ahead of the compositing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineSettings:
    """How jobs are done."""

    segment_s: float
    profile: LinkProfile | None
    """What every job is done with; None where each chooses for itself."""
    frame_pixels: int
    render: RenderSettings


@dataclass(slots=True, kw_only=True)
class _Work:
    """What is known of a job while it is done."""

    job: Job
    files: JobFiles
    board: ProgressBoard
    reel: Reel
    usage: Usage = field(default_factory=Usage)
    begun: float = field(default_factory=time.monotonic)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Legs:
    """The parts of a job that run side by side."""

    orders: Orders
    rendered: Rendered
    rendering: RenderLeg
    compositing: CompositeLeg


class Pipeline:
    """Does jobs.

    Args:
        assets: Where files come from and results go.
        faces: The faces on disk.
        children: The sandboxed children.
        node: Who renders.
        journal: Where events go.
        reels: Where previews are made.
        folder: The directory of a job's files.
        settings: How.
        on_report: Told what each job took.
    """

    def __init__(
        self,
        *,
        assets: AssetService,
        faces: Faces,
        children: Children,
        node: InferenceNode,
        journal: Journal,
        reels: Reels,
        folder: Callable[[str], Path],
        settings: PipelineSettings,
        on_report: Callable[[JobReport], None] = lambda _: None,
    ) -> None:
        self._assets = assets
        self._faces = faces
        self._children = children
        self._node = node
        self._journal = journal
        self._reels = reels
        self._folder = folder
        self._settings = settings
        self._on_report = on_report

    async def run(self, job: Job) -> Change:
        """Do a job; gives the state in which it ended well.

        Raises:
            VisemeError: why it ended otherwise.
        """
        files, speech = JobFiles(self._folder(job.job_id)), self._assets.path(job.speech_asset_id)
        with one_error():
            async with self._reels.open(job.job_id, files, speech) as reel, asyncio.TaskGroup() as tasks:
                board = ProgressBoard(self._journal, job.job_id)
                work = _Work(job=job, files=files, board=board, reel=reel)
                await self._begin(work)
                telling = tasks.create_task(board.run())
                change = await self._do(work)
                telling.cancel()
        await board.flush()
        return change

    async def _begin(self, work: _Work) -> None:
        waited = max(0.0, time.time() - work.job.created_us / 1e6)
        if await asyncio.to_thread(lambda: work.files.exists):
            rendered, composited = await asyncio.to_thread(work.files.found)
            told = await asyncio.to_thread(work.files.read_json, "usage.json")
            if told is not None:
                work.usage.take_up(told)
            message = (
                f"The edge was started again and goes on: {composited} composited and {rendered} rendered segments"
                " are on disk; only what is missing is done again."
            )
            _LOG.info("job taken up", job_id=work.job.job_id, rendered=rendered, composited=composited)
            notice = Notice(severity=Severity.INFO, reason="resumed", message=message)
            await self._journal.record(work.job.job_id, notice, change=Change(state=JobState.PREPARING))
            return
        notices = _reduced((await self._assets.get(work.job.video_asset_id, "video")).media)
        await asyncio.to_thread(work.files.make)
        work.usage.ended(Stage.WAIT, waited)
        await self._journal.record(work.job.job_id, *notices, change=Change(state=JobState.PREPARING))

    async def _do(self, work: _Work) -> Change:
        video = await self._assets.get(work.job.video_asset_id, "video")
        spoken = await self._assets.get(work.job.speech_asset_id, "speech")
        engine = await self._engine(work)
        ask = partial(
            FaceAsk,
            video=video.asset_id,
            crop_px=engine.crop_px,
            crop_scale=engine.crop_scale,
            segment_s=self._settings.segment_s,
            frame_pixels=self._settings.frame_pixels,
        )
        profile = await self._profile(work, ask)
        speech = await self._speech(work, spoken, profile)
        opened = time.monotonic()
        wanted, path = ask(crop=profile.crop), self._assets.path(video.asset_id)
        async with self._faces.open(wanted, path) as view, asyncio.TaskGroup() as tasks:
            await view.until(lambda face: bool(face.source))
            watching = tasks.create_task(self._watch_face(work, view, video, opened))
            plan = Plan(view, speech.duration_us, work.job.options, self._settings.segment_s)
            legs = self._legs(
                work,
                face=view.face,
                expected=plan.expected(video.media),
                speech=speech,
                engine=engine,
                profile=profile,
                video=video,
            )
            await self._render(work, plan, legs)
            watching.cancel()
            if not view.face.is_complete:
                work.usage.add(Stage.PREPARE, opened, time.monotonic())
        return await self._finish(work, plan, video, spoken, engine=legs.rendering.engine, profile=profile)

    async def _speech(self, work: _Work, asset: Asset, profile: LinkProfile) -> Speech:
        held = await asyncio.to_thread(work.files.speech)
        if held is not None:
            return held
        with work.usage.at_work(Stage.PREPARE):
            speech = await self._children.speech(self._assets.path(asset.asset_id), profile.speech)
        await asyncio.to_thread(work.files.put_speech, speech)
        return speech

    async def _engine(self, work: _Work) -> EngineCard:
        """The engine for this job: the one that it was begun with, or what the node says now."""
        held = await asyncio.to_thread(work.files.read_json, "engine.json")
        if held is not None:
            return EngineCard(**held)
        patience = Patience(self._settings.render.patience_s)
        status = await again(self._node.status, patience, lambda error: self._say_waiting(work.job.job_id, error))
        name = work.job.options.engine
        for engine in status.engines:
            if engine.name == name or (not name and engine.is_default):
                told = {
                    "name": engine.name,
                    "summary": engine.summary,
                    "is_default": engine.is_default,
                    "crop_px": engine.crop_px,
                    "crop_scale": engine.crop_scale,
                }
                await asyncio.to_thread(work.files.write_json, "engine.json", told)
                return engine
        known = ", ".join(engine.name for engine in status.engines) or "none"
        raise InvalidInputError(
            f"the node has no engine {name or 'by default'}; it has: {known}", field="options.engine"
        )

    async def _profile(self, work: _Work, ask: Callable[..., FaceAsk]) -> LinkProfile:
        """The profile of this job: the one that it was begun with, or what is chosen now."""
        held = await asyncio.to_thread(work.files.read_json, _PROFILE)
        if held is not None and held["name"] in PROFILES:
            return PROFILES[held["name"]]
        patience = Patience(self._settings.render.patience_s)
        profile = await again(
            lambda: choose(self._settings.profile, self._faces, ask, self._node),
            patience,
            lambda error: self._say_waiting(work.job.job_id, error),
        )
        await asyncio.to_thread(work.files.write_json, _PROFILE, {"name": profile.name})
        return profile

    async def _say_waiting(self, job_id: str, error: VisemeError) -> None:
        message = f"Waiting for the node at {self._node.address}: {error.message.rstrip('.')}."
        notice = Notice(severity=Severity.WARNING, reason=error.reason, message=message)
        await self._journal.record(job_id, notice)

    async def _watch_face(self, work: _Work, view: FaceView, video: Asset, opened: float) -> None:
        face, total = view.face, video.media.frames if video.media else 0
        while not face.is_complete:
            work.board.set(_prepared(face.frames_seen, total))
            seen = face.frames_seen
            await view.until(partial(_saw_more, seen))
        work.board.set(_prepared(face.frames_seen, face.frames_seen))
        if face.finished_at is not None:
            work.usage.add(Stage.PREPARE, opened, face.finished_at)

    def _legs(
        self,
        work: _Work,
        *,
        face: Face,
        expected: Expected,
        speech: Speech,
        engine: EngineCard,
        profile: LinkProfile,
        video: Asset,
    ) -> _Legs:
        orders, rendered = Orders(expected.frames), Rendered()
        spec = RenderSpec(
            job_id=work.job.job_id,
            engine=engine.name,
            crop_px=engine.crop_px,
            matrix=str(face.source["matrix"]),
            full_range=bool(face.source["full_range"]),
            speech_digest=speech.digest,
            speech_bytes=len(speech.data),
            total_segments=expected.segments,
            patch=profile.patch,
        )
        rendering = RenderLeg(
            node=self._node,
            spec=spec,
            speech=speech,
            face=face,
            files=work.files,
            orders=orders,
            usage=work.usage,
            journal=self._journal,
            board=work.board,
            settings=self._settings.render,
            on_rendered=rendered.mark,
        )
        path = self._assets.path(video.asset_id)
        compositing = CompositeLeg(
            start=lambda: self._children.composite(path, face.source),
            face=face,
            crop_px=engine.crop_px,
            files=work.files,
            rendered=rendered,
            usage=work.usage,
            board=work.board,
            expected_frames=expected.frames,
            on_composited=work.reel.add,
        )
        return _Legs(orders=orders, rendered=rendered, rendering=rendering, compositing=compositing)

    async def _render(self, work: _Work, plan: Plan, legs: _Legs) -> None:
        """Render and composite every segment that is not on disk."""
        queue: asyncio.Queue[OutputSegment | None] = asyncio.Queue(_QUEUE)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(legs.rendering.run())
            tasks.create_task(legs.compositing.run(queue))
            is_first = True
            async for segment in plan.segments():
                if is_first:
                    await self._journal.record(work.job.job_id, change=Change(state=JobState.RENDERING))
                    is_first = False
                if await self._hand_out(work, plan, legs, segment):
                    await queue.put(segment)
            legs.orders.frames_in_all = legs.compositing.total_frames = plan.frames
            await legs.orders.close()
            await queue.put(None)

    @staticmethod
    async def _hand_out(work: _Work, plan: Plan, legs: _Legs, segment: OutputSegment) -> bool:
        """Order a segment where that is needed; False where nothing is to be done for it at all."""
        if await asyncio.to_thread(work.files.composited(segment.index).is_file):
            legs.compositing.skip(segment)
            legs.orders.frames_done += len(segment.frames)
            return False
        order = plan.order(segment)
        if order is not None and await asyncio.to_thread(work.files.rendered, segment.index) is None:
            await legs.orders.add(order)
        else:
            legs.orders.frames_done += len(segment.frames)
            legs.rendered.mark(segment.index)
        return True

    async def _finish(
        self, work: _Work, plan: Plan, video: Asset, spoken: Asset, *, engine: str, profile: LinkProfile
    ) -> Change:
        job_id, files = work.job.job_id, work.files
        await work.board.flush()
        notices = []
        if plan.untouched_frames:
            message = f"{plan.untouched_frames} of {plan.frames} frames show no face and pass through untouched."
            notices.append(Notice(severity=Severity.INFO, reason="no_face_frames", message=message))
        await self._journal.record(job_id, *notices, change=Change(state=JobState.FINISHING))
        with work.usage.at_work(Stage.COMPOSITE):
            await self._children.finish(
                segments=[files.composited(index) for index in range(plan.segment_count)],
                starts_us=plan.starts_us,
                speech=self._assets.path(spoken.asset_id),
                length_us=plan.length_us,
                output=files.result(),
            )
        stem = Path(video.display_name or "video").stem
        result = await self._assets.keep_result(files.result(), f"{stem}-dubbed.mp4")
        report = JobReport(
            frames=plan.frames,
            frame_rate=plan.frames / (plan.length_us / 1e6),
            segments=plan.segment_count,
            stages=dict(work.usage.stages),
            total_s=round(max(0.0, time.time() - work.job.created_us / 1e6), 3),
            up_bytes=work.usage.meter.up_bytes,
            down_bytes=work.usage.meter.down_bytes,
            engine=engine,
            untouched_frames=plan.untouched_frames,
            link_profile=profile.name,
        )
        self._on_report(report)
        return Change(state=JobState.SUCCEEDED, result_asset_id=result.asset_id, report=report)


def _reduced(media: MediaInfo | None) -> list[Notice]:
    if media is None or not media.original_width:
        return []
    message = (
        f"The photo of {media.original_width}x{media.original_height} is reduced to {media.width}x{media.height},"
        " the largest picture that a video may have here (limit frame_pixels)."
    )
    return [Notice(severity=Severity.INFO, reason="photo_reduced", message=message)]


def _prepared(done: int, total: int) -> Progress:
    return Progress(stage=Stage.PREPARE, done_frames=done, total_frames=max(done, total))


def _saw_more(seen: int, face: Face) -> bool:
    return face.frames_seen > seen or face.is_complete
