from pathlib import Path
from typing import Any

import pytest

from inference_node.own.card import card_of, read_card
from shared.errors import InvalidInputError, LimitExceededError
from tests.unit.inference_node.own.cards import told


def test_a_card_says_what_edges_and_triton_need() -> None:
    card = card_of(told())
    assert (card.size, card.wants_reference, card.model, card.crop_side) == ((64, 48), True, "own-mine", 320)
    engine = card.engine_card("d")
    assert engine.identity == "mine@d"
    assert engine.models == ("own-mine",)
    patch = engine.patch
    assert all(value % 2 == 0 for value in (patch.x, patch.y, patch.width, patch.height))
    assert patch.x + patch.width <= 320 >= patch.y + patch.height


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": "../up"}, "name"),
        ({"name": "Upper"}, "name"),
        ({"licence": "two\nlines"}, "licence"),
        ({"extra": 1}, "extra"),
        ({"format": 2}, "format"),
        ({"mel": {"tensor": "sound", "layout": "BMT", "shape": [-1, 8, 40]}}, "mel.shape"),
        ({"mel": {"tensor": "face", "layout": "BTM", "shape": [-1, 8, 40]}}, "two inputs have one tensor"),
        ({"face": {"mask_from": 1.5}}, "face.mask_from"),
        ({"face": {"pad_left": float("nan")}}, "face.pad_left"),
        ({"paste": {"centre_y": 0.9}}, "half_height"),
        ({"speech": told()["speech"] | {"window": 600}}, "window is longer"),
        ({"speech": told()["speech"] | {"sample_rate": 44100}}, "speech.sample_rate"),
        ({"output": told()["output"] | {"shape": [-1, 64, 48, 4]}}, "4 channels"),
        ({"output": told()["output"] | {"shape": [-1, 32, 48, 3]}}, "beside pictures"),
        ({"output": told()["output"] | {"dtype": "uint8"}}, "uint8 goes from 0 to 255"),
        ({"output": told()["output"] | {"range": [1, 0]}}, "output.range"),
        ({"pictures": []}, "pictures"),
    ],
)  # fmt: skip
def test_every_fault_names_its_field(change: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInputError, match="the card is not right") as caught:
        card_of(told(**change))
    assert words in caught.value.message
    assert caught.value.field.startswith("card")


def test_a_card_is_read_from_toml_and_a_name_can_be_given(tmp_path: Path) -> None:
    path = tmp_path / "card.toml"
    path.write_text("name = 'x'\n[speech]\n")
    with pytest.raises(InvalidInputError, match="licence: Field required"):
        read_card(path, name="other")
    path.write_text("name = [")
    with pytest.raises(InvalidInputError, match="is not TOML"):
        read_card(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidInputError, match="is not text"):
        read_card(path)
    path.write_text("#" * 100_000)
    with pytest.raises(LimitExceededError, match="longer than a card"):
        read_card(path)
    with pytest.raises(InvalidInputError, match="cannot be read"):
        read_card(tmp_path / "none.toml")
