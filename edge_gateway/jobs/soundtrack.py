"""What is heard in a job's result: the speeches, or the speeches with something under them."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from edge_gateway.assets.growth import Source
from edge_gateway.jobs.children import Children
from edge_gateway.jobs.files import JobFiles
from edge_gateway.jobs.job import Job, Stage
from edge_gateway.jobs.usage import Usage


class Soundtrack:
    """Files whose sum is heard; the preview and the result take their sound from them.

    With something under the speech it is one file, made before anybody needs it.

    Args:
        job: The job.
        files: The job's files.
        video: The video; whole before anything is mixed whose end depends on it.
        speeches: Those of all who speak.
        background: What is mixed under them; None for the video's own sound, or nothing.
    """

    def __init__(
        self, job: Job, files: JobFiles, *, video: Source, speeches: Sequence[Source], background: Source | None
    ) -> None:
        self._job = job
        self._files = files
        self._video = video
        self._speeches = speeches
        self._background = background
        self._made: asyncio.Future[Sequence[Path]] = asyncio.get_running_loop().create_future()
        if not job.has_background:
            self._made.set_result([speech.path for speech in speeches])

    async def paths(self) -> Sequence[Path]:
        """The files, once they are there."""
        return await asyncio.shield(self._made)

    async def make(self, children: Children, speech_us: int, usage: Usage) -> None:
        """Make it, where the speeches alone will not do; the longest of them has this length.

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
                    speeches=[speech.path for speech in self._speeches],
                    length_us=speech_us,
                    background=(self._background or self._video).path,
                    video=self._video.path,
                    options=options,
                    output=part,
                )
            await asyncio.to_thread(part.replace, path)
        self._made.set_result([path])
