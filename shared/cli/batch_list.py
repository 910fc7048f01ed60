"""What a batch is made of: a CSV file of pairs, or a folder whose files belong together by their names."""

import csv
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path, PurePosixPath
from typing import Final

from shared.errors import InvalidInputError
from shared.sdk.library import is_edge_name

_VIDEOS: Final = frozenset(
    {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".jpg", ".jpeg", ".png", ".webp"}
)
_SPEECHES: Final = frozenset({".wav", ".mp3", ".m4a", ".aac", ".flac", ".ogg", ".opus", ".wma"})
_COLUMNS: Final = ("video", "speech", "output")
_OTHER_NAMES: Final = {"audio": "speech"}
_NAME_BYTES: Final = 200
"""Of 255 that a file system takes; while it is downloaded a file's name is longer."""
_UNSAFE: Final = re.compile(r"[\x00-\x1f/\\:\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One job of a batch."""

    video: Path | str
    """A file here, or the name of a library's file."""
    speech: Path | str
    output: str
    """The result's name in the folder of results."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """All of them, and the files that have no partner."""

    lines: tuple[Line, ...]
    alone: tuple[str, ...] = ()


def read_list(source: Path, *, speech: Path | str | None, video: Path | str | None) -> Listed:
    """What a batch is made of.

    Args:
        source: A CSV file or a folder.
        speech: One recording for all videos of a folder.
        video: One video for all recordings of a folder.

    Raises:
        InvalidInputError: It cannot be read, or nothing in it belongs together.
    """
    try:
        if source.is_dir():
            listed = _folder(source, speech=speech, video=video)
        elif speech is not None or video is not None:
            raise InvalidInputError("--speech and --video go with a folder; a CSV names both", field="list")
        else:
            listed = Listed(lines=tuple(_csv(source)))
    except OSError as error:
        raise InvalidInputError(f"{source}: {error.strerror}", field="list") from error
    if not listed.lines:
        raise InvalidInputError(f"nothing in {source} makes a pair of a video and a recording", field="list")
    return Listed(lines=_told_apart(listed.lines), alone=listed.alone)


def _folder(folder: Path, *, speech: Path | str | None, video: Path | str | None) -> Listed:
    files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    videos = [path for path in files if path.suffix.lower() in _VIDEOS]
    speeches = [path for path in files if path.suffix.lower() in _SPEECHES]
    if speech is not None and video is not None:
        raise InvalidInputError("give --speech or --video, not both: the folder has the others", field="list")
    if speech is not None:
        return Listed(lines=tuple(_line(path, speech, path.stem) for path in videos if path != speech))
    if video is not None:
        return Listed(lines=tuple(_line(video, path, path.stem) for path in speeches if path != video))
    faces, voices = _by_stem(videos), _by_stem(speeches)
    both = [stem for stem in faces if stem in voices]
    alone = [path.name for path in (*videos, *speeches) if not (path.stem in faces and path.stem in voices)]
    return Listed(lines=tuple(_line(faces[stem], voices[stem], stem) for stem in both), alone=tuple(alone))


def _by_stem(paths: Iterable[Path]) -> dict[str, Path]:
    named: dict[str, Path] = {}
    for path in paths:
        if path.stem in named:
            message = f"{named[path.stem].name} and {path.name} could both be meant by {path.stem!r}"
            raise InvalidInputError(message, field="list")
        named[path.stem] = path
    return named


def _csv(file: Path) -> Iterable[Line]:
    try:
        with file.open(newline="", encoding="utf-8-sig") as opened:
            rows = [(number, row) for number, row in enumerate(csv.reader(opened), 1) if any(map(str.strip, row))]
    except (UnicodeDecodeError, csv.Error) as error:
        raise InvalidInputError(f"{file} is no CSV file in UTF-8: {error}", field="list") from error
    columns: Sequence[str] = _COLUMNS
    if rows and (head := [_column(cell) for cell in rows[0][1]]) and "video" in head:
        unknown = [name for name in head if name not in _COLUMNS]
        if unknown or "speech" not in head:
            message = f"{file}: the columns are video, speech and output, not {', '.join(head)}"
            raise InvalidInputError(message, field="list")
        columns, rows = head, rows[1:]
    for number, row in rows:
        cells = dict(zip(columns, map(str.strip, row), strict=False))
        if len(row) > len(columns) or not cells.get("video") or not cells.get("speech"):
            message = f"{file}, line {number}: a line is video,speech or video,speech,output"
            raise InvalidInputError(message, field="list")
        pictures, sound = _place(file, cells["video"]), _place(file, cells["speech"])
        output = cells.get("output", "")
        if output and (output != PurePosixPath(output).name or output.startswith(".")):
            message = f"{file}, line {number}: {output!r} is no plain file name; results go to the folder that -o names"
            raise InvalidInputError(message, field="list")
        yield _line(pictures, sound, output or _stem(pictures))


def _column(cell: str) -> str:
    name = cell.strip().lower()
    return _OTHER_NAMES.get(name, name)


def _place(file: Path, text: str) -> Path | str:
    return text if is_edge_name(text) else file.parent / text


def _stem(given: Path | str) -> str:
    return PurePosixPath(str(given)).stem


def _line(video: Path | str, speech: Path | str, stem: str) -> Line:
    return Line(video=video, speech=speech, output=_name(stem))


def _name(stem: str, number: int = 1) -> str:
    clean = _UNSAFE.sub("_", stem.removesuffix(".mp4")).encode()[:_NAME_BYTES].decode("utf-8", "ignore")
    return (clean or "result") + (f"-{number}" if number > 1 else "") + ".mp4"


def _told_apart(lines: Sequence[Line]) -> tuple[Line, ...]:
    """Give results names of their own: those that would share one get the recording's beside the video's."""
    shared = Counter(line.output.lower() for line in lines)
    taken: set[str] = set()
    told: list[Line] = []
    for line in lines:
        stem = line.output.removesuffix(".mp4")
        if shared[line.output.lower()] > 1:
            stem = f"{stem}-{_stem(line.speech)}"
        output = next(name for number in count(1) if (name := _name(stem, number)).lower() not in taken)
        taken.add(output.lower())
        told.append(replace(line, output=output))
    return tuple(told)
