"""The tensors of a PyTorch checkpoint. Weights only: nothing in the file is ever run."""

import pickle
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

from shared.errors import InvalidInputError, LimitExceededError

MAX_TENSORS: Final = 4096

_WRAPPERS: Final = ("state_dict", "model_state_dict", "model")
_PREFIX: Final = "module."
_LEGACY: Final = b"\x80\x02"
"""What files of torch before 1.6 begin with; later ones are ZIP archives."""
_BROKEN: Final = (
    RuntimeError,
    OSError,
    EOFError,
    ValueError,
    KeyError,
    IndexError,
    TypeError,
    AttributeError,
    OverflowError,
    AssertionError,
    ImportError,
    struct.error,
)
"""What torch is seen to raise of files that are not what they seem; here, where its words end."""


def read_tensors(path: Path, *, limit_bytes: int) -> dict[str, npt.NDArray[np.generic]]:
    """Read a checkpoint: a state dict, bare or wrapped, with or without the prefix of parallel training.

    Args:
        path: The file.
        limit_bytes: What it may have, unpacked.

    Raises:
        InvalidInputError: it is no checkpoint, or holds something else than weights; says what.
        LimitExceededError: it is too large.
    """
    _check_container(path, limit_bytes)
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InvalidInputError(
            f"{path.name} holds code or objects beside weights, and those are never loaded ({_first_line(error)}); "
            "save its state_dict alone",
            field="checkpoint",
        ) from error
    except _BROKEN as error:
        raise _broken(path, _first_line(error)) from error
    state = _unwrapped(found)
    if len(state) > MAX_TENSORS:
        message = f"the checkpoint has {len(state)} tensors, at most {MAX_TENSORS} are read"
        raise LimitExceededError(message, field="checkpoint", limit="max_tensors")
    if any(name.startswith(_PREFIX) for name in state):
        state = {name.removeprefix(_PREFIX): value for name, value in state.items()}
    total = sum(value.numel() * value.element_size() for value in state.values())
    if total > limit_bytes:
        # Tensors may share one storage and still be many times its size.
        message = f"its tensors have {total} bytes, at most {limit_bytes} are read"
        raise LimitExceededError(message, field="checkpoint", limit="file_bytes")
    return {name: _array(name, value) for name, value in state.items()}


def _check_container(path: Path, limit_bytes: int) -> None:
    """Look at a file before torch does."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(2)
    except OSError as error:
        raise InvalidInputError(f"{path.name} cannot be read: {error.strerror}", field="checkpoint") from error
    if size > limit_bytes:
        message = f"{path.name} has {size} bytes, at most {limit_bytes} are read"
        raise LimitExceededError(message, field="checkpoint", limit="file_bytes")
    if not zipfile.is_zipfile(path):
        if head != _LEGACY:
            raise _broken(path, "it begins like neither form that torch writes")
        return
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise _broken(path, "its archive is damaged") from error
    if any(entry.filename.endswith("/constants.pkl") for entry in entries):
        raise InvalidInputError(
            f"{path.name} is a TorchScript archive, which holds code; give the checkpoint that it was made from",
            field="checkpoint",
        )
    unpacked = sum(entry.file_size for entry in entries)
    if unpacked > limit_bytes or any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise LimitExceededError(
            f"{path.name} is a packed archive of {unpacked} bytes; torch writes its checkpoints unpacked",
            field="checkpoint",
            limit="file_bytes",
        )


def _unwrapped(found: Any) -> dict[str, torch.Tensor]:
    for key in _WRAPPERS:
        if isinstance(found, Mapping) and isinstance(found.get(key), Mapping):
            found = found[key]
    if not isinstance(found, Mapping) or not found:
        raise InvalidInputError(f"the checkpoint holds a {type(found).__name__} and no state dict", field="checkpoint")
    odd = [str(name)[:80] for name, value in found.items() if not isinstance(value, torch.Tensor)]
    if odd:
        raise InvalidInputError(
            f"the checkpoint's state dict holds what is no tensor: {', '.join(odd[:6])}", field="checkpoint"
        )
    return {str(name): value for name, value in found.items()}


def _array(name: str, value: torch.Tensor) -> npt.NDArray[np.generic]:
    if value.layout is not torch.strided or value.is_complex() or value.is_quantized or value.device.type != "cpu":
        raise InvalidInputError(f"{name[:80]} is a tensor of an unusual kind", field="checkpoint")
    plain: npt.NDArray[np.generic] = value.detach().to(torch.float32).contiguous().numpy()
    return plain


def _broken(path: Path, words: str) -> InvalidInputError:
    return InvalidInputError(f"{path.name} is no PyTorch checkpoint, or a damaged one ({words})", field="checkpoint")


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
