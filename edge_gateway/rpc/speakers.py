"""Between the public protos and the edge's own words: who speaks."""

from collections.abc import Iterable
from typing import Final

from google.protobuf.duration_pb2 import Duration

from edge_gateway.face.speaker import MOST_PLACES, MOST_VOICES, Place, Position, Speaker, Voice
from shared.errors import InvalidInputError, LimitExceededError
from shared.pb.viseme.gateway.v1 import job_pb2

_POSITIONS: Final = {
    job_pb2.FACE_POSITION_LEFT: Position.LEFT,
    job_pb2.FACE_POSITION_RIGHT: Position.RIGHT,
    job_pb2.FACE_POSITION_CENTER: Position.CENTER,
    job_pb2.FACE_POSITION_LARGEST: Position.LARGEST,
}
_POSITION_VALUES: Final = {position: value for value, position in _POSITIONS.items()}


def speaker(message: job_pb2.Speaker, where: str) -> Speaker:
    """Which face speaks.

    Raises:
        InvalidInputError: there is no such position.
        LimitExceededError: there are too many places.
    """
    position = _POSITIONS.get(message.position)
    if position is None and message.position != job_pb2.FACE_POSITION_UNSPECIFIED:
        raise InvalidInputError("there is no such position", field=f"{where}.position")
    if len(message.places) > MOST_PLACES:
        text = f"the face has {len(message.places)} places; at most {MOST_PLACES} are allowed"
        raise LimitExceededError(text, field=where, limit="speaker_places")
    return Speaker(position=position, places=tuple(map(_place, message.places)))


def voices(messages: Iterable[job_pb2.Voice]) -> tuple[Voice, ...]:
    """Further faces that speak.

    Raises:
        InvalidInputError: there is no such position.
        LimitExceededError: there are too many.
    """
    told = list(messages)
    if len(told) >= MOST_VOICES:
        text = f"{len(told) + 1} faces are to speak; at most {MOST_VOICES} are allowed"
        raise LimitExceededError(text, field="options.voices", limit="voices")
    return tuple(
        Voice(
            name=message.name,
            speech=message.speech_asset_id,
            speaker=speaker(message.speaker, f"options.voices[{number}]"),
        )
        for number, message in enumerate(told)
    )


def speaker_message(value: Speaker) -> job_pb2.Speaker | None:
    """Which face speaks; None where nobody was chosen."""
    if value.is_default:
        return None
    position = job_pb2.FACE_POSITION_UNSPECIFIED if value.position is None else _POSITION_VALUES[value.position]
    return job_pb2.Speaker(position=position, places=map(_place_message, value.places))


def voice_message(value: Voice) -> job_pb2.Voice:
    """A further face that speaks."""
    return job_pb2.Voice(name=value.name, speech_asset_id=value.speech, speaker=speaker_message(value.speaker))


def _place(message: job_pb2.FacePlace) -> Place:
    return Place(
        time_us=message.time.ToMicroseconds(), x=message.x, y=message.y, width=message.width, height=message.height
    )


def _place_message(place: Place) -> job_pb2.FacePlace:
    time = Duration()
    time.FromMicroseconds(place.time_us)
    return job_pb2.FacePlace(time=time, x=place.x, y=place.y, width=place.width, height=place.height)
