"""What clients ask in JSON, read and checked; and how requests are read at all.

The models are also what the OpenAPI document says of bodies. A body has at most ``request_body_bytes`` bytes, has no
fields but those that are known, and nothing in it is converted: ``"1"`` is no number.
"""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Final, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError
from starlette.requests import ClientDisconnect, Request

from edge_gateway.face import speaker as speakers
from edge_gateway.jobs import job as jobs
from edge_gateway.paging import PAGE_LARGEST
from edge_gateway.web.limits import WebLimits
from shared.errors import DeadlineError, InvalidInputError, LimitExceededError
from shared.media.timeline import FitMode

KEY_HEADER: Final = "Idempotency-Key"
"""The header by which the same request, sent again, does nothing again."""

_SECONDS = 1e7
_BYTES = 1 << 53


class Ask(BaseModel):
    """Anything that is asked."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True)


M = TypeVar("M", bound=Ask)


_FILE: Final[dict[str, JsonValue]] = {"pattern": "^([0-9a-f]{64}|upload:[0-9a-f]{32}|lib:.+)$"}
"""What a file is named by; for the document, since the domain says in better words what is wrong with another."""


def _most(count: int) -> dict[str, JsonValue]:
    """How many there may be; for the document as well, since the domain names the limit."""
    return {"maxItems": count}


class PlaceAsk(Ask):
    """Where a face is at a time: a box by its corner, or a point where width and height are 0."""

    time_s: float = Field(default=0.0, ge=0, le=_SECONDS, allow_inf_nan=False)
    x: float = Field(allow_inf_nan=False)
    """Pixels of the displayed frame, or shares of it where no number of the place is greater than 1."""
    y: float = Field(allow_inf_nan=False)
    width: float = Field(default=0.0, allow_inf_nan=False)
    height: float = Field(default=0.0, allow_inf_nan=False)

    def read(self) -> speakers.Place:
        """The place."""
        return speakers.Place(
            time_us=round(self.time_s * 1e6), x=self.x, y=self.y, width=self.width, height=self.height
        )


class SpeakerAsk(Ask):
    """Which face speaks: by a position or by places; the largest where there is neither."""

    position: Literal["left", "right", "center", "largest"] | None = None
    places: list[PlaceAsk] = Field(default_factory=list, json_schema_extra=_most(speakers.MOST_PLACES))

    def read(self) -> speakers.Speaker:
        """The speaker."""
        position = None if self.position is None else speakers.Position(self.position)
        return speakers.Speaker(position=position, places=tuple(place.read() for place in self.places))


class VoiceAsk(Ask):
    """A further face that speaks."""

    name: str
    speech: str = Field(json_schema_extra=_FILE)
    """The speech: an asset's id, ``upload:`` and an upload's id, or ``lib:`` and a name."""
    speaker: SpeakerAsk = Field(default_factory=SpeakerAsk)

    def read(self) -> speakers.Voice:
        """The voice."""
        return speakers.Voice(name=self.name, speech=self.speech, speaker=self.speaker.read())


class OptionsAsk(Ask):
    """What a job is asked to do beyond its files."""

    fit: Literal["trim", "loop", "bounce", "hold"] = "bounce"
    """What happens where the speech is longer than the video."""
    keep_length: bool = False
    engine: str = ""
    """Empty for the node's default."""
    keep_sound: bool = False
    """Mix the video's own sound under the speech."""
    background_volume: float = Field(default=jobs.BACKGROUND_VOLUME, allow_inf_nan=False)
    speaker: SpeakerAsk = Field(default_factory=SpeakerAsk)
    speaker_name: str = ""
    """What the face is called, where others speak, too."""
    voices: list[VoiceAsk] = Field(default_factory=list, json_schema_extra=_most(speakers.MOST_VOICES - 1))

    def read(self) -> jobs.JobOptions:
        """The options."""
        return jobs.JobOptions(
            fit=FitMode(self.fit),
            keep_length=self.keep_length,
            engine=self.engine,
            keep_sound=self.keep_sound,
            background_volume=self.background_volume,
            speaker=self.speaker.read(),
            speaker_name=self.speaker_name,
            voices=tuple(voice.read() for voice in self.voices),
        )


