"""Who speaks, as users say it: by a name, by a point, or by boxes in a file."""

import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from google.protobuf.duration_pb2 import Duration

from shared.errors import InvalidInputError, LimitExceededError
from shared.pb.viseme.gateway.v1 import job_pb2
from shared.sdk.bring import Input
from shared.sdk.model import FacePlace, Speaker

POSITIONS: Final = ("left", "right", "center", "largest")
"""Names that need no place."""
MOST_VOICES: Final = 4
MOST_PLACES: Final = 1000
FILE_BYTES: Final = 256 << 10
"""Largest JSON file; the limit ``speaker_file_bytes``."""

_POINT: Final = re.compile(r"\s*([^,@]+),([^,@]+)(?:@([^,@]+))?\s*")
_NUMBERS: Final = {"point": 2, "box": 4}
_WAYS: Final = "X,Y@T, a JSON file of boxes, or one of " + ", ".join(POSITIONS)

Who = str | os.PathLike[str] | Sequence[float] | Speaker
"""Which face: ``left``, ``right``, ``center``, ``largest``; ``"X,Y@T"`` or ``(x, y)`` or ``(x, y, seconds)``; a JSON
file (a path, or a name that ends in ``.json``); or a :class:`Speaker`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A face and its speech."""

    name: str
    speech: Input
    speaker: Speaker | None


def parts_of(speech: Input | Mapping[str, Input], speaker: Who | Mapping[str, Who] | None) -> list[Part]:
    """Put speeches and faces together.

    Args:
        speech: One speech, or several by the names of their faces.
        speaker: The face of the one speech, or faces by name.

    Raises:
        InvalidInputError: a name is no position and no face has it, or a face has no speech.
        LimitExceededError: too many faces are to speak.
    """
    if not isinstance(speech, Mapping):
        if isinstance(speaker, Mapping):
            raise InvalidInputError("faces have names where several speeches do; one speech has one", field="speaker")
        return [Part(name="", speech=speech, speaker=None if speaker is None else read_speaker(speaker))]
    if speaker is not None and not isinstance(speaker, Mapping):
        raise InvalidInputError("several speeches need faces with their names (NAME=...)", field="speaker")
    if not 0 < len(speech) <= MOST_VOICES:
        message = f"{len(speech)} faces are to speak; at least 1 and at most {MOST_VOICES} may"
        raise LimitExceededError(message, field="speech", limit="voices")
    named = {name: read_speaker(who) for name, who in (speaker or {}).items()}
    for name in named:
        if name not in speech:
            raise InvalidInputError(f"the face {name!r} has no speech", field="speaker")
    for name in speech:
        if name not in named and name not in POSITIONS:
            message = f"{name!r} names no face: it is none of {', '.join(POSITIONS)}, and no speaker has this name"
            raise InvalidInputError(message, field="speech")
    return [
        Part(name=name, speech=one, speaker=named.get(name) or Speaker(position=name)) for name, one in speech.items()
    ]


def read_speaker(who: Who) -> Speaker:
    """Understand which face is meant.

    Raises:
        InvalidInputError: it is none of the ways to say it, or the file is not such JSON.
        LimitExceededError: the file is too large or has too many boxes.
    """
    if isinstance(who, Speaker):
        return who
    if isinstance(who, str):
        if who in POSITIONS:
            return Speaker(position=who)
        if (match := _POINT.fullmatch(who)) is not None:
            x, y, at = match.groups()
            place = FacePlace(x=_number(x, who), y=_number(y, who), seconds=_time(at or "0", who))
            return Speaker(places=(place,))
        if not who.endswith(".json"):
            raise InvalidInputError(f"{who!r} says no face; give {_WAYS}", field="speaker")
    if isinstance(who, str | os.PathLike):
        return read_file(Path(who))
    numbers = [*who, 0.0][:3]
    if len(who) not in {2, 3} or not all(_is_number(number) for number in numbers):
        raise InvalidInputError(f"{who!r} says no face; give {_WAYS}", field="speaker")
    return Speaker(places=(FacePlace(x=numbers[0], y=numbers[1], seconds=numbers[2]),))


