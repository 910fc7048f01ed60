"""Finding the faces that were asked for: a first pass through as much of a video as it takes to see them all.

It numbers faces as the pass that cuts crops does, since both follow them in the same way.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from edge_gateway.face.detector import FaceDetector
from edge_gateway.face.lead import Choice
from edge_gateway.face.look import SURE
from edge_gateway.face.speaker import Hint, Position, Speaker
from edge_gateway.face.tracks import Faces, FaceTracks, Seen, is_on
from edge_gateway.face.view import View
from shared.errors import InvalidInputError, NoFaceError
from shared.face.mesh import FaceMesh

_PATIENCE_US: Final = 1_000_000
"""A face counts for a place where it is found within this time: that long a detector may not look at all."""
_STUDY_US: Final = 1_000_000
"""How long faces are looked at that must be found in earlier frames, too."""
_TOLD: Final = 6
"""Faces that an error tells of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A face that was asked for, the field that asks, and what the face is called where there are several."""

    speaker: Speaker
    field: str
    name: str = ""


@dataclass(slots=True)
class _Search:
    asked: Asked
    hints: list[Hint]
    choices: list[Choice] = field(default_factory=list)
    missed: list[int] = field(default_factory=list)
    faces: list[Seen] = field(default_factory=list)
    """What was seen where the first place that was missed lies."""
    most: int = 0
    """Faces that were seen together at most."""
    next: int = 0

    @property
    def is_over(self) -> bool:
        return self.next == max(1, len(self.hints))

    def look(self, faces: Faces, time_us: int) -> None:
        self.most = max(self.most, len(faces.seen))
        if self.is_over:
            return
        if self.asked.speaker.position is not None:
            if len(faces.seen) >= self.asked.speaker.together:
                self._found(_at(self.asked.speaker, faces.seen), 0)
            return
        while not self.is_over and self.hints[self.next].time_us <= time_us:
            hint = self.hints[self.next]
            there = [seen for seen in faces.seen if is_on(seen.points, hint.x, hint.y)]
            if there:
                self._found(min(there, key=lambda seen: abs(seen.place.x - hint.x) + abs(seen.place.y - hint.y)), hint)
            elif time_us - hint.time_us >= _PATIENCE_US:
                self.miss(faces.seen)
            else:
                return

    def _found(self, seen: Seen, hint: "Hint | int") -> None:
        time_us = hint.time_us if isinstance(hint, Hint) else 0
        self.choices.append(Choice(time_us=time_us, number=seen.number, looks=seen.looks))
        self.next += 1

    def miss(self, seen: Sequence[Seen]) -> None:
        if not self.missed:
            self.faces = list(seen)
        self.missed.append(self.next)
        self.next += 1

    def check(self) -> None:
        """Raise why nobody was found."""
        if self.choices:
            return
        speaker = self.asked.speaker
        if speaker.position is not None:
            found = "no face was found" if self.most == 0 else f"at most {self.most} was seen at a time"
            message = f"{speaker.position.value!r} names no face: that takes {speaker.together} together, and {found}"
            raise NoFaceError(message, field=self.asked.field)
        whose = f" for {self.asked.name!r}" if self.asked.name else ""
        message = f"no face is at {speaker.places[0].words}{whose}; {_told(self.faces)}"
        raise NoFaceError(message, field=self.asked.field)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scouted:
    """Who was found for each face that was asked for, and the places at which nobody was, by number."""

    choices: Sequence[Sequence[Choice]]
    missed: Sequence[Sequence[int]]


def scout(frames: Iterable[tuple[View, int]], asked: Sequence[Asked], hints: Sequence[Sequence[Hint]]) -> Scouted:
    """Find the faces that were asked for.

    Args:
        frames: All frames from the first, each with its time in microseconds; only as many are taken as are needed.
        asked: The faces.
        hints: The places of each, in pixels.

    Raises:
        NoFaceError: one of them is nowhere; names its field.
        InvalidInputError: two are the same face.
    """
    tracks = FaceTracks(detector=FaceDetector(), mesh=FaceMesh(), hints=[hint for some in hints for hint in some])
    searches = [_Search(one, list(some)) for one, some in zip(asked, hints, strict=True)]
    together: set[frozenset[int]] = set()
    over_us: int | None = None
    last: Sequence[Seen] = ()
    for view, time_us in frames:
        faces = tracks.step(view, time_us)
        last = faces.seen
        numbers = [seen.number for seen in faces.seen]
        together.update(frozenset((one, other)) for one in numbers for other in numbers if one < other)
        for search in searches:
            search.look(faces, time_us)
        if over_us is None and all(search.is_over for search in searches):
            # Whoever was found in the first frame needs no study: there is nothing before.
            over_us = time_us + (_STUDY_US if time_us else 0)
        if over_us is not None and time_us >= over_us:
            break
    for search in searches:
        while search.hints and not search.is_over:
            search.miss(last)
        search.check()
    _check_apart(searches, together)
    return Scouted(choices=[search.choices for search in searches], missed=[search.missed for search in searches])


def _check_apart(searches: Sequence[_Search], together: set[frozenset[int]]) -> None:
    for place, search in enumerate(searches):
        for other in searches[:place]:
            pairs = [(one, two) for one in other.choices for two in search.choices]
            if any(_is_same(one, two, together) for one, two in pairs):
                message = f"{search.asked.name!r} is the same face as {other.asked.name!r}; one face has one speech"
                raise InvalidInputError(message, field=search.asked.field)


def _is_same(one: Choice, other: Choice, together: set[frozenset[int]]) -> bool:
    if one.number == other.number:
        return True
    were_apart = frozenset((one.number, other.number)) in together
    return not were_apart and one.looks.apart(other.looks) < SURE


def _at(speaker: Speaker, seen: Sequence[Seen]) -> Seen:
    """The face at a position among those of one frame."""
    ordered = sorted(seen, key=lambda one: one.place.x)
    match speaker.position:
        case Position.LEFT:
            return ordered[0]
        case Position.RIGHT:
            return ordered[-1]
        case Position.CENTER:
            # Of an even number the larger one of the two in the middle.
            half = len(ordered) // 2
            middle = ordered[half - 1 : half + 1] if len(ordered) % 2 == 0 else [ordered[half]]
            return max(middle, key=lambda one: one.height)
        case _:
            return max(ordered, key=lambda one: one.height)


def _told(seen: Sequence[Seen]) -> str:
    if not seen:
        return "there is none anywhere in the frame"
    faces = sorted(seen, key=lambda one: -one.height)[:_TOLD]
    told = "; ".join(f"{one.place.x:.0f}, {one.place.y:.0f} ({one.height:.0f} pixels high)" for one in faces)
    return f"those that are there are at {told}"