class JobAsk(Ask):
    """A job that is submitted.

    Each file is an asset's id, ``upload:`` and the id of an upload by tus that need not have ended, or ``lib:`` and a
    name in a library.
    """

    video: str = Field(json_schema_extra=_FILE)
    speech: str = Field(json_schema_extra=_FILE)
    background: str = ""
    """What is mixed under the speech; empty for nothing."""
    options: OptionsAsk = Field(default_factory=OptionsAsk)
    webhook: str = ""
    """Where its end is told; the operator's setting ``webhook_hosts`` must name the host. Empty for nowhere."""
    timeout_s: float = Field(default=0.0, allow_inf_nan=False)
    """Seconds from its acceptance after which it fails; 0 for as long as it takes."""

    def read(self) -> jobs.JobOptions:
        """What it is asked to do beyond its files."""
        return replace(self.options.read(), webhook=self.webhook, timeout_s=self.timeout_s)


class NameAsk(Ask):
    """A file of a library."""

    name: str
    """``lib:LIBRARY/path/in/it``."""


class JobIdsAsk(Ask):
    """Jobs."""

    job_ids: list[Annotated[str, Field(max_length=64)]] = Field(min_length=1)


async def read_body(request: Request, limits: WebLimits) -> bytes:
    """The body of a request.

    Raises:
        LimitExceededError: it has too many bytes.
        DeadlineError: they did not come.
        InvalidInputError: the client went away.
    """
    body = bytearray()
    try:
        async with asyncio.timeout(limits.body_s):
            async for data in request.stream():
                body += data
                if len(body) > limits.body_bytes:
                    message = f"the body has more than {limits.body_bytes} bytes"
                    raise LimitExceededError(message, field="body", limit="request_body_bytes")
    except TimeoutError:
        message = f"the body did not come within {limits.body_s:g} s"
        raise DeadlineError(message, field="body", limit="request_body_s") from None
    except ClientDisconnect:
        raise InvalidInputError("the client went away", field="body") from None
    return bytes(body)


async def read_json(request: Request, model: type[M], limits: WebLimits) -> M:
    """What a request's body asks.

    Raises:
        InvalidInputError: it is no JSON of this shape; names the field.
        LimitExceededError: it has too many bytes.
        DeadlineError: it did not come.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise InvalidInputError("the body is application/json; say so", field="Content-Type")
    try:
        return model.model_validate_json(await read_body(request, limits))
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        field = ".".join(map(str, first["loc"]))[:200]
        raise InvalidInputError(first["msg"], field=field or "body") from None


def read_number(values: Mapping[str, str], name: str, default: int, *, limit: int = _BYTES) -> int:
    """A number in a query.

    Raises:
        InvalidInputError: it is none.
        LimitExceededError: it is greater than ``limit``.
    """
    text = values.get(name)
    if text is None:
        return default
    if not re.fullmatch(r"[0-9]{1,16}", text, re.ASCII):
        raise InvalidInputError(f"{name} is a number of 0 or more", field=name)
    number = int(text)
    if number > limit:
        raise LimitExceededError(f"{name} is at most {limit}", field=name, limit=name)
    return number


def read_page(request: Request) -> tuple[int, str]:
    """The size and the token of the page that is asked for.

    Raises:
        InvalidInputError: the size is no number.
        LimitExceededError: a page has fewer entries.
    """
    asked = request.query_params
    return read_number(asked, "page_size", 0, limit=PAGE_LARGEST), asked.get("page_token", "")


def read_key(request: Request) -> str:
    """The idempotency key of a request; empty where it has none."""
    return request.headers.get(KEY_HEADER, "")
