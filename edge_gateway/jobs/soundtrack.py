"""What is heard in a job's result: the speech, or the speech with something under it."""

import asyncio
from pathlib import Path

from edge_gateway.assets.growth import Source
from edge_gateway.jobs.children import Children
from edge_gateway.jobs.files import JobFiles, Speech
from edge_gateway.jobs.job import Job, Stage
from edge_gateway.jobs.usage import Usage


class Soundtrack:
    """One file, made before anybody needs it; the preview and the result take their sound from it.

    Args:
        job: The job.
        files: The job's files.
        video: The video; whole before anything is mixed whose end depends on it.
        speech: The speech.
        background: What is mixed under it; None for the video's own sound, or nothing.
    """

    def __init__(self, job: Job, files: JobFiles, *, video: Source, speech: Source, background: Source | None) -> None:
        self._job = job
        self._files = files
        self._video = video
        self._speech = speech
        self._background = background
        self._made: asyncio.Future[Path] = asyncio.get_running_loop().create_future()
        if not job.has_background:
            self._made.set_result(speech.path)

    async def path(self) -> Path:
        """The file, once it is there."""
        return await asyncio.shield(self._made)

    async def make(self, children: Children, speech: Speech, usage: Usage) -> None:
        """Make it, where the speech alone will not do.

        Raises:
            InvalidInputError: the background has no sound, or cannot be decoded.
        """
        if self._made.done():
            return
        options, path = self._job.options, self._files.mixed()
        if options.keep_sound or options.keep_length:
            await self._video.ready()
        if not await asyncio.to_thread(path.is_file):
            part = path.with_name(path.name + ".part")
            with usage.at_work(Stage.PREPARE):
                await children.mix(
                    speech=self._speech.path,
                    length_us=speech.duration_us,
                    background=(self._background or self._video).path,
                    video=self._video.path,
                    options=options,
                    output=part,
                )
            await asyncio.to_thread(part.replace, path)
        self._made.set_result(path)
