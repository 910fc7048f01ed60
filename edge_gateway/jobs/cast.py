"""The faces that one job makes speak, as the trackers are asked for them."""

from dataclasses import dataclass, replace

from edge_gateway.face.speaker import Place, Position, Speaker, check_frame
from edge_gateway.jobs.job import JobOptions
from shared.media.probe import MediaInfo, MediaKind

_BESIDE = frozenset({Position.LEFT, Position.RIGHT, Position.CENTER})


@dataclass(frozen=True, slots=True, kw_only=True)
class Cast:
    """Everybody who was chosen, in the order of the speeches; nobody for the largest face of each shot."""

    speakers: tuple[Speaker, ...] = ()
    fields: tuple[str, ...] = ()
    """What to name in errors about each."""
    names: tuple[str, ...] = ()
    """What each is called."""


def voice_field(voice: int) -> str:
    """The field that says who speaks the speech of a number."""
    return "options.speaker" if voice == 0 else f"options.voices[{voice - 1}]"


def cast_of(options: JobOptions, media: MediaInfo) -> Cast:
    """Who is to speak in a video.

    Raises:
        InvalidInputError: a place lies outside the frame, or after the end.
    """
    asked = (options.speaker, *(voice.speaker for voice in options.voices))
    if options.speaker.is_default:
        return Cast()
    # A photo has no time, and its pixels are those of the picture that was brought.
    end_us = 0 if media.kind is MediaKind.PHOTO else round(media.duration_seconds * 1e6)
    width, height = (media.original_width or media.width), (media.original_height or media.height)
    beside = sum(speaker.position in _BESIDE for speaker in asked)
    speakers = []
    for voice, speaker in enumerate(asked):
        check_frame(speaker, width, height, end_us, voice_field(voice))
        together = max(beside, 1 if speaker.position in {Position.CENTER, Position.LARGEST} else 2)
        places = tuple(_reduced(place, media) for place in speaker.places)
        speakers.append(replace(speaker, together=together if speaker.position else 1, places=places))
    return Cast(
        speakers=tuple(speakers),
        fields=tuple(voice_field(voice) for voice in range(len(asked))),
        names=(options.speaker_name, *(voice.name for voice in options.voices)),
    )


def _reduced(place: Place, media: MediaInfo) -> Place:
    if not media.original_width or max(place.x, place.y, place.width, place.height) <= 1:
        return place
    share = media.width / media.original_width
    return replace(place, x=place.x * share, y=place.y * share, width=place.width * share, height=place.height * share)
