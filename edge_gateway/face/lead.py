"""Whose face is painted: the one that was chosen, or else the largest, found again after gaps and cuts by its look.

Within a shot a face is followed under one number. Who a face with a new number is, its looks must tell. Where somebody
was chosen and no face is theirs for certain, nothing is painted: better a mouth that keeps still than another's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from edge_gateway.face.detector import overlap
from edge_gateway.face.look import LIKELY, SURE, Looks
from edge_gateway.face.tracks import Faces, Seen
from shared.face.mesh import Roi

_BY_PLACE_US: Final = 1_500_000
"""A face that comes back so soon where another was lost is likely the same."""
_LARGEST_AFTER_US: Final = 1_000_000
"""How long a face that nobody chose is waited for before another may take its place in the same shot."""
_AHEAD: Final = 0.75
"""A look must be so much more like the one person's than like any other's."""
_TWINS: Final = 0.9
"""Two faces whose looks are as near as this cannot be told apart."""
_MOST_PEOPLE: Final = 64
"""People that are kept in mind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """From a time on, the face of this number, and whoever looks like it, speaks."""

    time_us: int
    number: int
    looks: Looks


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Led:
    """The face that is painted in one frame, of the person ``who`` (from 0), and whether it is another than before."""

    seen: Seen
    who: int
    is_new: bool


class _Person:
    """Somebody, by the numbers of faces that are certainly theirs, and by their looks."""

    def __init__(self, who: int) -> None:
        self.who = who
        self.numbers: set[int] = set()
        self.looks = Looks()
        self._taken: dict[int, int] = {}
        self.place: Roi | None = None
        self.seen_us = 0

    def note(self, seen: Seen, time_us: int) -> None:
        self.numbers.add(seen.number)
        if self._taken.get(seen.number) != len(seen.looks):
            self._taken[seen.number] = len(seen.looks)
            self.looks.take(seen.looks)
        self.place, self.seen_us = seen.place, time_us


class Lead:
    """Picks the face of each frame.

    Args:
        choices: Who was chosen, by time; none for the largest face.
        others: Looks of people who are certainly not meant.
    """

    def __init__(self, choices: Sequence[Choice] = (), others: Sequence[Looks] = ()) -> None:
        self._choices = list(choices)
        self._people: list[_Person] = []
        self._strangers: set[int] = set()
        self._others = list(others)
        self._stand_in: int | None = None
        self._last: int | None = None
        self._shot_us = 0
        for choice in self._choices:
            self._of_choice(choice)

    def pick(self, faces: Faces, time_us: int) -> Led | None:
        """The face to paint; None where it is not there, or it is not certain which it is."""
        if faces.cut:
            self._new_shot(time_us)
        person, seen = self._chosen(faces, time_us) if self._choices else self._largest(faces, time_us)
        if person is None or seen is None:
            return None
        person.note(seen, time_us)
        self._note_others(person, faces)
        is_new = self._last is not None and seen.number != self._last
        self._last = seen.number
        return Led(seen=seen, who=person.who, is_new=is_new)

    def _chosen(self, faces: Faces, time_us: int) -> tuple[_Person | None, Seen | None]:
        current = self._choices[0]
        for choice in self._choices:
            if choice.time_us <= time_us:
                current = choice
        person = self._of_choice(current)
        chosen = next((seen for seen in faces.seen if seen.number == current.number), None)
        return person, chosen or self._find(person, faces, time_us)

    def _largest(self, faces: Faces, time_us: int) -> tuple[_Person | None, Seen | None]:
        for person in self._people[:1]:
            if (seen := self._find(person, faces, time_us, twins=True)) is not None:
                self._stand_in = None
                return person, seen
        by_number = {seen.number: seen for seen in faces.seen}
        if self._stand_in in by_number:
            seen = by_number[self._stand_in]
            return self._known(seen), seen
        waited = time_us - max(self._shot_us, self._people[0].seen_us) if self._people else _LARGEST_AFTER_US
        is_shot_new = not self._people or self._people[0].seen_us < self._shot_us
        if not is_shot_new and waited < _LARGEST_AFTER_US:
            return None, None
        free = [seen for seen in faces.seen if seen.number not in self._strangers]
        if not is_shot_new:
            free = [seen for seen in free if all(other.apart(seen.looks) >= SURE for other in self._others)]
        if not free:
            return None, None
        seen = max(free, key=lambda seen: seen.height)
        self._stand_in = seen.number
        return self._known(seen), seen

    def _find(self, person: _Person, faces: Faces, time_us: int, *, twins: bool = False) -> Seen | None:
        for seen in faces.seen:
            if seen.number in person.numbers:
                return seen
        told = sorted(
            (
                (person.looks.apart(seen.looks), -seen.height, seen)
                for seen in faces.seen
                if seen.number not in self._strangers and self._is_certain(person, seen, time_us)
            ),
            key=lambda one: one[:2],
        )
        if not told:
            return None
        if len(told) > 1 and told[0][0] > _TWINS * told[1][0]:
            # The same person in a mirror or a picture, or somebody very like.
            return min(told, key=lambda one: one[1])[2] if twins else None
        return told[0][2]

    def _is_certain(self, person: _Person, seen: Seen, time_us: int) -> bool:
        apart = person.looks.apart(seen.looks)
        soon = time_us - person.seen_us <= _BY_PLACE_US and person.seen_us >= self._shot_us
        is_near = soon and person.place is not None and overlap(person.place, seen.place) > 0
        if apart >= (LIKELY if is_near else SURE):
            return False
        rivals = [*self._others, *(one.looks for one in self._people if one is not person)]
        return all(apart < _AHEAD * other.apart(seen.looks) for other in rivals)

    def _known(self, seen: Seen) -> _Person:
        """The person of a face that leads since nobody was chosen."""
        for person in self._people:
            if seen.number in person.numbers:
                return person
        for person in self._people:
            if person.looks.apart(seen.looks) < SURE:
                return person
        return self._new_person()

    def _of_choice(self, choice: Choice) -> _Person:
        for person in self._people:
            if choice.number in person.numbers:
                return person
        # Several places of one face are the rule, of several faces the exception.
        alike = (person for person in self._people if person.looks.apart(choice.looks) < SURE)
        person = next(alike, None) or self._new_person()
        person.numbers.add(choice.number)
        person.looks.take(choice.looks)
        return person

    def _new_person(self) -> _Person:
        if len(self._people) >= _MOST_PEOPLE:
            del self._people[1]
        person = _Person(self._people[-1].who + 1 if self._people else 0)
        self._people.append(person)
        return person

    def _note_others(self, person: _Person, faces: Faces) -> None:
        """Whoever is seen beside somebody is somebody else."""
        for seen in faces.seen:
            if seen.number in person.numbers or seen.number in self._strangers:
                continue
            if any(seen.number in one.numbers for one in self._people):
                continue
            self._strangers.add(seen.number)
            # A mirror or a picture shows the same person: that says nothing of how others look.
            if len(self._others) < _MOST_PEOPLE and person.looks.apart(seen.looks) >= SURE:
                self._others.append(seen.looks)

    def _new_shot(self, time_us: int) -> None:
        self._shot_us = time_us
        self._stand_in = None
        self._strangers.clear()
