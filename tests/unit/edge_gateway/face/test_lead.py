import numpy as np
import pytest

from edge_gateway.face.lead import Choice, Lead
from edge_gateway.face.look import Look, Looks
from edge_gateway.face.tracks import Faces, Seen

FRAME_US = 40_000


def looks(person: int) -> Looks:
    """The looks of somebody; those of different people have nothing in common."""
    rng = np.random.default_rng(person)
    known = Looks()
    patch = rng.normal(size=224).astype(np.float32)
    shape = rng.normal(size=(36, 3)).astype(np.float32)
    known.add(Look(patch=patch / patch.std(), colour=np.zeros(2, np.float32), shape=shape / np.linalg.norm(shape)))
    return known


def face(number: int, person: int, *, x: float = 100, height: float = 80) -> Seen:
    points = np.zeros((468, 3), np.float32)
    points[10], points[152] = (x, 100, 0), (x, 100 + height, 0)
    points[33], points[263] = (x - height / 4, 120, 0), (x + height / 4, 120, 0)
    points[[i for i in range(468) if i not in (10, 152, 33, 263)]] = (x, 120, 0)
    return Seen(number=number, points=points, looks=looks(person))


class Film:
    """Shows a lead one frame after the other."""

    def __init__(self, lead: Lead) -> None:
        self.lead = lead
        self.frame = 0

    def show(self, *seen: Seen, cut: bool = False, frames: int = 1) -> int | None:
        """The number of the face that is painted in the last of some frames."""
        for index in range(frames):
            led = self.lead.pick(Faces(seen=seen, cut=cut and index == 0, searched=True), self.frame * FRAME_US)
            self.frame += 1
        return None if led is None else led.seen.number


def chosen(person: int, number: int, time_us: int = 0) -> Choice:
    return Choice(time_us=time_us, number=number, looks=looks(person))


def test_without_a_choice_the_largest_face_leads_and_stays_the_one() -> None:
    film = Film(Lead())
    assert film.show(face(1, 1, height=90), face(2, 2, x=300)) == 1
    assert film.show(face(1, 1, height=60), face(2, 2, x=300, height=200)) == 1


def test_whoever_led_leads_again_when_they_return_beside_somebody_larger() -> None:
    film = Film(Lead())
    film.show(face(1, 1, height=90), face(2, 2, x=300))
    assert film.show(face(2, 2, x=300), frames=100) is None
    assert film.show(face(2, 2, x=300, height=200), face(3, 1, x=700)) == 3


def test_another_who_comes_after_the_lead_left_for_good_takes_over() -> None:
    film = Film(Lead())
    film.show(face(1, 1))
    assert film.show(face(2, 2, x=300), frames=5) is None
    assert film.show(face(2, 2, x=300), frames=30) == 2
    assert film.show(face(2, 2, x=300), face(3, 1, x=600)) == 3


def test_after_a_cut_the_lead_is_found_again_and_where_it_is_not_the_largest_stands_in() -> None:
    film = Film(Lead())
    film.show(face(1, 1))
    assert film.show(face(2, 2, height=200), face(3, 1, x=400), cut=True) == 3
    assert film.show(face(4, 2, height=100), face(5, 3, x=400, height=120), cut=True) == 5
    assert film.show(face(6, 1), cut=True) == 6


def test_who_says_which_person_is_painted() -> None:
    lead = Lead()

    def who(*seen: Seen, cut: bool, at: int) -> int:
        led = lead.pick(Faces(seen=seen, cut=cut, searched=True), at * FRAME_US)
        assert led is not None
        return led.who

    shots = [who(face(number, person), cut=True, at=number) for number, person in enumerate((1, 2, 1, 2, 3))]
    assert shots == [0, 1, 0, 1, 2]


def test_whoever_was_chosen_is_painted_alone() -> None:
    film = Film(Lead([chosen(2, 2)]))
    assert film.show(face(1, 1, height=200), face(2, 2, x=400)) == 2
    assert film.show(face(1, 1, height=200), frames=100) is None
    assert film.show(face(3, 3), cut=True, frames=100) is None
    assert film.show(face(4, 1, height=200), face(5, 2, x=400), cut=True) == 5


def test_a_choice_at_a_later_time_finds_the_same_person_before_it() -> None:
    film = Film(Lead([chosen(2, 9, time_us=10_000_000)]))
    assert film.show(face(1, 1), face(2, 2, x=400)) == 2
    assert film.show(face(9, 2), cut=True) == 9


def test_choices_on_one_person_are_one_person() -> None:
    film = Film(Lead([chosen(1, 1), chosen(1, 2, time_us=20 * FRAME_US)]))
    assert film.show(face(1, 1), face(9, 5, x=300), frames=10) == 1
    assert film.show(face(2, 1), face(8, 5, x=300), cut=True, frames=5) == 2
    assert film.show(face(3, 1), face(7, 5, x=300), cut=True, frames=10) == 3


def test_each_choice_holds_until_the_next() -> None:
    film = Film(Lead([chosen(1, 1), chosen(2, 2, time_us=10 * FRAME_US)]))
    both = face(1, 1), face(2, 2, x=400)
    assert film.show(*both, frames=10) == 1
    assert film.show(*both) == 2


def test_of_two_who_look_alike_none_is_painted_for_the_chosen_one() -> None:
    film = Film(Lead([chosen(1, 1)]))
    film.show(face(1, 1))
    assert film.show(face(2, 1), face(3, 1, x=400), cut=True, frames=30) is None


def test_somebody_who_looks_like_another_whom_the_job_names_is_not_taken() -> None:
    other = looks(1)
    film = Film(Lead([chosen(1, 1)], others=[other]))
    assert film.show(face(1, 1)) == 1
    assert film.show(face(2, 1), cut=True, frames=30) is None


@pytest.mark.parametrize("gap", [1, 20])
def test_a_change_of_face_is_told(gap: int) -> None:
    lead = Lead()
    shown = [(face(1, 1),)] * 3 + [()] * gap + [(face(2, 1),)] * 2
    told = [
        led.is_new
        for index, seen in enumerate(shown)
        if (led := lead.pick(Faces(seen=seen, cut=False, searched=True), index * FRAME_US)) is not None
    ]
    assert told == [False] * 3 + [True, False]
