"""What must be known before a job can do anything else: the engine, the profile, the speech and what the video is.

The speech must be whole for that, since its length decides what is rendered; of a video its ends will do.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar

from edge_gateway.assets.asset import AssetKind, check_pictures
from edge_gateway.jobs import notices
from edge_gateway.jobs.cast import cast_of
from edge_gateway.jobs.children import Children
from edge_gateway.jobs.events import Journal
from edge_gateway.jobs.faces import FaceAsk, Faces
from edge_gateway.jobs.files import Speech
from edge_gateway.jobs.job import Notice, Severity, Stage
from edge_gateway.jobs.node import EngineCard, InferenceNode
from edge_gateway.jobs.patience import Patience, again
from edge_gateway.jobs.profile import choose
from edge_gateway.jobs.stall import watch
from edge_gateway.jobs.work import PipelineSettings, Work
from shared.errors import InvalidInputError, VisemeError
from shared.media.probe import MediaInfo
from shared.media.profile import PROFILES, LinkProfile

T = TypeVar("T")

_PROFILE: Final = "profile.json"
_ABSENT_S: Final = 1.0
"""Seconds that a job keeps its place where it has done nothing yet and no client uploads what it waits for."""


OnSpeech = Callable[[str, Iterable[bytes]], Awaitable[None]]


async def tell_nobody(_asset_id: str, _digests: Iterable[bytes]) -> None:
    """For those who do not want to know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What was found out."""

    engine: EngineCard
    profile: LinkProfile
    speeches: tuple[Speech, ...]
    """Of all who speak."""
    media: MediaInfo
    asks: tuple[FaceAsk, ...]
    """The face of each."""

    @property
    def speech_us(self) -> int:
        """Length of the longest speech."""
        return max(speech.duration_us for speech in self.speeches)


class Starter:
    """Finds it out.

    Args:
        faces: The faces on disk.
        children: The sandboxed children.
        node: Who renders.
        journal: Where events go.
        settings: How jobs are done.
        on_speech: Told, before a node is sent it, of which asset a speech is, and the SHA-256 of what is sent.
    """

    def __init__(
        self,
        *,
        faces: Faces,
        children: Children,
        node: InferenceNode,
        journal: Journal,
        settings: PipelineSettings,
        on_speech: OnSpeech = tell_nobody,
    ) -> None:
        self._faces = faces
        self._children = children
        self._node = node
        self._journal = journal
        self._settings = settings
        self._on_speech = on_speech

    async def start(self, work: Work) -> Start:
        """Find out about one job.

        Raises:
            VisemeError: it cannot be done.
            StalledError: more of a file must come first, and nothing does.
        """
        sources = [*(("speech", speech) for speech in work.speeches), ("video", work.video)]
        if work.background is not None:
            sources.append(("background", work.background))
        try:
            async with asyncio.TaskGroup() as tasks:
                watching = tasks.create_task(watch(lambda: sources, self._settings.stall_s, absent_s=_ABSENT_S))
                looking = tasks.create_task(self._media(work))
                heard = (*work.speeches, work.background)
                coming = [tasks.create_task(source.ready()) for source in heard if source]
                engine = await self._engine(work)
                ask = partial(
                    FaceAsk,
                    video=work.video.asset.asset_id,
                    crop_px=engine.crop_px,
                    crop_scale=engine.crop_scale,
                    segment_s=self._settings.segment_s,
                    frame_pixels=self._settings.frame_pixels,
                )
                profile = await self._profile(work, ask)
                for task in coming:
                    await task
                speeches = [await self._speech(work, voice, profile) for voice in range(len(work.speeches))]
                media = await looking
                cast = cast_of(work.job.options, media)
                watching.cancel()
        finally:
            for since, until in sorted(wait for _, source in sources for wait in source.waits):
                work.usage.add(Stage.WAIT, since, until)
        asks = tuple(ask(crop=profile.crop, cast=cast, voice=voice) for voice in range(len(speeches)))
        return Start(engine=engine, profile=profile, speeches=tuple(speeches), media=media, asks=asks)

    async def _media(self, work: Work) -> MediaInfo:
        """What the video is, as far as one can tell while it is still coming."""
        media = work.video.asset.media
        if media is None:
            media = await self._children.glance(work.video, "video")
            check_pictures(AssetKind(media.kind.value))
        if work.is_new and media.original_width:
            await self._journal.record(work.job.job_id, notices.photo_reduced(media))
        return media

    async def _speech(self, work: Work, voice: int, profile: LinkProfile) -> Speech:
        files = work.files.of_voice(voice)
        speech = await asyncio.to_thread(files.speech)
        if speech is None:
            with work.usage.at_work(Stage.PREPARE):
                speech = await self._children.speech(work.speeches[voice].path, profile.speech)
            await asyncio.to_thread(files.put_speech, speech)
        await self._on_speech(work.speeches[voice].asset.asset_id, [speech.digest])
        return speech

    async def _engine(self, work: Work) -> EngineCard:
        """The engine for this job: the one that it was begun with, or what the node says now."""
        held = await asyncio.to_thread(work.files.read_json, "engine.json")
        if held is not None:
            return EngineCard(**held)
        status = await self._again(work, self._node.status)
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

    async def _profile(self, work: Work, ask: Callable[..., FaceAsk]) -> LinkProfile:
        """The profile of this job: the one that it was begun with, or what is chosen now."""
        held = await asyncio.to_thread(work.files.read_json, _PROFILE)
        if held is not None and held["name"] in PROFILES:
            return PROFILES[held["name"]]
        profile = await self._again(work, lambda: choose(self._settings.profiles, self._faces, ask, self._node))
        await asyncio.to_thread(work.files.write_json, _PROFILE, {"name": profile.name})
        return profile

    async def _again(self, work: Work, call: Callable[[], Awaitable[T]]) -> T:
        """Ask a node until it answers, or patience is at its end."""
        patience = Patience(self._settings.render.patience_s, self._settings.render.outage_s)
        return await again(
            call,
            patience,
            lambda error: self._say_waiting(work.job.job_id, error),
            is_absent=lambda: not self._node.is_up,
        )

    async def _say_waiting(self, job_id: str, error: VisemeError) -> None:
        message = f"Waiting for the node at {self._node.address}: {error.message.rstrip('.')}."
        notice = Notice(severity=Severity.WARNING, reason=error.reason, message=message)
        await self._journal.record(job_id, notice)
