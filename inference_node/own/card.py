"""The card of a network: everything that must be known of it to use it as an engine.

A card is TOML where a person writes it and JSON where the node reads it back; the fields are the same. One stands whole
in README, "Your own network".
"""

import json
import tomllib
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from inference_node.engine.port import EngineCard, Patch
from shared.errors import InvalidInputError, LimitExceededError

MAX_CARD_BYTES: Final = 64 << 10
NAME_PATTERN: Final = r"^[a-z][a-z0-9_-]{0,47}$"
CARD_FILE: Final = "card.json"
MODEL_PREFIX: Final = "own-"
CHANNELS: Final = 3

_CROP_SCALE: Final = 1.6
_SMALL_FACE: Final = 160
"""Networks up to this size are served by the crop of the engine that comes with viseme, and share it."""
_PATCH: Final = (0.15, 0.375, 0.7, 0.6)
"""Of the crop: the lower face wherever the head turns; left, top, width, height."""

TensorName = Annotated[str, Field(min_length=1, max_length=128)]
Size = Annotated[int, Field(ge=16, le=1024)]
Range = tuple[float, float]
Line = Annotated[str, Field(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class PictureTensor(_Part):
    """A tensor of pictures; ``shape`` includes the batch, which is -1 or 1."""

    tensor: TensorName
    dtype: Literal["float32", "float16", "uint8"] = "float32"
    layout: Literal["BCHW", "BHWC"]
    shape: tuple[int, int, int, int]
    colour: Literal["rgb", "bgr"]
    range: Range
    """The values of black and white."""

    @field_validator("range")
    @classmethod
    def _rises(cls, value: Range) -> Range:
        if value[0] >= value[1]:
            raise ValueError("the first value must be below the second")
        return value

    @field_validator("shape")
    @classmethod
    def _has_batch(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if value[0] not in {-1, 1} or min(value[1:]) < 1:
            raise ValueError("the batch comes first and is -1 or 1; every other size is a whole number from 1")
        return value

    @property
    def channels(self) -> int:
        """Channels of the tensor."""
        return self.shape[1 if self.layout == "BCHW" else 3]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.shape[2:] if self.layout == "BCHW" else self.shape[1:3]


class PictureInput(PictureTensor):
    """An input of pictures, stacked along the channels.

    ``frame`` is the face in the frame, ``masked`` the same with the mouth hidden, ``reference`` another frame of it.
    """

    pictures: Annotated[tuple[Literal["frame", "masked", "reference"], ...], Field(min_length=1, max_length=8)]


class MelInput(_Part):
    """The input that hears: T rows in time, M mel bands; ``shape`` includes the batch, which is -1 or 1."""

    tensor: TensorName
    dtype: Literal["float32", "float16"] = "float32"
    layout: Literal["BTM", "BMT", "B1TM", "B1MT"]
    shape: Annotated[tuple[int, ...], Field(min_length=3, max_length=4)]


class SpeechRule(_Part):
    """From sound to mel rows, and which rows a frame gets."""

    sample_rate: Literal[16000] = 16_000
    n_fft: Annotated[int, Field(ge=64, le=4096)]
    window: Annotated[int, Field(ge=16, le=4096)]
    """Samples under the Hann window."""
    hop: Annotated[int, Field(ge=20, le=4096)]
    bands: Annotated[int, Field(ge=1, le=256)]
    low_hz: Annotated[float, Field(ge=0)]
    high_hz: Annotated[float, Field(le=8000)]
    scale: Literal["slaney", "htk"] = "slaney"
    equal_area: bool = True
    """Whether each band's filter is divided by its width."""
    power: Literal[1, 2] = 1
    """1: bands of the magnitude; 2: of its square."""
    preemphasis: Annotated[float, Field(ge=0, lt=1)] = 0.0
    levels: Literal["db", "ln"] = "db"
    """``db``: decibels over ``reference_db``, ``floor_db`` to 0 spread over ``range``; ``ln``: natural logarithms."""
    reference_db: Annotated[float, Field(ge=-200, le=200)] = 20.0
    floor_db: Annotated[float, Field(ge=-200, lt=0)] = -100.0
    range: Range = (-4.0, 4.0)
    rows: Annotated[int, Field(ge=1, le=512)]
    """Rows that a frame gets."""
    offset_ms: Annotated[float, Field(ge=-2000, le=2000)] = 0.0
    """Where the first of them lies, from the frame's time."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.window > self.n_fft:
            raise ValueError("window is longer than n_fft")
        if self.low_hz >= self.high_hz:
            raise ValueError("low_hz is not below high_hz")
        if self.range[0] >= self.range[1]:
            raise ValueError("range does not rise")
        return self

    @property
    def rows_per_second(self) -> float:
        """How many rows a second of speech has."""
        return self.sample_rate / self.hop


class FaceRule(_Part):
    """The tight box around the face, made of its landmarks, and what of it is hidden from the network.

    The pads are shares of the box's own width or height.
    """

    pad_left: Annotated[float, Field(ge=-0.25, le=0.5)] = 0.0
    pad_right: Annotated[float, Field(ge=-0.25, le=0.5)] = 0.0
    pad_top: Annotated[float, Field(ge=-0.25, le=0.5)] = 0.0
    pad_bottom: Annotated[float, Field(ge=-0.25, le=0.5)] = 0.0
    square: bool = False
    """Whether the shorter side is made as long as the longer."""
    mask_from: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """The ``masked`` picture is black from here down; a share of the height."""


class PasteRule(_Part):
    """The soft ellipse that is put back; centre and half axes are shares of the box."""

    centre_x: Annotated[float, Field(gt=0, lt=1)] = 0.5
    centre_y: Annotated[float, Field(gt=0, lt=1)] = 0.73
    half_width: Annotated[float, Field(gt=0, le=0.5)] = 0.44
    half_height: Annotated[float, Field(gt=0, le=0.5)] = 0.26
    feather: Annotated[float, Field(gt=0, le=1)] = 0.3
    keep_colour: bool = True
    """Whether the painted face gets the colour that the frame's has just above the mask."""

    @model_validator(mode="after")
    def _inside(self) -> Self:
        for centre, half, name in (
            (self.centre_x, self.half_width, "half_width"),
            (self.centre_y, self.half_height, "half_height"),
        ):
            if centre - half < 0 or centre + half > 1:
                raise ValueError(f"{name} reaches beyond the face's box")
        return self


class NetworkCard(_Part):
    """A network of a user's own."""

    format: Literal[1] = 1
    name: Annotated[str, Field(pattern=NAME_PATTERN)]
    summary: Line = "A network of your own"
    licence: Line
    frame_rate: Annotated[float, Field(gt=0, le=240)] = 25.0
    """Frames a second of what it was trained on."""
    batch: Annotated[int, Field(ge=1, le=64)] = 16
    """Frames that it takes at once at most."""
    source: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")] = ""
    """SHA-256 of the file that was imported; the import writes it."""
    network: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")] = ""
    """SHA-256 of the network that Triton serves; the import writes it."""
    crop_px: Annotated[int | None, Field(ge=128, le=640, multiple_of=16)] = None
    """Side of the crops that edges send; by default what goes with the network's size."""
    pictures: Annotated[tuple[PictureInput, ...], Field(min_length=1, max_length=4)]
    mel: MelInput
    speech: SpeechRule
    output: PictureTensor
    face: FaceRule = FaceRule()
    paste: PasteRule = PasteRule()

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        for number, picture in enumerate(self.pictures):
            _check_picture(picture, f"pictures.{number}", CHANNELS * len(picture.pictures), self.pictures[0].size)
        _check_picture(self.output, "output", CHANNELS, self.pictures[0].size)
        sizes = {"T": self.speech.rows, "M": self.speech.bands, "1": 1}
        wanted = [sizes[axis] for axis in self.mel.layout[1:]]
        if list(self.mel.shape[1:]) != wanted or self.mel.shape[0] not in {-1, 1}:
            raise ValueError(
                f"mel.shape: {list(self.mel.shape)} is not {[-1, *wanted]} (mel.layout, speech.rows, speech.bands)"
            )
        names = [*(picture.tensor for picture in self.pictures), self.mel.tensor]
        if len(set(names)) < len(names):
            raise ValueError(f"two inputs have one tensor: {', '.join(names)}")
        return self

    @property
    def model(self) -> str:
        """What Triton knows it by: never the name of a network that comes with viseme."""
        return f"{MODEL_PREFIX}{self.name}"

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the faces that the network sees and paints."""
        return self.pictures[0].size

    @property
    def wants_reference(self) -> bool:
        """Whether the network is shown another frame of the face."""
        return any("reference" in picture.pictures for picture in self.pictures)

    @property
    def crop_side(self) -> int:
        """Side of the crops in pixels."""
        if self.crop_px is not None:
            return self.crop_px
        return 320 if max(self.size) <= _SMALL_FACE else 448

    def engine_card(self, digest: str) -> EngineCard:
        """What an edge is told of the engine; ``digest`` tells it from others that had its name."""
        side = self.crop_side
        x, y, width, height = (2 * round(share * side / 2) for share in _PATCH)
        return EngineCard(
            name=self.name,
            summary=self.summary,
            crop_px=side,
            crop_scale=_CROP_SCALE,
            patch=Patch(x=x, y=y, width=width, height=height),
            models=(self.model,),
            digest=digest,
        )


def _check_picture(tensor: PictureTensor, name: str, channels: int, size: tuple[int, int]) -> None:
    if tensor.channels != channels:
        raise ValueError(f"{name}.shape: it has {tensor.channels} channels, and its pictures have {channels}")
    if tensor.size != size:
        raise ValueError(f"{name}.shape: pictures of {tensor.size} beside pictures of {size}")
    if not all(16 <= side <= 1024 for side in tensor.size):
        raise ValueError(f"{name}.shape: pictures are from 16 to 1024 pixels a side")
    if tensor.dtype == "uint8" and tensor.range != (0, 255):
        raise ValueError(f"{name}.range: uint8 goes from 0 to 255")


def read_card(path: Path, *, name: str | None = None) -> NetworkCard:
    """Read a card that a person wrote.

    Args:
        path: The TOML file.
        name: A name that counts instead of the card's.

    Raises:
        InvalidInputError: it is not right; every fault is told with its field.
    """
    text = _read_text(path)
    try:
        told: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidInputError(f"{path.name} is not TOML: {error}", field="card") from error
    if name is not None:
        told["name"] = name
    return card_of(told)


def read_stored(path: Path) -> NetworkCard:
    """Read a card that an import wrote.

    Raises:
        InvalidInputError: it is not one.
    """
    try:
        told = json.loads(_read_text(path))
    except ValueError as error:
        raise InvalidInputError(f"{path} is not JSON: {error}", field="card") from error
    return card_of(told)


def card_of(told: object) -> NetworkCard:
    """Check what was read.

    Raises:
        InvalidInputError: with every fault and its field.
    """
    try:
        return NetworkCard.model_validate_json(json.dumps(told, default=str))
    except ValidationError as error:
        faults = [_fault(fault["loc"], fault["msg"]) for fault in error.errors(include_url=False)]
        first = error.errors(include_url=False)[0]["loc"]
        field = ".".join(["card", *map(str, first)])
        raise InvalidInputError("the card is not right:\n  " + "\n  ".join(faults[:20]), field=field) from error


def _fault(place: tuple[int | str, ...], words: str) -> str:
    where = ".".join(map(str, place))
    said = words.removeprefix("Value error, ")
    return f"{where}: {said}" if where else said


def _read_text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_CARD_BYTES + 1)
        text = data.decode()
    except OSError as error:
        raise InvalidInputError(f"{path} cannot be read: {error.strerror}", field="card") from error
    except UnicodeDecodeError as error:
        raise InvalidInputError(f"{path} is not text", field="card") from error
    if len(data) > MAX_CARD_BYTES:
        raise LimitExceededError(f"{path} is longer than a card may be", field="card", limit="MAX_CARD_BYTES")
    return text
