from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from edge_gateway.label.drawing import CAPITAL_SHARE, Stamp
from edge_gateway.label.font import CHINESE, LATIN
from edge_gateway.label.policy import TEXTS, Label, Language, Place, open_font
from shared.errors import InvalidInputError
from shared.media.planes import Planes

LONG = "本视频由人工智能合成，声音和口型非真实，仅供参考 AI-generated video"
SIZES = [(320, 180), (1920, 1080), (180, 320), (321, 241), (64, 64), (16, 16)]


def grey(width: int, height: int, value: int = 120) -> Planes:
    half = ((height + 1) // 2, (width + 1) // 2)
    return Planes(
        y=np.full((height, width), value, np.uint8), u=np.full(half, 60, np.uint8), v=np.full(half, 200, np.uint8)
    )


def stamped(
    label: Label, width: int, height: int, *, full_range: bool = False, aspect: Fraction = Fraction(1)
) -> Planes:
    return Stamp(label, width, height, aspect=aspect, full_range=full_range).put_on(grey(width, height))


def extent(planes: Planes) -> tuple[int, int, int, int]:
    """Where a picture is no longer as it was: left, top, right, bottom."""
    rows, columns = np.nonzero(planes.y != 120)
    return int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("place", Place)
@pytest.mark.parametrize("text", [*TEXTS.values(), LONG])
def test_it_stands_where_it_was_asked_for_and_inside_the_picture(
    size: tuple[int, int], place: Place, text: str
) -> None:
    width, height = size
    left, top, right, bottom = extent(stamped(Label(text=text, place=place), width, height))
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height
    if min(size) >= 180:
        assert (bottom <= height / 2 + 2) == place.value.startswith("top")
        if "left" in place.value:
            assert left <= 0.05 * min(size)
        elif "right" in place.value:
            assert width - right <= 0.05 * min(size) + 2
        else:
            assert abs(left - (width - right)) <= 3


@pytest.mark.parametrize("size", SIZES[:4])
@pytest.mark.parametrize("language", Language)
def test_its_letters_are_as_high_as_the_law_asks_for(size: tuple[int, int], language: Language) -> None:
    text = {"en": "AI", "zh": "生"}[language.value]
    marked = stamped(Label(text=text), *size).y
    rows = np.nonzero((marked > 122).any(axis=1))[0]
    assert int(rows.max()) - int(rows.min()) + 1 >= CAPITAL_SHARE * min(size)


@pytest.mark.parametrize(("full_range", "dark", "light"), [(False, 16, 235), (True, 0, 255)])
def test_it_is_light_on_dark_without_colour_and_within_range(full_range: bool, dark: int, light: int) -> None:
    marked = stamped(Label(text="AI-generated"), 1920, 1080, full_range=full_range)
    left, top, right, bottom = extent(marked)
    part = marked.y[top:bottom, left:right]
    assert part.max() == light
    assert dark < part.min() == pytest.approx(0.38 * 120 + 0.62 * dark, abs=1)
    assert abs(int(marked.u[top // 2 + 2, left // 2 + 2]) - 128) < abs(60 - 128) / 2
    assert np.array_equal(marked.y[bottom:], grey(1920, 1080).y[bottom:])


def test_a_picture_is_left_as_it_was() -> None:
    picture = grey(320, 180)
    Stamp(Label(text="AI"), 320, 180, aspect=Fraction(1), full_range=False).put_on(picture)
    assert np.array_equal(picture.y, grey(320, 180).y)


def test_it_is_not_distorted_where_pixels_are_not_square() -> None:
    square = extent(stamped(Label(text="AI-generated"), 1440, 1080))
    narrow = extent(stamped(Label(text="AI-generated"), 720, 1080, aspect=Fraction(2)))
    assert narrow[2] - narrow[0] == pytest.approx((square[2] - square[0]) / 2, abs=2)
    assert narrow[3] - narrow[1] == pytest.approx(square[3] - square[1], abs=2)


def test_the_own_font_has_all_that_its_recipe_names() -> None:
    written = [chr(one) for one in LATIN if one not in {0xA0, 0xAD}] + list(CHINESE)
    for begin in range(0, len(written), 40):
        Label(text="x" + "".join(written[begin : begin + 40])).checked(Language.EN)


@pytest.mark.parametrize("text", TEXTS.items())
def test_the_usual_words_can_be_written(text: tuple[Language, str]) -> None:
    Label(text=text[1]).checked(text[0])


@pytest.mark.parametrize(
    ("text", "language", "words"),
    [
        ("", Language.EN, "1 to 60"),
        ("  ", Language.EN, "1 to 60"),
        ("x" * 61, Language.EN, "1 to 60"),
        ("a\nb", Language.EN, "printable"),
        ("Made by AI", Language.ZH, "GB 45438"),
        ("人工智能", Language.ZH, "GB 45438"),
        ("AI 生成 ☃", Language.ZH, "the font has no ☃"),
        ("生成された AI", Language.EN, "さ た れ"),
    ],
)
def test_words_that_will_not_do_are_refused(text: str, language: Language, words: str) -> None:
    with pytest.raises(InvalidInputError, match=words) as told:
        Label(text=text).checked(language)
    assert told.value.field == "label_text"


def test_a_font_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.ttf").write_bytes(b"nothing")
    for path in (tmp_path / "x.ttf", tmp_path / "none.ttf"):
        with pytest.raises(InvalidInputError, match="font"):
            Label(text="AI", font=path).checked(Language.EN)
    open_font.cache_clear()


def test_it_comes_back_from_json() -> None:
    label = Label(text="AI", place=Place.BOTTOM, length_us=3_000_000)
    assert Label.of(label.to_json()) == label
    assert Label.of({}) is None
    assert Label.of(None) is None
