"""Which face speaks: as it is asked for, before any frame was looked at."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, Self

from shared.errors import InvalidInputError, LimitExceededError

MOST_PLACES: Final = 1000
"""Places of one face; the limit ``speaker_places``."""
MOST_VOICES: Final = 4
"""Faces of one video that speak; the limit ``voices``."""
MOST_NAME: Final = 40
"""Characters of a face's name; the limit ``voice_name``."""


class Position(StrEnum):
    """A face by where it is when faces are first seen together."""

    LEFT = "left"
    RIGHT = "right"
    CENTER = "center"
    LARGEST = "largest"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hint:
    """Somebody says that a face is here: a point in pixels, and a size where that is known, else 0."""

    time_us: int
    x: float
    y: float
    size: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a face is at a time: a box by its corner, or a point where ``width`` and ``height`` are 0.

    Numbers are pixels of the displayed frame, or shares of its width and height where none is greater than 1.
    """

    time_us: int
    x: float
    y: float
    width: float = 0.0
    height: float = 0.0

    def in_pixels(self, width: int, height: int) -> Hint:
        """Its middle, and the longer side of a box, in a frame of this size."""
        across, down = (width, height) if max(self.x, self.y, self.width, self.height) <= 1 else (1, 1)
        size = max(self.width * across, self.height * down)
        x, y = (self.x + self.width / 2) * across, (self.y + self.height / 2) * down
        return Hint(time_us=self.time_us, x=x, y=y, size=size)

    @property
    def words(self) -> str:
        """For a person."""
        what = f"the box {self.x:g}, {self.y:g}, {self.width:g}, {self.height:g}" if self.width else ""
        return f"{what or f'the point {self.x:g}, {self.y:g}'} at {self.time_us / 1e6:g} s"


@dataclass(frozen=True, slots=True, kw_only=True)
class Speaker:
    """One face: by a position, or by places of which each holds until the next; by default the largest of each shot."""

    position: Position | None = None
    places: tuple[Place, ...] = ()
    together: int = 1
    """Faces that must be seen together for a position to mean anything."""

    @property
    def is_default(self) -> bool:
        """Whether nobody was chosen."""
        return self.position is None and not self.places

    def to_json(self) -> dict[str, Any]:
        """For the disk and for children."""
        places = [[place.time_us, place.x, place.y, place.width, place.height] for place in self.places]
        return {"position": self.position and self.position.value, "places": places, "together": self.together}

    @classmethod
    def of(cls, told: dict[str, Any]) -> Self:
        """Undo :meth:`to_json`."""
        places = tuple(
            Place(time_us=int(time_us), x=x, y=y, width=width, height=height)
            for time_us, x, y, width, height in told["places"]
        )
        position = Position(told["position"]) if told["position"] else None
        return cls(position=position, places=places, together=int(told["together"]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Voice:
    """A further face that speaks, with a speech of its own."""

    name: str
    speech: str
    """The speech's asset id."""
    speaker: Speaker = field(default_factory=Speaker)

    def to_json(self) -> dict[str, Any]:
        """For the disk."""
        return {"name": self.name, "speech": self.speech, "speaker": self.speaker.to_json()}

    @classmethod
    def of(cls, told: dict[str, Any]) -> Self:
        """Undo :meth:`to_json`."""
        return cls(name=told["name"], speech=told["speech"], speaker=Speaker.of(told["speaker"]))


def check_speaker(speaker: Speaker, where: str) -> None:
    """Refuse places that are none.

    Raises:
        InvalidInputError: numbers are no numbers, below 0, or times do not rise.
        LimitExceededError: there are too many.
    """
    if len(speaker.places) > MOST_PLACES:
        message = f"the face has {len(speaker.places)} places; at most {MOST_PLACES} are allowed"
        raise LimitExceededError(message, field=where, limit="speaker_places")
    if speaker.position is not None and speaker.places:
        raise InvalidInputError("a face is named by a position or by places, not by both", field=where)
    before = -1
    for number, place in enumerate(speaker.places):
        at = where if len(speaker.places) == 1 else f"{where}.places[{number}]"
        values = (place.x, place.y, place.width, place.height)
        if not all(map(math.isfinite, values)) or min(*values, place.time_us) < 0:
            raise InvalidInputError("a face's place has numbers of 0 and more", field=at)
        if (place.width > 0) != (place.height > 0):
            raise InvalidInputError("a face's box has a width and a height above 0", field=at)
        if place.time_us <= before:
            raise InvalidInputError("the times of a face's places rise from one to the next", field=at)
        before = place.time_us


def check_frame(speaker: Speaker, width: int, height: int, end_us: int, where: str) -> None:
    """Refuse places that the video does not have.

    Args:
        speaker: What was asked.
        width: Of the displayed frame, in pixels.
        height: Of the displayed frame, in pixels.
        end_us: When the video ends; 0 where that is not known.
        where: The field at fault.

    Raises:
        InvalidInputError: a place lies outside the frame, or after the end.
    """
    for number, place in enumerate(speaker.places):
        at = where if len(speaker.places) == 1 else f"{where}.places[{number}]"
        shares = max(place.x, place.y, place.width, place.height) <= 1
        across, down = (1, 1) if shares else (width, height)
        if place.x + place.width > across or place.y + place.height > down:
            message = f"{place.words} lies outside the frame of {width}x{height} pixels"
            raise InvalidInputError(message, field=at, limit="frame")
        if end_us and place.time_us >= end_us:
            message = f"{place.words} lies after the end of the video, which is {end_us / 1e6:.2f} s long"
            raise InvalidInputError(message, field=at, limit="duration")


def check_voices(first: Speaker, name: str, voices: Sequence[Voice]) -> None:
    """Refuse faces that cannot all be there.

    Raises:
        InvalidInputError: a name comes twice or is none, or two name one face.
        LimitExceededError: there are too many.
    """
    check_speaker(first, "options.speaker")
    if not voices:
        return
    if len(voices) + 1 > MOST_VOICES:
        message = f"{len(voices) + 1} faces are to speak; at most {MOST_VOICES} are allowed"
        raise LimitExceededError(message, field="options.voices", limit="voices")
    names: list[str] = []
    speakers: list[Speaker] = []
    given = [("options.speaker", name, first)]
    given += [(f"options.voices[{number}]", voice.name, voice.speaker) for number, voice in enumerate(voices)]
    for where, one, speaker in given:
        if not one or len(one) > MOST_NAME:
            message = f"a face that speaks beside others has a name of at most {MOST_NAME} characters"
            raise LimitExceededError(message, field=f"{where}.name", limit="voice_name")
        if one in names:
            raise InvalidInputError(f"two speeches are given for the face {one!r}; one face has one", field=where)
        check_speaker(speaker, where)
        if speaker.is_default:
            message = f"nothing says which face {one!r} is; give a position or a place"
            raise InvalidInputError(message, field=where)
        if speaker in speakers:
            other = names[speakers.index(speaker)]
            message = f"{other!r} and {one!r} are the same face; one face has one speech"
            raise InvalidInputError(message, field=where)
        names.append(one)
        speakers.append(speaker)
