"""Faces on disk: the track of a video's face and its crop segments, made once, used by every job on the same video.

While several jobs want the same face, one child makes it for all of them. What is on disk is never made again; a face
that is there in part is continued.
"""

import asyncio
import hashlib
import json
import re
import time
from array import array
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from edge_gateway.assets.growth import Source
from edge_gateway.disk import append_line, make_directory, remove_tree, write_atomic
from edge_gateway.jobs.cast import Cast
from shared.errors import InternalError, InvalidMediaError
from shared.media.encode import Coding
from shared.media.sandbox import Message
from shared.telemetry.logging import get_logger

_LOG = get_logger(__name__)

REFERENCE_CROPS: Final = 3
"""Crop segments from which the engine learns the open mouth."""

_REFERENCE_REACH: Final = 8
"""Crop segments among which they are looked for, from the first that shows the person."""

_TRACK: Final = "track.jsonl"
_NAME: Final = re.compile(r"[0-9a-f]{64}(-[0-9a-f]{16})?")
_VERSION: Final = 2
"""Of what the tracker does; faces of another version are made anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceAsk:
    """Which face: everything that its track and crops depend on."""

    video: str
    """The video's asset id."""
    crop_px: int
    crop_scale: float
    segment_s: float
    crop: Coding
    """What crops are encoded with."""
    frame_pixels: int
    """Where photos are reduced, boxes depend on it."""
    cast: Cast = field(default_factory=Cast)
    """Who was chosen."""
    voice: int = 0
    """Which of them it is."""

    @property
    def key(self) -> str:
        """The directory's name."""
        told = f"{_VERSION} {self.crop_px} {self.crop_scale:.6f} {self.segment_s:.6f} {self.crop}"
        told += f" {self.frame_pixels}"
        if self.cast.speakers:
            told += f" {self.voice} {json.dumps([speaker.to_json() for speaker in self.cast.speakers])}"
        return f"{self.video}-{hashlib.sha256(told.encode()).hexdigest()[:16]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Crop:
    """One crop segment on disk."""

    index: int
    first_frame: int
    frame_count: int
    lead: int
    trail: int
    digest: bytes
    size_bytes: int
    who: int = 0
    """Whose face is in most of its frames; -1 where there is none."""


class Cutter(Protocol):
    """Starts the child that decodes, tracks and cuts."""

    def __call__(self, source: Source, ask: FaceAsk, skip_segments: int) -> AbstractAsyncContextManager["Cuts"]:
        """Start it on a file, which may still be coming; it leaves out the payload of the first segments."""
        ...


class Cuts(Protocol):
    """A child at work."""

    async def receive(self) -> Message | None:
        """The next message; None at the end."""
        ...


