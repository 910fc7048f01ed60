"""The files of one job: whatever is here need not be done again after a restart."""

import hashlib
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from edge_gateway.disk import make_directory, write_atomic
from edge_gateway.fragment import Fragment
from edge_gateway.jobs.node import Fate, Lips, RenderedCard
from edge_gateway.label.policy import Label

_SPEECH: Final = "speech.sound"
_LABEL: Final = "label.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Speech:
    """The speech as the node gets it."""

    data: bytes
    """Ogg Opus or FLAC."""
    duration_us: int

    @property
    def digest(self) -> bytes:
        """SHA-256 of the encoded bytes."""
        return hashlib.sha256(self.data).digest()


class JobFiles:
    """One directory. Everything in it is written whole or not at all; all calls block, so threads make them."""

    def __init__(self, root: Path, voice: int = 0, writing: "threading.Lock | None" = None) -> None:
        self._root = root
        self._voice = voice
        self._writing = writing or threading.Lock()

    def of_voice(self, voice: int) -> "JobFiles":
        """The same directory for a further face that speaks: its speech and segments have names of their own."""
        return JobFiles(self._root, voice, self._writing)

    @property
    def folder(self) -> Path:
        """Where they lie."""
        return self._root

    @property
    def exists(self) -> bool:
        """Whether the job was begun before."""
        return self._root.is_dir()

    def make(self) -> None:
        """Make the directory."""
        make_directory(self._root)

    def read_json(self, name: str) -> dict[str, Any] | None:
        """A small JSON file; None when it is not there."""
        try:
            told: dict[str, Any] = json.loads((self._root / name).read_bytes())
        except FileNotFoundError:
            return None
        return told

    def write_json(self, name: str, value: Mapping[str, Any]) -> None:
        """Write a small JSON file."""
        with self._writing:
            write_atomic(self._root / name, json.dumps(value).encode())

    def take_json(self, name: str) -> dict[str, Any] | None:
        """The same, and the file goes."""
        told = self.read_json(name)
        (self._root / name).unlink(missing_ok=True)
        return told

    def label(self, demanded: Label | None) -> Label | None:
        """The label of the job: that which was demanded when it began, so that all its segments agree."""
        told = self.read_json(_LABEL)
        if told is None:
            told = {} if demanded is None else demanded.to_json()
            self.write_json(_LABEL, told)
        return Label.of(told)

    def speech(self) -> Speech | None:
        """The encoded speech, if it is there."""
        told = self.read_json(self._own("speech.json"))
        if told is None:
            return None
        return Speech(data=(self._root / self._own(_SPEECH)).read_bytes(), duration_us=told["duration_us"])

    def put_speech(self, speech: Speech) -> None:
        """Keep the encoded speech."""
        write_atomic(self._root / self._own(_SPEECH), speech.data)
        self.write_json(self._own("speech.json"), {"duration_us": speech.duration_us})

    def mixed(self) -> Path:
        """Where the speech with its background lies, or will."""
        return self._root / "mixed.flac"

    def rendered_card(self, segment: int) -> RenderedCard | None:
        """What belongs to a rendered segment, if that is on disk."""
        told = self.read_json(self._card(segment))
        path = self._rendered(segment)
        if told is None or not path.is_file() or path.stat().st_size != told["size_bytes"]:
            return None
        return RenderedCard(
            digest=bytes.fromhex(told["digest"]),
            size_bytes=told["size_bytes"],
            patch=tuple(told["patch"]),
            masks=tuple(map(tuple, told["masks"])),
            queue_s=told["queue_s"],
            infer_s=told["infer_s"],
        )

    def rendered(self, segment: int) -> tuple[RenderedCard, bytes] | None:
        """A rendered segment, if it is on disk and whole."""
        card = self.rendered_card(segment)
        if card is None:
            return None
        data = self._rendered(segment).read_bytes()
        return (card, data) if hashlib.sha256(data).digest() == card.digest else None

    def put_rendered(self, segment: int, card: RenderedCard, data: bytes) -> None:
        """Keep a rendered segment; its card comes last and makes it count, and what is told of the lips stays."""
        write_atomic(self._rendered(segment), data)
        lips = card.lips
        told_lips = {"seen": lips.seen, "asked": lips.asked, "fates": [fate.value for fate in lips.fates]}
        self.write_json(self._own(f"lips-{segment:05d}.json"), told_lips)
        told = {
            "digest": card.digest.hex(),
            "size_bytes": card.size_bytes,
            "patch": card.patch,
            "masks": card.masks,
            "queue_s": card.queue_s,
            "infer_s": card.infer_s,
        }
        self.write_json(self._card(segment), told)

    def lips(self, segment: int) -> Lips:
        """What was told of the lips of a segment; nothing where it was rendered before that was kept."""
        told = self.read_json(self._own(f"lips-{segment:05d}.json"))
        if told is None:
            return Lips()
        fates = tuple(map(Fate, told["fates"]))
        return Lips(seen=tuple(told["seen"]), asked=tuple(told["asked"]), fates=fates)

    def composited(self, segment: int) -> Path:
        """Where a composited segment lies, or will."""
        return self._root / f"composited-{segment:05d}.mp4"

    def put_composited(self, segment: int, data: bytes) -> None:
        """Keep a composited segment."""
        write_atomic(self.composited(segment), data)

    def drop_rendered(self, segment: int) -> None:
        """A rendered segment is not needed any longer, as it is composited."""
        (self._root / self._card(segment)).unlink(missing_ok=True)
        self._rendered(segment).unlink(missing_ok=True)

    def fragment(self, segment: int) -> Fragment | None:
        """The fragment of the preview that shows a composited segment, if it was made."""
        try:
            return Fragment.of((self._root / f"fragment-{segment:05d}").read_bytes())
        except FileNotFoundError:
            return None

    def put_fragment(self, segment: int, record: bytes) -> None:
        """Keep a fragment's record; its extents lie in the composited segment."""
        write_atomic(self._root / f"fragment-{segment:05d}", record)

    def result(self) -> Path:
        """Where the result is made before it becomes an asset."""
        return self._root / "result.mp4"

    def unsigned(self) -> Path:
        """Where the result is made before it is signed."""
        return self._root / "unsigned.mp4"

    def found(self) -> tuple[int, int]:
        """How many rendered and composited segments are on disk."""
        rendered = sum(1 for _ in self._root.glob("*rendered-*.json"))
        return rendered, sum(1 for _ in self._root.glob("composited-*.mp4"))

    def _rendered(self, segment: int) -> Path:
        return self._root / self._own(f"rendered-{segment:05d}.mp4")

    def _card(self, segment: int) -> str:
        return self._own(f"rendered-{segment:05d}.json")

    def _own(self, name: str) -> str:
        return f"voice-{self._voice}-{name}" if self._voice else name