def read_file(path: Path) -> Speaker:
    """Read a JSON file: ``[{"t": 1.2, "box": [x, y, width, height]}, {"t": 4, "point": [x, y]}, ...]``.

    Raises:
        InvalidInputError: it cannot be read or is not such JSON; says where.
        LimitExceededError: it is too large or has too many entries.
    """
    try:
        with path.open("rb") as file:
            data = file.read(FILE_BYTES + 1)
    except OSError as error:
        raise InvalidInputError(f"{path} cannot be read: {error.strerror}", field="speaker") from error
    if len(data) > FILE_BYTES:
        message = f"{path} is larger than {FILE_BYTES >> 10} KiB"
        raise LimitExceededError(message, field="speaker", limit="speaker_file_bytes")
    try:
        told = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InvalidInputError(f"{path} is not JSON: {error}", field="speaker") from error
    if not isinstance(told, list) or not told:
        raise InvalidInputError(f"{path} is not a list of boxes", field="speaker")
    if len(told) > MOST_PLACES:
        message = f"{path} has {len(told)} boxes; at most {MOST_PLACES} are allowed"
        raise LimitExceededError(message, field="speaker", limit="speaker_places")
    return Speaker(places=tuple(_entry(one, f"{path}, entry {number}") for number, one in enumerate(told)))


def speaker_to(speaker: Speaker | None) -> job_pb2.Speaker | None:
    """For the wire; None for the largest face of each shot."""
    if speaker is None:
        return None
    known = f"FACE_POSITION_{(speaker.position or 'unspecified').upper()}"
    if known not in job_pb2.FacePosition.keys():  # noqa: SIM118 - it is no mapping
        raise InvalidInputError(f"{speaker.position!r} is none of {', '.join(POSITIONS)}", field="speaker")
    return job_pb2.Speaker(position=job_pb2.FacePosition.Value(known), places=map(_place_to, speaker.places))


def _place_to(place: FacePlace) -> job_pb2.FacePlace:
    time = Duration()
    time.FromMicroseconds(round(place.seconds * 1e6))
    return job_pb2.FacePlace(time=time, x=place.x, y=place.y, width=place.width, height=place.height)


def _entry(told: Any, where: str) -> FacePlace:
    kinds = [kind for kind in _NUMBERS if isinstance(told, dict) and kind in told]
    if len(kinds) != 1 or set(told) - {"t", *kinds}:
        raise InvalidInputError(f'{where}, is not {{"t": ..., "box": [x, y, width, height]}}', field="speaker")
    (kind,) = kinds
    numbers, seconds = told[kind], told.get("t", 0)
    is_list = isinstance(numbers, list) and len(numbers) == _NUMBERS[kind] and all(map(_is_number, numbers))
    if not is_list or not _is_number(seconds):
        message = f"{where}, needs a number for t and {_NUMBERS[kind]} for {kind}, each of 0 and more"
        raise InvalidInputError(message, field="speaker")
    x, y, width, height = [*map(float, numbers), 0.0, 0.0][:4]
    return FacePlace(x=x, y=y, width=width, height=height, seconds=float(seconds))


_LARGEST: Final = 1e6
"""No frame is as wide, and no video as long in seconds."""


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return 0 <= value <= _LARGEST and math.isfinite(value)


def _number(text: str, whole: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not _is_number(value):
        raise InvalidInputError(f"{whole!r} says no face: {text!r} is no number of 0 and more", field="speaker")
    return value


def _time(text: str, whole: str) -> float:
    """Seconds, or minutes and seconds as in 1:07.5."""
    minutes, colon, seconds = text.rpartition(":")
    return (60 * _number(minutes, whole) if colon else 0.0) + _number(seconds, whole)
