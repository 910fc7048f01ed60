"""What network a Wav2Lip checkpoint holds, read from the names and shapes of its tensors alone.

The generator has four parts: ``face_encoder_blocks`` halve the face until one pixel is left, ``audio_encoder`` makes
one pixel of the mel window, ``face_decoder_blocks`` double it again, each beside what the encoder saw at that size, and
``output_block`` paints. Shapes tell the widths, how often the face is halved, and so its size; strides are those that
the published network has.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from shared.errors import InvalidInputError

Shapes = Mapping[str, tuple[int, ...]]

SIZES: Final = (96, 128, 192, 256, 288, 384, 512)
"""Sizes of faces for which networks of this kind are made."""
MEL_BANDS: Final = 80
MEL_ROWS: Final = 16

_PUBLISHED: Final = {"face_encoder_blocks": (1, 3, 4, 3, 3, 2, 2), "face_decoder_blocks": (1, 2, 3, 3, 3, 3, 3)}
"""Layers of each block of the network for 96 pixels."""
_AUDIO_STRIDES: Final = {3: (3, 1), 6: (3, 3), 9: (3, 2)}
_AUDIO_LAYERS: Final = 13
_MOST_BLOCKS: Final = 10
_MOST_LAYERS: Final = 12
_NORM: Final = ("weight", "bias", "running_mean", "running_var")
_NAMED: Final = 6
"""So many tensors are named in an error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A convolution with its normalisation and ReLU; ``name`` is what its tensors' names begin with."""

    name: str
    kernel: int
    stride: tuple[int, int] = (1, 1)
    padding: int = 0
    is_transposed: bool = False
    output_padding: int = 0
    is_residual: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Wav2LipPlan:
    """The network of a checkpoint."""

    size: int
    """Side of the faces in pixels."""
    encoder: tuple[tuple[Layer, ...], ...]
    audio: tuple[Layer, ...]
    decoder: tuple[tuple[Layer, ...], ...]
    output: Layer
    """The last layer but one; after it come ``output_block.1`` and a sigmoid."""


