"""Crop segments with landmarks, the speech's mouth track, the memory of a face: made once, kept for a while."""

import asyncio
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Executor
from typing import ParamSpec, TypeVar

import numpy as np
import numpy.typing as npt

from inference_node.engine.port import Engine, FaceFrames, Memory, Track
from inference_node.metrics import NodeMetrics
from inference_node.render.cache import BlobCache
from inference_node.render.clip import CropFrames, find_faces, read_pictures
from inference_node.render.memo import Memo
from inference_node.render.messages import JobSpec, Offer
from inference_node.speech.listener import Listener
from inference_node.speech.mouth import MouthTrack
from shared.errors import InvalidMediaError
from shared.face.mesh import GOOD_SCORE
from shared.media.audio import decode_speech

P = ParamSpec("P")
R = TypeVar("R")

_TRACKS_BYTES = 64 << 20
_MEMORIES = 32


class Library:
    """What rendering needs, from the cache of blobs.

    Args:
        blobs: Crop segments and speech as they came.
        executor: Threads for decoding and landmarks.
        listener: Hears what a speech asks for, whatever the engine.
        frames_bytes: What decoded frames may take.
        metrics: Told how long steps take.
    """

    def __init__(
        self, blobs: BlobCache, executor: Executor, *, listener: Listener, frames_bytes: int, metrics: NodeMetrics
    ) -> None:
        self._blobs = blobs
        self._listener = listener
        self._executor = executor
        self._metrics = metrics
        self._frames: Memo[tuple[object, ...], CropFrames] = Memo(
            limit=frames_bytes, size_of=lambda frames: frames.nbytes
        )
        self._tracks: Memo[tuple[str, bytes], Track] = Memo(limit=_TRACKS_BYTES, size_of=lambda track: track.nbytes)
        self._asked: Memo[bytes, MouthTrack] = Memo(limit=_TRACKS_BYTES, size_of=lambda track: track.nbytes)
        self._memories: Memo[tuple[object, ...], Memory] = Memo(limit=_MEMORIES, size_of=lambda _: 1)

    async def in_thread(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run CPU work in one of our threads."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, lambda: work(*args, **kwargs))

    async def frames(self, spec: JobSpec, engine: Engine, offer: Offer) -> CropFrames:
        """The frames of a crop segment with their landmarks.

        Raises:
            BlobLostError: it is no longer in the cache.
            InvalidMediaError: it is not what was announced.
        """

        async def make() -> CropFrames:
            data = await self._blobs.get(offer.digest)
            with self._metrics.step("decode", engine=engine.card.name):
                pictures = await self.in_thread(read_pictures, data, offer, spec)
            with self._metrics.step("landmarks", engine=engine.card.name):
                return await self.in_thread(find_faces, pictures, offer)

        return await self._frames.get(_key(spec, offer), make)

    async def track(self, spec: JobSpec, engine: Engine) -> Track:
        """What the engine heard in the speech."""

        async def make() -> Track:
            with self._metrics.step("hear", engine=engine.card.name):
                return await engine.hear(await self._samples(spec))

        return await self._tracks.get((engine.card.identity, spec.speech_digest), make)

    async def asked(self, spec: JobSpec, engine: Engine) -> MouthTrack:
        """What the speech asks of the mouth by viseme's own network: what an engine's work is compared with."""

        async def make() -> MouthTrack:
            with self._metrics.step("ask", engine=engine.card.name):
                return await self._listener.hear(await self._samples(spec))

        return await self._asked.get(spec.speech_digest, make)

    def forget(self, digests: Collection[bytes]) -> None:
        """Drop what was made of these crop segments and this speech."""
        self._frames.forget(lambda key: key[0] in digests)
        self._tracks.forget(lambda key: key[1] in digests)
        self._asked.forget(lambda key: key in digests)
        self._memories.forget(lambda key: any(isinstance(one, tuple) and one[0] in digests for one in key))

    async def _samples(self, spec: JobSpec) -> npt.NDArray[np.float32]:
        samples = await self.in_thread(decode_speech, await self._blobs.get(spec.speech_digest))
        if not len(samples):
            raise InvalidMediaError("The speech holds no sound.", field="speech")
        return samples

    async def memory(self, spec: JobSpec, engine: Engine, references: Sequence[Offer]) -> Memory:
        """What the engine remembers of the face in the reference crops."""

        async def make() -> Memory:
            parts = [await self.frames(spec, engine, offer) for offer in references]
            with self._metrics.step("remember", engine=engine.card.name):
                return await engine.remember(await self.in_thread(_good_frames, parts))

        key = (engine.card.identity, *(_key(spec, offer) for offer in references))
        return await self._memories.get(key, make)


def _good_frames(parts: Sequence[CropFrames]) -> FaceFrames:
    """The frames in which the landmarks lie on a face; all of them where there is none."""
    scores = np.concatenate([part.scores for part in parts])
    least = GOOD_SCORE if (scores >= GOOD_SCORE).any() else 0.0
    good = [part.scores >= least for part in parts]
    return FaceFrames(
        crops=np.concatenate([part.crops[kept] for part, kept in zip(parts, good, strict=True)]),
        landmarks=np.concatenate([part.landmarks[kept] for part, kept in zip(parts, good, strict=True)]),
    )


def _key(spec: JobSpec, offer: Offer) -> tuple[object, ...]:
    size = (offer.lead_frames, offer.frame_count, offer.trail_frames)
    return (offer.digest, *size, spec.crop_px, spec.matrix, spec.full_range)
