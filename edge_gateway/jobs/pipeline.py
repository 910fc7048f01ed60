"""One job from its two files to its result. Everything overlaps; whatever is on disk already is not done again."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from edge_gateway.assets.growth import Source
from edge_gateway.assets.service import AssetService
from edge_gateway.failures import one_error
from edge_gateway.jobs import notices
from edge_gateway.jobs.children import Children
from edge_gateway.jobs.composite import CompositeLeg, Rendered
from edge_gateway.jobs.events import Journal, ProgressBoard
from edge_gateway.jobs.faces import Face, Faces, FaceView
from edge_gateway.jobs.files import JobFiles, Speech
from edge_gateway.jobs.finishing import Finisher, judge
from edge_gateway.jobs.job import Change, Job, JobReport, JobState, Notice, Progress, Stage
from edge_gateway.jobs.node import InferenceNode, RenderSpec
from edge_gateway.jobs.orders import Orders
from edge_gateway.jobs.plan import Expected, Plan
from edge_gateway.jobs.reel import Reels
from edge_gateway.jobs.render import RenderLeg, Told
from edge_gateway.jobs.results import Results
from edge_gateway.jobs.soundtrack import Soundtrack
from edge_gateway.jobs.stall import StalledError, here_of, watch
from edge_gateway.jobs.start import OnSpeech, Start, Starter, tell_nobody
from edge_gateway.jobs.voices import Voice, open_views, voices_of
from edge_gateway.jobs.work import Desk, PipelineSettings, Work
from edge_gateway.provenance.marks import Marks
from shared.media.probe import MediaInfo
from shared.media.profile import LinkProfile
from shared.media.timeline import OutputSegment
from shared.telemetry.logging import get_logger

_LOG = get_logger(__name__)

_QUEUE = 64
"""Segments that may be planned ahead of the compositing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Legs:
    """The parts of a job that run side by side."""

    voices: Sequence[Voice]
    compositing: CompositeLeg
    composited: Source
    """What the compositing reads."""