def plan_of(shapes: Shapes) -> Wav2LipPlan:
    """Read a checkpoint's tensors.

    Raises:
        InvalidInputError: it is not Wav2Lip's generator; the message says what is missing, too much, or oddly shaped.
    """
    lengths = {part: _lengths(part, shapes) for part in _PUBLISHED}
    _check_names(lengths, shapes)
    halvings = len(lengths["face_encoder_blocks"]) - 2
    smallest = shapes[f"face_encoder_blocks.{halvings + 1}.0.conv_block.0.weight"][-1]
    size = _size(smallest, halvings)
    plan = Wav2LipPlan(
        size=size,
        encoder=tuple(
            _encoder_block(index, count, shapes) for index, count in enumerate(lengths["face_encoder_blocks"])
        ),
        audio=tuple(_audio_layer(index, shapes) for index in range(_AUDIO_LAYERS)),
        decoder=_decoder(lengths["face_decoder_blocks"], _sides(size, halvings), shapes),
        output=_layer("output_block.0", shapes, padding=_kernel("output_block.0", shapes) // 2),
    )
    _check_widths(plan, shapes)
    return plan


def _lengths(part: str, shapes: Shapes) -> tuple[int, ...]:
    """How many layers each block of a part has; never fewer than the published network's."""
    published = _PUBLISHED[part]
    found: dict[int, int] = {}
    for name in shapes:
        if match := re.match(rf"{part}\.(\d{{1,3}})\.(\d{{1,3}})\.", name):
            block, layer = int(match[1]), int(match[2])
            found[block] = max(found.get(block, 0), layer + 1)
    count = max([len(published), *(block + 1 for block in found)])
    if count > _MOST_BLOCKS or max(found.values(), default=0) > _MOST_LAYERS:
        raise _wrong(f"{part} has more blocks or layers than such a network can have")
    if count == len(published):
        return published
    return tuple(found.get(block, 1) for block in range(count))


def _check_names(lengths: Mapping[str, Sequence[int]], shapes: Shapes) -> None:
    names = [
        f"{part}.{block}.{layer}"
        for part, counts in lengths.items()
        for block, n in enumerate(counts)
        for layer in range(n)
    ]
    names += [f"audio_encoder.{index}" for index in range(_AUDIO_LAYERS)] + ["output_block.0"]
    wanted = {f"{name}.conv_block.0.{kind}" for name in names for kind in ("weight", "bias")}
    wanted |= {f"{name}.conv_block.1.{kind}" for name in names for kind in _NORM}
    wanted |= {"output_block.1.weight", "output_block.1.bias"}
    missing = sorted(wanted - shapes.keys())
    extra = sorted(name for name in shapes.keys() - wanted if not name.endswith(".num_batches_tracked"))
    if missing and not wanted & shapes.keys():
        raise _wrong(f"none of its {len(shapes)} tensors is one of such a network; it has {_some(sorted(shapes))}")
    faults = []
    if missing:
        faults.append(f"{len(missing)} of {len(wanted)} tensors are missing: {_some(missing)}")
    if extra:
        faults.append(f"{len(extra)} tensors are none of its: {_some(extra)}")
    if len(lengths["face_encoder_blocks"]) != len(lengths["face_decoder_blocks"]):
        faults.append("it has not as many blocks that decode the face as blocks that encode it")
    if faults:
        raise _wrong("; ".join(faults))


def _size(smallest: int, halvings: int) -> int:
    for size in SIZES:
        if _sides(size, halvings)[-1] == smallest:
            return size
    raise _wrong(
        f"its face_encoder_blocks halve the face {halvings} times down to {smallest} pixels, "
        f"which none of the sizes {', '.join(map(str, SIZES))} gives"
    )


def _sides(size: int, halvings: int) -> list[int]:
    """Sides of what the encoder's blocks give, the single pixel of the last left out."""
    sides = [size]
    for _ in range(halvings):
        sides.append((sides[-1] + 1) // 2)
    return sides


def _encoder_block(index: int, count: int, shapes: Shapes) -> tuple[Layer, ...]:
    part = f"face_encoder_blocks.{index}"
    is_last = f"face_encoder_blocks.{index + 1}.0.conv_block.0.weight" not in shapes
    if is_last:
        return tuple(_layer(f"{part}.{layer}", shapes) for layer in range(count))
    stride = (1, 1) if index == 0 else (2, 2)
    kernel = _kernel(f"{part}.0", shapes)
    first = _layer(f"{part}.0", shapes, stride=stride, padding=kernel // 2)
    return (first, *(_residual(f"{part}.{layer}", shapes) for layer in range(1, count)))


def _audio_layer(index: int, shapes: Shapes) -> Layer:
    name = f"audio_encoder.{index}"
    if index in _AUDIO_STRIDES:
        return _layer(name, shapes, stride=_AUDIO_STRIDES[index], padding=1)
    if index == 0:
        return _layer(name, shapes, padding=1)
    if index >= _AUDIO_LAYERS - 2:
        return _layer(name, shapes)
    return _residual(name, shapes)


def _decoder(lengths: Sequence[int], sides: Sequence[int], shapes: Shapes) -> tuple[tuple[Layer, ...], ...]:
    blocks = []
    for index, count in enumerate(lengths):
        part = f"face_decoder_blocks.{index}"
        if index == 0:
            blocks.append(tuple(_layer(f"{part}.{layer}", shapes) for layer in range(count)))
            continue
        kernel = _kernel(f"{part}.0", shapes)
        if index == 1:
            first = _layer(f"{part}.0", shapes, is_transposed=True)
        else:
            small, large = sides[-index + 1], sides[-index]
            spare = large - ((small - 1) * 2 - 2 * (kernel // 2) + kernel)
            if spare not in {0, 1}:
                raise _wrong(f"{part}.0 has kernels of {kernel}, which do not lead from {small} to {large} pixels")
            first = _layer(
                f"{part}.0", shapes, stride=(2, 2), padding=kernel // 2, is_transposed=True, output_padding=spare
            )
        blocks.append((first, *(_residual(f"{part}.{layer}", shapes) for layer in range(1, count))))
    if blocks[1][0].kernel != sides[-1]:
        raise _wrong(
            f"face_decoder_blocks.1.0 has kernels of {blocks[1][0].kernel}, and the face is {sides[-1]} pixels there"
        )
    return tuple(blocks)


def _residual(name: str, shapes: Shapes) -> Layer:
    return _layer(name, shapes, padding=_kernel(name, shapes) // 2, is_residual=True)


def _layer(
    name: str,
    shapes: Shapes,
    *,
    stride: tuple[int, int] = (1, 1),
    padding: int = 0,
    is_transposed: bool = False,
    output_padding: int = 0,
    is_residual: bool = False,
) -> Layer:
    return Layer(
        name=name,
        kernel=_kernel(name, shapes),
        stride=stride,
        padding=padding,
        is_transposed=is_transposed,
        output_padding=output_padding,
        is_residual=is_residual,
    )


def _kernel(name: str, shapes: Shapes) -> int:
    key = f"{name}.conv_block.0.weight"
    shape = shapes[key]
    if len(shape) != 4 or shape[2] != shape[3] or min(shape) < 1:
        raise _wrong(f"{key} has the shape {list(shape)}, which is no square convolution")
    return shape[2]


def _check_widths(plan: Wav2LipPlan, shapes: Shapes) -> None:
    """Follow the channels through the network: every layer must take what the one before gives."""
    faults = _odd_kernels(plan)
    widths = []
    channels = 6
    for block in plan.encoder:
        for layer in block:
            channels = _follow(layer, channels, shapes, faults)
        widths.append(channels)
    channels = 1
    for layer in plan.audio:
        channels = _follow(layer, channels, shapes, faults)
    for block, beside in zip(plan.decoder, reversed(widths), strict=True):
        for layer in block:
            channels = _follow(layer, channels, shapes, faults)
        channels += beside
    channels = _follow(plan.output, channels, shapes, faults)
    _expect("output_block.1.weight", (3, channels, 1, 1), shapes, faults)
    _expect("output_block.1.bias", (3,), shapes, faults)
    if faults:
        raise _wrong("; ".join(faults[:_NAMED]))


def _odd_kernels(plan: Wav2LipPlan) -> list[str]:
    """Kernels that do not go with the strides of the published network."""
    wanted = [(layer, 3) for layer in plan.audio[:-1]] + [(plan.audio[-1], 1)]
    wanted += [(layer, 1) for layer in (*plan.encoder[-1][1:], *plan.decoder[0])]
    return [
        f"{layer.name}.conv_block.0.weight has kernels of {layer.kernel} where {kernel} belongs"
        for layer, kernel in wanted
        if layer.kernel != kernel
    ]


def _follow(layer: Layer, channels: int, shapes: Shapes, faults: list[str]) -> int:
    key = f"{layer.name}.conv_block.0.weight"
    shape = shapes[key]
    gives = shape[1] if layer.is_transposed else shape[0]
    wanted = (channels, gives) if layer.is_transposed else (gives, channels)
    _expect(key, (*wanted, layer.kernel, layer.kernel), shapes, faults)
    if layer.is_residual and (gives != channels or layer.kernel % 2 == 0):
        faults.append(
            f"{key} has the shape {list(shape)}, and what it gives is added to the {channels} channels it takes"
        )
    for kind in ("conv_block.0.bias", *(f"conv_block.1.{kind}" for kind in _NORM)):
        _expect(f"{layer.name}.{kind}", (gives,), shapes, faults)
    return gives


def _expect(key: str, wanted: tuple[int, ...], shapes: Shapes, faults: list[str]) -> None:
    if shapes[key] != wanted:
        faults.append(f"{key} has the shape {list(shapes[key])} where {list(wanted)} belongs")


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(name[:80] for name in names[:_NAMED]) + more


def _wrong(words: str) -> InvalidInputError:
    return InvalidInputError(f"this is no checkpoint of Wav2Lip's generator: {words}", field="checkpoint")