class Face:
    """The face of one video, growing while it is made."""

    def __init__(self, root: Path) -> None:
        self.source: dict[str, Any] = {}
        """What is known of the video: width, height, matrix, full_range, rate, ..."""
        self.crops: list[Crop] = []
        self.times_us = array("q")
        self.boxes = array("d")
        """Centre x, centre y and side of each frame's crop, in displayed pixels."""
        self.has_face = bytearray()
        self.end_us: int | None = None
        """Where the last source frame ends; known once all is there."""
        self.frames_seen = 0
        self.made_from = 0
        """Crop segments that were on disk at the start."""
        self.finished_at: float | None = None
        """When the making ended, by the monotonic clock; None while it runs or where nothing had to be made."""
        self._root = root
        self._changed = asyncio.Event()

    @property
    def is_complete(self) -> bool:
        """Whether everything is known."""
        return self.end_us is not None

    def box(self, frame: int) -> tuple[float, float, float]:
        """The crop of a source frame."""
        at = 3 * frame
        return self.boxes[at], self.boxes[at + 1], self.boxes[at + 2]

    def crop_of(self, frame: int) -> Crop:
        """The crop segment that stands for a source frame."""
        low, high = 0, len(self.crops)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.crops[middle].first_frame <= frame else (low, middle)
        return self.crops[low]

    def path(self, index: int) -> Path:
        """Where a crop segment lies."""
        return self._root / f"crop-{index:05d}.mp4"

    def read_crop(self, index: int) -> bytes:
        """The bytes of a crop segment; blocks.

        Raises:
            InternalError: the file is not what was written.
        """
        data = self.path(index).read_bytes()
        if hashlib.sha256(data).digest() != self.crops[index].digest:
            # The next job that opens this face makes it again from here.
            self.path(index).unlink()
            raise InternalError(f"crop segment {index} on the edge's disk was damaged; submit the job again")
        return data

    def load(self) -> None:
        """Read what is on disk; blocks."""
        path = self._root / _TRACK
        try:
            lines = path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return
        for line in lines[:-1]:
            try:
                told = json.loads(line)
            except ValueError:  # a power cut may leave a line of any bytes
                break
            if told["kind"] == "crop" and not self._is_there(told):
                break
            self.take(told)
        # What follows the last line that counts was being written when the power went.
        whole = b"".join(line + b"\n" for line in lines[: self._lines])
        if whole != path.read_bytes():
            write_atomic(path, whole)
        self.made_from = len(self.crops)

    def keep(self, message: Message) -> None:
        """Write down a message of the child, its payload first; blocks."""
        if message.header["kind"] == "crop":
            index = message.header["index"]
            if hashlib.sha256(message.payload).hexdigest() != message.header["digest"]:
                raise InternalError("a crop segment was damaged between two processes")
            write_atomic(self.path(index), message.payload)
        header = message.header | {"size_bytes": len(message.payload)}
        append_line(self._root / _TRACK, json.dumps(header, separators=(",", ":")))

    def take(self, told: dict[str, Any]) -> None:
        """Learn what a line says."""
        match told["kind"]:
            case "source":
                self.source = told
            case "crop":
                self._take_crop(told)
            case "end":
                self.end_us = int(told["end_us"])
                self.frames_seen = int(told["frames"])
            case _:
                raise InternalError(f"a track has no {told['kind']!r}")
        self.tell()

    def tell(self) -> None:
        """Wake those who wait for more."""
        self._changed.set()
        self._changed = asyncio.Event()

    def change(self) -> asyncio.Event:
        """Is set at the next change."""
        return self._changed

    @property
    def _lines(self) -> int:
        return bool(self.source) + len(self.crops) + self.is_complete

    def _is_there(self, told: dict[str, Any]) -> bool:
        path = self.path(told["index"])
        return path.is_file() and path.stat().st_size == told["size_bytes"]

    def _take_crop(self, told: dict[str, Any]) -> None:
        if told["index"] != len(self.crops) or told["first_frame"] != len(self.times_us):
            raise InternalError(f"crop segment {told['index']} does not follow the one before")
        self.crops.append(
            Crop(
                index=told["index"],
                first_frame=told["first_frame"],
                frame_count=told["frame_count"],
                lead=told["lead"],
                trail=told["trail"],
                digest=bytes.fromhex(told["digest"]),
                size_bytes=told["size_bytes"],
                who=told["who"],
            )
        )
        self.times_us.extend(told["times_us"])
        for box in told["boxes"]:
            self.boxes.extend(box)
        self.has_face.extend(map(bool, told["has_face"]))
        self.frames_seen = max(self.frames_seen, len(self.times_us))


@dataclass(slots=True)
class _Making:
    face: Face
    source: Source
    task: asyncio.Task[None]
    users: int = 0


def reference_crops(face: Face, who: int) -> tuple[int, ...] | None:
    """The crop segments that teach the engine somebody's open mouth; None until they are there.

    They are the first that show this person, from among a few that follow the very first: what is looked for further on
    could be an hour away.
    """
    own = [crop.index for crop in face.crops if crop.who == who]
    within = [index for index in own if index < own[0] + _REFERENCE_REACH][:REFERENCE_CROPS]
    is_known = len(within) == REFERENCE_CROPS or face.is_complete
    if is_known or (own and len(face.crops) >= own[0] + _REFERENCE_REACH):
        return tuple(within)
    return None


