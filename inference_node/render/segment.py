"""One segment: frames gathered, lips painted, the patch encoded."""

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from inference_node.engine.port import Engine, FaceFrames, Patch, Pixels, RenderedFrames
from inference_node.metrics import NodeMetrics
from inference_node.render.clip import CropFrames, encode_patches, look_at_lips
from inference_node.render.gauge import UNSEEN, looked_at
from inference_node.render.library import Library
from inference_node.render.memo import Memo
from inference_node.render.messages import Fate, JobSpec, Lips, Offer, Order
from inference_node.render.turn import Angles, shown_share
from inference_node.speech.mouth import Shape

_LEAST_SCORE = 0.1
"""Below this the landmarks lie beside the face, and painting would only harm."""
_FRAME_BYTES = 512
"""What a frame's mask takes in memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentTask:
    """An order with everything that it refers to.

    ``places`` tells for each output frame its crop segment (by index) and the frame in it; None where there is no face.
    """

    spec: JobSpec
    engine: Engine
    order: Order
    places: tuple[tuple[int, int] | None, ...]
    crops: Mapping[int, Offer]
    references: tuple[Offer, ...]

    @property
    def digests(self) -> frozenset[bytes]:
        """What it needs of the cache."""
        offers = [*self.crops.values(), *self.references]
        return frozenset((self.spec.speech_digest, *(offer.digest for offer in offers)))

    @property
    def identity(self) -> bytes:
        """Equal for tasks of one job that give the same bytes."""
        crops, references = tuple(sorted(self.crops.items())), self.references
        told = repr((self.spec, self.engine.card.identity, self.order, self.places, crops, references))
        return hashlib.sha256(told.encode()).digest()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SegmentResult:
    """A rendered segment."""

    data: bytes
    digest: bytes
    patch: tuple[int, int, int, int]
    masks: tuple[tuple[float, ...], ...]
    lips: Lips
    work_s: float

    @property
    def size_bytes(self) -> int:
        """Its size."""
        return len(self.data)


class SegmentRenderer:
    """Renders segments; the same task gives the same bytes.

    What is rendered is kept for a while: a stream that is cut takes it with it, and the next one orders it again.

    Args:
        library: Where frames, tracks and memories come from.
        metrics: Told how long steps take.
        batch_frames: Frames that are given to the engine at once.
        kept_bytes: How much of it is kept.
    """

    def __init__(self, library: Library, metrics: NodeMetrics, *, batch_frames: int, kept_bytes: int) -> None:
        self._library = library
        self._metrics = metrics
        self._batch = batch_frames
        self._kept: Memo[bytes, SegmentResult] = Memo(limit=kept_bytes, size_of=_weight)

    def forget(self) -> None:
        """Drop what is kept; of whom it shows is not looked at, as it is made again within seconds."""
        self._kept.forget(lambda _: True)

    async def render(self, task: SegmentTask, progress: Callable[[int], None]) -> SegmentResult:
        """Render one segment, telling after each batch how many frames are done.

        Raises:
            BlobLostError: something that it needs is no longer in the cache.
            EngineUnavailableError: the network does not answer.
            DeadlineError: the network took longer than it may.
        """
        identity = task.identity
        if (kept := self._kept.look(identity)) is not None:
            return kept
        result = await self._make(task, progress)
        self._kept.put(identity, result)
        return result

    async def _make(self, task: SegmentTask, progress: Callable[[int], None]) -> SegmentResult:
        begun = time.perf_counter()
        engine, order = task.engine, task.order
        patch = engine.card.patch
        canvas = _Canvas(len(order.source_frames), patch)
        if any(place is not None for place in task.places):
            await self._paint(task, canvas, progress)
            with self._metrics.step("encode", engine=engine.card.name):
                data = await self._library.in_thread(
                    encode_patches, canvas.patches, canvas.masks, order.times_us, patch=patch, spec=task.spec
                )
        else:
            data = b""
        self._metrics.rendered(engine=engine.card.name, frames=len(order.source_frames))
        return SegmentResult(
            data=data,
            digest=hashlib.sha256(data).digest(),
            patch=(patch.x, patch.y, patch.width, patch.height),
            masks=tuple(tuple(float(value) for value in row) for row in canvas.masks),
            lips=canvas.lips,
            work_s=time.perf_counter() - begun,
        )

    async def _paint(self, task: SegmentTask, canvas: "_Canvas", progress: Callable[[int], None]) -> None:
        spec, engine = task.spec, task.engine
        track = await self._library.track(spec, engine)
        memory = await self._library.memory(spec, engine, task.references)
        crops = {index: await self._library.frames(spec, engine, offer) for index, offer in task.crops.items()}
        times_s = np.array(task.order.times_us, dtype=np.float64) / 1e6
        canvas.asked[:] = (await self._library.asked(spec, engine)).at(times_s)[:, Shape.APERTURE]
        looks = looked_at(task.order.times_us)
        wanted = [
            (row, crops[place[0]], place[1])
            for row, place in enumerate(task.places)
            if place is not None and canvas.takes(row, crops[place[0]], place[1])
        ]
        for start in range(0, len(wanted), self._batch):
            part = wanted[start : start + self._batch]
            rows = [row for row, _, _ in part]
            with self._metrics.step("render", engine=engine.card.name):
                frames = await self._library.in_thread(_gather, part)
                painted = await engine.render(frames, track.at(times_s[rows]), memory)
            yaws = np.array([crop.yaws[index] for _, crop, index in part], dtype=np.float32)
            painted = await self._library.in_thread(_faded, frames, painted, yaws, canvas.patch)
            with self._metrics.step("look", engine=engine.card.name):
                seen = await self._library.in_thread(look_at_lips, frames, painted, canvas.patch, looks[rows])
            canvas.put(rows, painted, seen)
            progress(rows[-1] + 1)


class _Canvas:
    """A segment while it is painted.

    Args:
        count: Its frames.
        patch: The part of the crops that is painted.
    """

    def __init__(self, count: int, patch: Patch) -> None:
        self.patch = patch
        self.patches: Pixels = np.zeros((count, patch.height, patch.width, 3), dtype=np.uint8)
        self.masks = np.zeros((count, 6), dtype=np.float32)
        self.asked = np.full(count, UNSEEN, dtype=np.float32)
        self._seen = np.full(count, UNSEEN, dtype=np.float32)
        self._fates = [Fate.NO_FACE] * count

    def takes(self, row: int, crop: CropFrames, index: int) -> bool:
        """Whether a frame can be painted; notes why not."""
        if crop.scores[index] < _LEAST_SCORE or crop.covered[index]:
            self._fates[row] = Fate.HIDDEN
        elif not shown_share(crop.yaws[index]):
            self._fates[row] = Fate.TURNED_AWAY
        else:
            return True
        return False

    def put(self, rows: Sequence[int], painted: RenderedFrames, seen: npt.NDArray[np.float32]) -> None:
        """Keep what was painted of some frames."""
        self.patches[rows], self.masks[rows], self._seen[rows] = painted.patches, painted.masks, seen
        for row, mask in zip(rows, painted.masks, strict=True):
            self._fates[row] = Fate.PAINTED if mask[2] > 0 else Fate.HIDDEN

    @property
    def lips(self) -> Lips:
        """What is told of the lips."""
        seen, asked = (tuple(round(float(value), 5) for value in values) for values in (self._seen, self.asked))
        return Lips(seen=seen, asked=asked, fates=tuple(self._fates))


def _faded(frames: FaceFrames, painted: RenderedFrames, yaws: Angles, patch: Patch) -> RenderedFrames:
    """What was painted, less of it the further the head is turned."""
    shares = shown_share(yaws)
    fading = np.flatnonzero(shares < 1.0)
    if not len(fading):
        return painted
    patches = painted.patches.copy()
    under = frames.crops[fading, patch.y : patch.y + patch.height, patch.x : patch.x + patch.width].astype(np.float32)
    mixed = under + (patches[fading] - under) * shares[fading, None, None, None]
    patches[fading] = np.rint(mixed).astype(np.uint8)
    return RenderedFrames(patches=patches, masks=painted.masks)


def _weight(result: SegmentResult) -> int:
    return result.size_bytes + _FRAME_BYTES * len(result.masks)


def _gather(part: Sequence[tuple[int, CropFrames, int]]) -> FaceFrames:
    return FaceFrames(
        crops=np.stack([crop.crops[index] for _, crop, index in part]),
        landmarks=np.stack([crop.landmarks[index] for _, crop, index in part]),
    )