class Pipeline:
    """Does jobs.

    Args:
        assets: Where files come from.
        faces: The faces on disk.
        children: The sandboxed children.
        node: Who renders.
        journal: Where events go.
        reels: Where previews are made.
        results: Where results go.
        folder: The directory of a job's files.
        settings: How.
        desk: Where the jobs lie that are being done.
        marks: What results say of themselves.
        on_report: Told what each job took.
        on_progress: Told once of each job that has come further for the first time.
        on_speech: Told what nodes are sent of a speech; see :class:`edge_gateway.jobs.start.Starter`.
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
        results: Results,
        folder: Callable[[str], Path],
        settings: PipelineSettings,
        desk: Desk,
        marks: Marks,
        on_report: Callable[[JobReport], None] = lambda _: None,
        on_progress: Callable[[Job], None] = lambda _: None,
        on_speech: OnSpeech = tell_nobody,
    ) -> None:
        self._assets = assets
        self._faces = faces
        self._starter = Starter(
            faces=faces, children=children, node=node, journal=journal, settings=settings, on_speech=on_speech
        )
        self._children = children
        self._node = node
        self._journal = journal
        self._reels = reels
        self._results = results
        self._folder = folder
        self._settings = settings
        self._desk = desk
        self._label = marks.label
        self._finisher = Finisher(children, marks)
        self._on_report = on_report
        self._on_progress = on_progress

    async def run(self, job: Job) -> Change:
        """Do a job; gives the state in which it ended well, which is written down by then.

        Raises:
            VisemeError: why it ended otherwise.
            StalledError: it can do nothing until more of an upload comes; run it again then.
        """
        video = await self._assets.source(job.video_asset_id, "video")
        spoken = tuple([await self._assets.source(speech, "speech") for speech in job.speeches])
        under = job.background_asset_id
        background = await self._assets.source(under, "background") if under else None
        files = JobFiles(self._folder(job.job_id))
        sound = Soundtrack(job, files, video=video, speeches=spoken, background=background)
        async with self._reels.open(job.job_id, files, sound.paths) as reel:
            work = Work(
                job=job,
                video=video,
                speeches=spoken,
                background=background,
                sound=sound,
                files=files,
                board=ProgressBoard(
                    self._journal, job.job_id, on_first=lambda: self._on_progress(job) if work.is_new else None
                ),
                reel=reel,
            )
            board = work.board
            await self._begin(work)
            try:
                with self._desk.at(work):
                    change = await self._run(work)
            except StalledError:
                await board.flush()
                await asyncio.to_thread(files.write_json, "usage.json", work.usage.to_json())
                await asyncio.to_thread(files.write_json, "parked.json", {})
                raise
            await board.flush()
            return change

    async def _run(self, work: Work) -> Change:
        with one_error():
            async with asyncio.TaskGroup() as tasks:
                telling = tasks.create_task(work.board.run())
                change = await self._do(work)
                telling.cancel()
        return change

    async def _begin(self, work: Work) -> None:
        """Note that a job begins, or goes on."""
        job_id, files = work.job.job_id, work.files
        work.is_new = not await asyncio.to_thread(lambda: files.exists)
        told = [] if work.is_new else [await self._taken_up(work)]
        if work.is_new:
            await asyncio.to_thread(files.make)
        work.label = await asyncio.to_thread(files.label, self._label)
        work.usage.ended(Stage.WAIT, max(0.0, time.time() - work.job.updated_us / 1e6))
        await self._journal.record(job_id, *told, change=Change(state=JobState.PREPARING))

    async def _taken_up(self, work: Work) -> Notice:
        """Go on with what is on disk."""
        rendered, composited = await asyncio.to_thread(work.files.found)
        if told := await asyncio.to_thread(work.files.read_json, "usage.json"):
            work.usage.take_up(told)
        _LOG.info("job taken up", job_id=work.job.job_id, rendered=rendered, composited=composited)
        there = f"{composited} composited and {rendered} rendered segments are on disk"
        if await asyncio.to_thread(work.files.take_json, "parked.json") is None:
            return notices.taken_up(there)
        return notices.upload_goes_on(here_of(work.video), there)

    async def _do(self, work: Work) -> Change:
        start = await self._starter.start(work)
        opened = time.monotonic()
        async with open_views(self._faces, start, work) as views, asyncio.TaskGroup() as tasks:
            try:
                sources = [("video", view.source) for view in views]
                first = tasks.create_task(watch(lambda: sources, self._settings.stall_s))
                for view in views:
                    await view.until(lambda face: bool(face.source))
                first.cancel()
                await self._say_missed(work, views)
                plan = Plan(
                    views,
                    start.speech_us,
                    work.job.options,
                    self._settings.segment_s,
                    crop_scale=start.engine.crop_scale,
                )
                legs = self._legs(work, views, plan.expected(start.media), start)
                watching = [
                    tasks.create_task(self._watch_faces(work, views, start.media, opened)),
                    tasks.create_task(self._watch_upload(views, plan, legs, work.video)),
                ]
                mixing = tasks.create_task(work.sound.make(self._children, start.speech_us, work.usage))
                await self._render(work, plan, legs)
                await mixing
                for task in watching:
                    task.cancel()
            finally:
                for view in views:
                    if not view.face.is_complete:
                        work.usage.prepared(opened, time.monotonic(), view.source.waits)
        return await self._finish(work, plan, legs.voices[0].rendering.engine, start.profile)

    async def _say_missed(self, work: Work, views: Sequence[FaceView]) -> None:
        """Tell of places at which nobody was, though somebody was at others of the same face."""
        for voice, view in enumerate(views):
            if missed := view.face.source.get("missed_places"):
                speaker = (work.job.options.speaker, *(one.speaker for one in work.job.options.voices))[voice]
                notice = notices.places_missed([speaker.places[number] for number in missed], len(speaker.places))
                await self._journal.record(work.job.job_id, notice)

    async def _watch_upload(self, views: Sequence[FaceView], plan: Plan, legs: _Legs, whole: Source) -> None:
        """Let others go first where nothing more of the video comes and all that could be done is done."""
        limit = self._settings.stall_s
        read = (*(view.source for view in views), legs.composited, whole)
        sources = [("video", source) for source in read]

        def is_idle() -> bool:
            prepared = all(view.face.is_complete or view.source.silent_s >= limit for view in views)
            composited = legs.compositing.done_frames == plan.given_frames or legs.composited.silent_s >= limit
            return prepared and composited

        await watch(lambda: sources, limit, is_idle=is_idle)

    async def _watch_faces(self, work: Work, views: Sequence[FaceView], media: MediaInfo, opened: float) -> None:
        for view in views:
            # The last of them is told: the others are about as far.
            face, total = view.face, media.frames
            while not face.is_complete:
                work.board.set(_prepared(face.frames_seen, total))
                seen = face.frames_seen
                await view.until(partial(_saw_more, seen))
            work.board.set(_prepared(face.frames_seen, face.frames_seen))
            if face.finished_at is not None:
                work.usage.prepared(opened, face.finished_at, view.source.waits)

    def _legs(self, work: Work, views: Sequence[FaceView], expected: Expected, start: Start) -> _Legs:
        engine = start.engine

        def make(face: Face, speech: Speech, told: Told, files: JobFiles) -> tuple[Orders, Rendered, RenderLeg]:
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
                patch=start.profile.patch,
            )
            rendering = RenderLeg(
                node=self._node,
                spec=spec,
                speech=speech,
                face=face,
                files=files,
                orders=orders,
                usage=work.usage,
                journal=self._journal,
                board=told,
                settings=self._settings.render,
                on_rendered=rendered.mark,
            )
            return orders, rendered, rendering

        voices = voices_of(views, start.speeches, work, make)
        source, told_of = work.video.again(), views[0].face.source
        compositing = CompositeLeg(
            start=lambda: self._children.composite(source, told_of, work.label),
            layers=[voice.layer for voice in voices],
            crop_px=engine.crop_px,
            files=work.files,
            usage=work.usage,
            board=work.board,
            expected_frames=expected.frames,
            on_composited=work.reel.add,
        )
        return _Legs(voices=voices, compositing=compositing, composited=source)

    async def _render(self, work: Work, plan: Plan, legs: _Legs) -> None:
        """Render and composite every segment that is not on disk."""
        queue: asyncio.Queue[OutputSegment | None] = asyncio.Queue(_QUEUE)
        async with asyncio.TaskGroup() as tasks:
            for voice in legs.voices:
                tasks.create_task(voice.rendering.run())
            tasks.create_task(legs.compositing.run(queue))
            is_first = True
            async for segment in plan.segments():
                if is_first:
                    await self._journal.record(work.job.job_id, change=Change(state=JobState.RENDERING))
                    is_first = False
                if await self._hand_out(work, plan, legs, segment):
                    await queue.put(segment)
            legs.compositing.total_frames = plan.frames
            for voice in legs.voices:
                await voice.close(plan.frames)
            await queue.put(None)

    @staticmethod
    async def _hand_out(work: Work, plan: Plan, legs: _Legs, segment: OutputSegment) -> bool:
        """Order a segment where that is needed; False where nothing is to be done for it at all."""
        if await asyncio.to_thread(work.files.composited(segment.index).is_file):
            legs.compositing.skip(segment)
            for voice in legs.voices:
                voice.pass_by(segment)
            return False
        for voice in legs.voices:
            await voice.hand_out(plan, segment)
        return True

    async def _finish(self, work: Work, plan: Plan, engine: str, profile: LinkProfile) -> Change:
        job_id, files = work.job.job_id, work.files
        await work.board.flush()
        verdict = await asyncio.to_thread(judge, plan, [files.of_voice(index) for index in range(plan.voices)])
        await self._journal.record(job_id, *notices.told_of(verdict), change=Change(state=JobState.FINISHING))
        with work.usage.at_work(Stage.COMPOSITE):
            await self._finisher.make(work, plan, verdict, engine)
        report = JobReport(
            frames=plan.frames,
            frame_rate=plan.frames / (plan.length_us / 1e6),
            segments=plan.segment_count,
            stages=dict(work.usage.stages),
            total_s=round(max(0.0, time.time() - work.job.created_us / 1e6), 3),
            up_bytes=work.usage.meter.up_bytes,
            down_bytes=work.usage.meter.down_bytes,
            engine=engine,
            link_profile=profile.name,
            untouched_frames=verdict.untouched_frames,
            sync=verdict.sync,
            unscored=verdict.unscored,
            untouched=verdict.untouched,
            untouched_left_out=verdict.left_out,
        )
        stem = Path(work.video.asset.display_name or "video").stem
        change = await self._results.hand_over(job_id, files.result(), f"{stem}-dubbed.mp4", report)
        self._on_report(report)
        return change


def _prepared(done: int, total: int) -> Progress:
    return Progress(stage=Stage.PREPARE, done_frames=done, total_frames=max(done, total))


def _saw_more(seen: int, face: Face) -> bool:
    return face.frames_seen > seen or face.is_complete
