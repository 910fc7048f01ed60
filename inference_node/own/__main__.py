"""``python -m inference_node.own``: imports, shows and removes networks; ``viseme engines`` runs it.

It answers with one line of JSON: ``{"networks": [...]}``, or ``{"error": {"reason", "message", "field", "limit"}}``.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from inference_node.engine.local import NoTensors
from inference_node.engine.registry import DEFAULT_ENGINE, MODEL_REPOSITORY, builtin_engines
from inference_node.own.confined import ImportLimits
from inference_node.own.folder import Broken, Stored, file_digest, look, remove
from inference_node.own.importing import import_onnx, import_wav2lip
from shared.errors import NotFoundError, VisemeError

_SHIPPED_LICENCE = "Apache-2.0"
_DEFAULTS = ImportLimits()


def main() -> None:
    """Do what the arguments say."""
    arguments = _parser().parse_args()
    try:
        answer = _answer(arguments)
    except VisemeError as error:
        told = {"reason": error.reason, "message": error.message, "field": error.field, "limit": error.limit}
        sys.stdout.write(json.dumps({"error": told}) + "\n")
        sys.exit(1)
    sys.stdout.write(json.dumps(answer) + "\n")


def _answer(arguments: argparse.Namespace) -> dict[str, Any]:
    folder: Path = arguments.models
    limits = ImportLimits(
        file_bytes=arguments.max_file_bytes, memory_bytes=arguments.max_memory_bytes, seconds=arguments.max_seconds
    )
    match arguments.command:
        case "import-wav2lip":
            stored = import_wav2lip(
                arguments.file, folder, name=arguments.name, licence=arguments.licence or "", limits=limits
            )
            return {"networks": [_own(stored)]}
        case "import-onnx":
            stored = import_onnx(arguments.file, arguments.card, folder, name=arguments.name, limits=limits)
            return {"networks": [_own(stored)]}
        case "remove":
            remove(arguments.name, folder)
            return {"networks": []}
        case "show":
            return {"networks": [_show(arguments.name, folder)]}
        case _:
            found, broken = look(folder)
            own = [_own(one) for _, one in sorted(found.items())]
            return {"networks": [*_shipped(), *own, *(_faulty(one) for one in broken)]}


def _show(name: str, folder: Path) -> dict[str, Any]:
    found, _ = look(folder)
    if name in found:
        return {**_own(found[name]), "card": found[name].card.model_dump(mode="json")}
    for told in _shipped():
        if told["name"] == name:
            return told
    raise NotFoundError(f"there is no engine {name[:64]!r} here; there are: {', '.join(_names(folder))}", field="name")


def _names(folder: Path) -> list[str]:
    return [*(told["name"] for told in _shipped()), *sorted(look(folder)[0])]


def _shipped() -> list[dict[str, Any]]:
    engines = [make(NoTensors()) for make in builtin_engines().values()]
    return [
        {
            "name": engine.card.name,
            "own": False,
            "default": engine.card.name == DEFAULT_ENGINE,
            "summary": engine.card.summary,
            "crop_px": engine.card.crop_px,
            "frame_rate": None,
            "source": file_digest(MODEL_REPOSITORY / engine.card.models[-1] / "1" / "model.onnx"),
            "licence": _SHIPPED_LICENCE,
        }
        for engine in engines
    ]


def _own(stored: Stored) -> dict[str, Any]:
    card = stored.card
    return {
        "name": card.name,
        "own": True,
        "default": False,
        "summary": card.summary,
        "crop_px": card.crop_side,
        "size": list(card.size),
        "frame_rate": card.frame_rate,
        "source": card.source,
        "licence": card.licence,
        "folder": str(stored.folder),
    }


def _faulty(broken: Broken) -> dict[str, Any]:
    return {
        "name": broken.folder.name,
        "own": True,
        "default": False,
        "fault": broken.words,
        "folder": str(broken.folder),
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m inference_node.own", description="Networks of your own.")
    parser.add_argument("--models", type=Path, required=True, help="the folder that they are kept in")
    parser.add_argument("--max-file-bytes", type=int, default=_DEFAULTS.file_bytes, help="default: %(default)s")
    parser.add_argument("--max-memory-bytes", type=int, default=_DEFAULTS.memory_bytes, help="default: %(default)s")
    parser.add_argument("--max-seconds", type=float, default=_DEFAULTS.seconds, help="default: %(default)s")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list")
    for command in ("show", "remove"):
        commands.add_parser(command).add_argument("name")
    for command in ("import-wav2lip", "import-onnx"):
        adding = commands.add_parser(command)
        adding.add_argument("file", type=Path)
        adding.add_argument("--name")
        if command == "import-onnx":
            adding.add_argument("--card", type=Path, required=True)
        else:
            adding.add_argument("--licence")
    return parser


if __name__ == "__main__":
    main()