class FaceView:
    """One job's view of a face."""

    def __init__(self, face: Face, source: Source, task: asyncio.Task[None]) -> None:
        self.face = face
        self.source = source
        """What the face is made from."""
        self._task = task

    async def until(self, ready: Callable[[Face], bool]) -> None:
        """Wait until something holds of the face.

        Raises:
            VisemeError: the face cannot be made.
        """
        while not ready(self.face):
            if self._task.done():
                self._task.result()
                if not ready(self.face):
                    raise InternalError("a face ended before it was complete")
                return
            change = asyncio.ensure_future(self.face.change().wait())
            try:
                await asyncio.wait({change, self._task}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                change.cancel()


class Faces:
    """All faces of this edge.

    Args:
        root: Their directory.
        cut: Starts the child that makes them.
        on_open: Told the key of a face that comes into use.
        on_close: Told the key of a face that nobody uses any more.
    """

    def __init__(
        self,
        root: Path,
        cut: Cutter,
        *,
        on_open: Callable[[str], None] = lambda _: None,
        on_close: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._root = root
        self._cut = cut
        self._on_open = on_open
        self._on_close = on_close
        self._making: dict[str, _Making] = {}

    @asynccontextmanager
    async def open(self, ask: FaceAsk, source: Source) -> AsyncIterator[FaceView]:
        """Use a face; it is made, or continued, while somebody uses it."""
        making = self._making.get(ask.key)
        if making is None:
            self._on_open(ask.key)
            face = Face(self._root / ask.key)
            making = _Making(face, source, asyncio.create_task(self._make(face, ask, source)))
            self._making[ask.key] = making
        making.users += 1
        try:
            yield FaceView(making.face, making.source, making.task)
        finally:
            making.users -= 1
            if not making.users:
                del self._making[ask.key]
                await self._close(ask.key, making.task)

    def crops_on_disk(self, ask: FaceAsk) -> int:
        """How many crop segments of a face were cut before; blocks."""
        return sum(1 for _ in (self._root / ask.key).glob("crop-*.mp4"))

    async def _close(self, key: str, task: asyncio.Task[None]) -> None:
        task.cancel()
        try:
            await asyncio.wait({task})
            if not task.cancelled():
                task.exception()
        finally:
            if key not in self._making:
                self._on_close(key)

    async def _make(self, face: Face, ask: FaceAsk, source: Source) -> None:
        await asyncio.to_thread(make_directory, self._root / ask.key)
        await asyncio.to_thread(face.load)
        face.tell()
        if face.is_complete:
            return
        held = len(face.crops)
        async with self._cut(source, ask, held) as cuts:
            while (message := await cuts.receive()) is not None:
                await self._take(face, message, held)
        if face.end_us is None:
            raise InvalidMediaError("the video ended before its end was told", field="video")
        _LOG.info("face complete", frames=face.frames_seen, crops=len(face.crops), reused=held)

    @staticmethod
    async def _take(face: Face, message: Message, held: int) -> None:
        told = message.header
        if told["kind"] == "progress":
            face.frames_seen = max(face.frames_seen, int(told["frames"]))
            face.tell()
            return
        if (told["kind"] == "source" and face.source) or (told["kind"] == "crop" and told["index"] < held):
            return
        await asyncio.to_thread(face.keep, message)
        if told["kind"] == "end":
            face.finished_at = time.monotonic()
        face.take(told | {"size_bytes": len(message.payload)})


def crop_digests(root: Path, name: str) -> list[bytes]:
    """The SHA-256 of all crop segments of a video, or of a face by its key, below the directory of faces; blocks."""
    if not _NAME.fullmatch(name):
        return []
    found = []
    for folder in root.glob(f"{name}*"):
        face = Face(folder)
        face.load()
        found += [crop.digest for crop in face.crops]
    return found


def forget_faces(root: Path, video: str) -> None:
    """Delete every face of a video below the directory of faces; blocks."""
    if _NAME.fullmatch(video):
        for folder in root.glob(f"{video}-*"):
            remove_tree(folder)
