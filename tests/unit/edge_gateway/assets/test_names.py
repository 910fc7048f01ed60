"""Names of files: safe to show, and safe as files."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_gateway.assets.asset import display_name, file_name


@pytest.mark.parametrize(
    ("given_name", "shown"),
    [
        ("../../etc/passwd", "passwd"),
        ("..\\..\\boot.ini", "boot.ini"),
        ("..", ".."),
        ("photo\u202egpj.exe", "photogpj.exe"),
        ("\u200fme\u200e\u2066.mp4\u2069", "me.mp4"),
        ("a\x00b\nc\ud800.mp4", "a b c .mp4"),
        ("סרטון 好.mp4", "סרטון 好.mp4"),
        ("x" * 4000, "x" * 200),
        ("x" * 4000 + ".mp4", "x" * 196 + ".mp4"),
    ],
)
def test_a_name_is_safe_to_show(given_name: str, shown: str) -> None:
    assert display_name(given_name) == shown


@pytest.mark.parametrize(
    ("given_name", "file"),
    [
        ("clip-dubbed.mp4", "clip-dubbed.mp4"),
        ("../../a.mp4", "a.mp4"),
        ("..", "else.mp4"),
        ("", "else.mp4"),
        (".mp4", "mp4"),
        ("???", "else.mp4"),
        ('a:b*"c"?.mp4', "a_b__c__.mp4"),
        ("con.mp4", "_con.mp4"),
        ("LPT1", "_LPT1"),
        ("name. . ", "name"),
        ("好" * 100 + ".mp4", "好" * 58 + ".mp4"),
    ],
)
def test_a_name_is_one_that_every_system_takes(given_name: str, file: str) -> None:
    assert file_name(given_name, "else.mp4") == file


@given(st.text(max_size=400))
def test_any_name_becomes_a_safe_one(text: str) -> None:
    shown, file = display_name(text), file_name(text, "else.mp4")
    assert len(shown) <= 200
    assert all(letter.isprintable() and letter not in "/\\" for letter in shown + file)
    assert not any(unicodedata.bidirectional(letter) in {"RLO", "LRO", "RLE", "LRE", "RLI", "LRI"} for letter in shown)
    assert 0 < len(file.encode()) <= 180
    assert not file.startswith(".")
    assert not file.endswith((".", " "))
    assert not set(file) & set('<>:"/\\|?*')
    assert file_name(file, "else.mp4") == file
