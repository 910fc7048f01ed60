"""How operators name libraries, and that no key is ever shown."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from edge_gateway.library.setting import LibrarySetting
from edge_gateway.settings import EdgeSettings
from shared.errors import InvalidInputError
from shared.settings import load


def libraries(
    *argv: str, environ: Mapping[str, str] | None = None, config: Path | None = None
) -> tuple[LibrarySetting, ...]:
    flags = [*(["--config", str(config)] if config else []), *argv]
    return load(EdgeSettings, program="viseme-edge", prefix="VISEME_EDGE_", argv=flags, environ=environ or {}).library


def test_flags_and_variables_name_folders_and_buckets() -> None:
    flags = libraries("--library", "teachers=/srv/clips", "--library", "stock=s3://bucket/a/prefix")
    assert [(one.name, one.url) for one in flags] == [("teachers", "/srv/clips"), ("stock", "s3://bucket/a/prefix")]
    named = libraries(environ={"VISEME_EDGE_LIBRARY": "teachers=/srv/clips, stock=s3://bucket/a/prefix"})
    assert named == flags


def test_a_file_names_them_with_a_store_of_their_own(tmp_path: Path) -> None:
    config = tmp_path / "edge.toml"
    config.write_text(
        '[library]\nteachers = "/srv/clips"\n'
        '[library.stock]\nurl = "s3://bucket"\nendpoint = "https://s3.example.org"\n'
        'access_key_id = "AKIA1"\nsecret_access_key = "hush"\n'
    )
    teachers, stock = libraries(config=config)
    assert (teachers.url, stock.endpoint) == ("/srv/clips", "https://s3.example.org")
    assert stock.secret_access_key.get_secret_value() == "hush"
    assert "hush" not in repr(stock)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("/srv/clips", "NAME=FOLDER"),
        ("Teachers=/srv/clips", "a-z, 0-9 and -"),
        ("-a=/srv/clips", "a-z, 0-9 and -"),
        ("a=srv/clips", "whole path"),
        ("a=", "whole path"),
        ("a=s3://", "bucket's name"),
        ("a=s3://key:hush@bucket", "bucket's name"),
        ("a=gs://bucket", "folder or an s3:// bucket"),
    ],
)
def test_what_is_no_library_is_refused(given: str, words: str) -> None:
    with pytest.raises(InvalidInputError, match=words) as refused:
        libraries(f"--library={given}")
    assert "hush" not in str(refused.value)


def test_two_of_one_name_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="two libraries are called a"):
        libraries("--library", "a=/srv/a", "--library", "a=/srv/b")


@pytest.mark.parametrize(
    "line", ['secret_acces_key = "hush"', 'secret_access_key = "hush"', 'secret_access_key = ["hush"]']
)
def test_a_key_does_not_show_in_what_is_said_about_a_fault(tmp_path: Path, line: str) -> None:
    config = tmp_path / "edge.toml"
    config.write_text(f'[library.stock]\nurl = "s3://bucket"\n{line}\n')
    with pytest.raises(InvalidInputError) as refused:
        libraries(config=config)
    assert "hush" not in str(refused.value)
    assert "library" in str(refused.value)
