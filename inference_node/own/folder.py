"""The folder of imported networks: a model repository of Triton's with a card in each model's folder.

What is in it is complete: an import is made aside and renamed into its place, a removal renamed out of it.
"""

import errno
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from inference_node.own.card import CARD_FILE, MODEL_PREFIX, NetworkCard, read_stored
from shared.errors import (
    ConflictError,
    DiskFullError,
    InternalError,
    InvalidInputError,
    LimitExceededError,
    NotFoundError,
)
from shared.lock import locked

NETWORK_FILE: Final = "model.onnx"
VERSION_FOLDER: Final = "1"
MAX_NETWORKS: Final = 64
"""Networks in one folder."""

_PART: Final = ".part-"
_GONE: Final = ".gone-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A network in the folder; ``digest`` is that of its card, which names its files' digests."""

    card: NetworkCard
    digest: str
    folder: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """Something in the folder that is no network, and why."""

    folder: Path
    words: str


def make_folder(folder: Path) -> None:
    """Make the folder where it is not there.

    Raises:
        InvalidInputError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidInputError(f"{folder} cannot be used: {error.strerror}", field="models") from error


def look(folder: Path) -> tuple[dict[str, Stored], list[Broken]]:
    """What is in the folder, by name.

    Raises:
        InvalidInputError: the folder cannot be read.
    """
    found: dict[str, Stored] = {}
    broken: list[Broken] = []
    for place in _places(folder):
        try:
            one = _read(place)
        except InvalidInputError as error:
            broken.append(Broken(folder=place, words=error.message))
            continue
        if len(found) == MAX_NETWORKS:
            broken.append(Broken(folder=place, words=f"more than {MAX_NETWORKS} networks (MAX_NETWORKS)"))
        else:
            found[one.card.name] = one
    return found, broken


@contextmanager
def being_made(folder: Path) -> Iterator[Path]:
    """A place aside in which a network is made; nothing of it stays unless :func:`publish` has taken it.

    Raises:
        ConflictError: another import or removal is at work.
        InvalidInputError: the folder cannot be written.
    """
    with _alone(folder):
        place = folder / f"{_PART}{secrets.token_hex(4)}"
        place.mkdir()
        try:
            yield place
        finally:
            shutil.rmtree(place, ignore_errors=True)


def publish(place: Path, card: NetworkCard, folder: Path) -> Stored:
    """Put a network that was made aside into its place, whole or not at all.

    Raises:
        ConflictError: there is one of its name.
        DiskFullError: the disk has no room.
    """
    target = folder / card.model
    with _writing():
        (place / CARD_FILE).write_text(json.dumps(card.model_dump(mode="json"), indent=1) + "\n")
        for path in [*place.rglob("*"), place]:
            _sync(path)
        try:
            place.rename(target)
        except OSError as error:
            if error.errno in {errno.ENOTEMPTY, errno.EEXIST}:
                raise _taken(card.name) from error
            raise
        _sync(folder)
    return _read(target)


def check_free(name: str, folder: Path) -> None:
    """Refuse a name that is taken, or one network too many.

    Raises:
        ConflictError: there is one of this name.
        LimitExceededError: the folder has as many as it may.
    """
    places = _places(folder)
    if any(place.name == MODEL_PREFIX + name for place in places):
        raise _taken(name)
    if len(places) >= MAX_NETWORKS:
        raise LimitExceededError(f"there are {MAX_NETWORKS} networks; remove one", field="models", limit="MAX_NETWORKS")


def remove(name: str, folder: Path) -> None:
    """Take a network out of the folder.

    Raises:
        NotFoundError: there is none of this name.
    """
    place = folder / (MODEL_PREFIX + name)
    if place not in _places(folder):
        raise NotFoundError(f"there is no network {name[:64]!r} of yours in {folder}", field="name")
    with _alone(folder), _writing():
        gone = folder / f"{_GONE}{secrets.token_hex(4)}"
        place.rename(gone)
        shutil.rmtree(gone)


def file_digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _places(folder: Path) -> list[Path]:
    try:
        return sorted(place for place in folder.glob(f"{MODEL_PREFIX}*") if place.is_dir())
    except OSError as error:
        raise InvalidInputError(f"{folder} cannot be read: {error.strerror}", field="models") from error


def _read(place: Path) -> Stored:
    card = read_stored(place / CARD_FILE)
    if card.model != place.name:
        raise InvalidInputError(f"its card calls it {card.name}", field="card")
    if not (place / VERSION_FOLDER / NETWORK_FILE).is_file():
        raise InvalidInputError(f"{VERSION_FOLDER}/{NETWORK_FILE} is missing", field="network")
    told = json.dumps(card.model_dump(mode="json"), sort_keys=True)
    return Stored(card=card, digest=hashlib.sha256(told.encode()).hexdigest(), folder=place)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep others from importing and removing, and sweep what an import that was killed left behind."""
    with locked(folder):
        for leftover in [*folder.glob(f"{_PART}*"), *folder.glob(f"{_GONE}*")]:
            shutil.rmtree(leftover, ignore_errors=True)
        yield


@contextmanager
def _writing() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise DiskFullError("there is no room for the network", field="models") from error
        raise InternalError(f"the network cannot be written: {error.strerror}", field="models") from error


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _taken(name: str) -> ConflictError:
    return ConflictError(
        f"there is a network {name!r} already; `viseme engines remove {name}` first, or choose another --name",
        field="name",
    )
