"""Imports: a file of the user's becomes a network in the folder, or an error says why not."""

import re
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from inference_node.engine.registry import builtin_engines
from inference_node.own.card import NAME_PATTERN, NetworkCard, card_of, read_card
from inference_node.own.confined import ImportLimits, run_confined
from inference_node.own.folder import Stored, being_made, check_free, publish
from shared.errors import InternalError, InvalidInputError

RESERVED: Final = frozenset({"viseme", "warp"})
"""Names of engines that come with viseme, or will."""

_READING: Final = "inference_node.own.reading"
_NEEDED: Final = {"read_wav2lip": ("onnx", "torch"), "read_onnx": ("onnx",)}


def import_wav2lip(
    path: Path, folder: Path, *, name: str | None, licence: str = "", limits: ImportLimits | None = None
) -> Stored:
    """Import a checkpoint of Wav2Lip's generator.

    Args:
        path: The checkpoint.
        folder: Where networks are kept.
        name: What to call it; by default as the file is called.
        licence: What its makers allow, where it is not one of the published ones.
        limits: What the import may take.

    Raises:
        InvalidInputError: it is no such checkpoint; says why.
        ConflictError: there is a network of this name.
    """
    name = name or re.sub(r"[^a-z0-9_-]+", "-", path.stem.lower()).strip("-")
    _check_name(name)
    return _import("read_wav2lip", path, folder, {"name": name, "licence": licence}, limits or ImportLimits())


def import_onnx(
    path: Path, card_path: Path, folder: Path, *, name: str | None, limits: ImportLimits | None = None
) -> Stored:
    """Import any network.

    Args:
        path: The ONNX file.
        card_path: Its card, a TOML file.
        folder: Where networks are kept.
        name: What to call it; by default as the card says.
        limits: What the import may take.

    Raises:
        InvalidInputError: the card is not right, or the network is not what the card says.
        ConflictError: there is a network of this name.
    """
    card = read_card(card_path, name=name)
    _check_name(card.name)
    arguments = {"name": card.name, "card": card.model_dump(mode="json")}
    return _import("read_onnx", path, folder, arguments, limits or ImportLimits())


def _import(function: str, path: Path, folder: Path, arguments: dict[str, Any], limits: ImportLimits) -> Stored:
    _check_packages(_NEEDED[function])
    if not path.is_file():
        raise InvalidInputError(f"{path} is not a file", field="file")
    check_free(arguments["name"], folder)
    with being_made(folder) as place:
        told = {
            **arguments,
            "path": str(path.absolute()),
            "target": str(place.absolute()),
            "limit_bytes": limits.file_bytes,
        }
        card: NetworkCard = card_of(run_confined(_READING, function, told, limits))
        return publish(place, card, folder)


def _check_name(name: str) -> None:
    if not re.match(NAME_PATTERN, name):
        raise InvalidInputError(
            f"{name[:64]!r} cannot be a network's name: small letters, digits, - and _, a letter first, at most 48; "
            "give --name",
            field="name",
        )
    if name in RESERVED | builtin_engines().keys():
        raise InvalidInputError(f"{name!r} is the name of an engine that comes with viseme; give --name", field="name")


def _check_packages(names: Iterable[str]) -> None:
    missing = [name for name in names if find_spec(name) is None]
    if missing:
        raise InternalError(
            f"importing needs {' and '.join(missing)}, which is not installed here: pip install 'viseme[import]'"
        )
