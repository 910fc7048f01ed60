"""What the operator demands of the label that viewers see."""

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any, Self

from PIL import ImageFont

from shared.errors import InvalidInputError

MOST_CHARACTERS = 60
"""Of a label's text."""
MOST_FONT_BYTES = 64 << 20
OWN_FONT = Path(__file__).with_name("label.ttf")
"""What a label is written with where the operator names no font."""
_PROBE_PX = 100
_NAMES_AI, _NAMES_MAKING = ("人工智能", "AI"), ("生成", "合成")


class Language(StrEnum):
    """Languages that there is a text in."""

    EN = "en"
    ZH = "zh"


TEXTS = {Language.EN: "AI-generated", Language.ZH: "人工智能生成"}
"""What a label says where the operator has no words of his own."""


class Place(StrEnum):
    """Where in the picture."""

    TOP_LEFT = "top-left"
    TOP = "top"
    TOP_RIGHT = "top-right"
    BOTTOM_LEFT = "bottom-left"
    BOTTOM = "bottom"
    BOTTOM_RIGHT = "bottom-right"


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """A label that results bear at their beginning."""

    text: str
    place: Place = Place.TOP_LEFT
    length_us: int = 2_000_000
    """How long it is there."""
    font: Path = OWN_FONT

    def checked(self, language: Language) -> Self:
        """The same, if it can be written and says what the language's country asks for.

        Raises:
            InvalidInputError: it is not so.
        """
        if not self.text.strip() or len(self.text) > MOST_CHARACTERS or not self.text.isprintable():
            raise InvalidInputError(
                f"a label is 1 to {MOST_CHARACTERS} printable characters", field="label_text", limit="label_text"
            )
        if language is Language.ZH and not all(
            any(word in self.text for word in words) for words in (_NAMES_AI, _NAMES_MAKING)
        ):
            raise InvalidInputError(
                "a Chinese label says 人工智能 or AI, and 生成 or 合成 (GB 45438-2025)", field="label_text"
            )
        if not capital_px(self.font, _PROBE_PX):
            raise InvalidInputError("the font has no capital A, by which letters are measured", field="label_font")
        if lacking := _lacking(self.font, self.text):
            raise InvalidInputError(
                f"the font has no {' '.join(lacking)}; name another one with --label-font", field="label_text"
            )
        return self

    def to_json(self) -> dict[str, Any]:
        """For the disk, and for the child that draws it."""
        return {"text": self.text, "place": self.place.value, "length_us": self.length_us, "font": str(self.font)}

    @classmethod
    def of(cls, told: dict[str, Any] | None) -> Self | None:
        """Undo :meth:`to_json`; None of nothing."""
        if not told:
            return None
        return cls(
            text=told["text"], place=Place(told["place"]), length_us=int(told["length_us"]), font=Path(told["font"])
        )


@lru_cache(maxsize=4)
def open_font(path: Path, size_px: int) -> ImageFont.FreeTypeFont:
    """A font in a size.

    Raises:
        InvalidInputError: it is none.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MOST_FONT_BYTES)
        return ImageFont.truetype(BytesIO(data), size_px, layout_engine=ImageFont.Layout.BASIC)
    except OSError:
        raise InvalidInputError(f"{path} cannot be read as a font", field="label_font") from None


def capital_px(path: Path, size_px: int) -> float:
    """Height of a capital letter in pixels."""
    box = open_font(path, size_px).getbbox("A")
    return box[3] - box[1]


def _lacking(path: Path, text: str) -> list[str]:
    """Characters that a font has no picture of: it draws the same box for all of those."""
    font = open_font(path, _PROBE_PX)
    nothing = _drawn(font, "\uffff")
    return sorted({one for one in re.sub(r"\s", "", text) if _drawn(font, one) == nothing})


def _drawn(font: ImageFont.FreeTypeFont, text: str) -> tuple[tuple[int, int], bytes]:
    mask = font.getmask(text)
    return mask.size, bytes(mask)
