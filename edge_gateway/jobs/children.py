"""The sandboxed children that a job needs, as plain calls."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edge_gateway.assets.growth import Source
from edge_gateway.composite import composite
from edge_gateway.finish import finish
from edge_gateway.fragments import cut_live, cut_result
from edge_gateway.jobs.faces import FaceAsk
from edge_gateway.jobs.feed import FedChild
from edge_gateway.jobs.files import Speech
from edge_gateway.jobs.job import JobOptions
from edge_gateway.label.policy import Label
from edge_gateway.mix import mix
from edge_gateway.picture import take_picture
from edge_gateway.prepare import prepare
from edge_gateway.provenance.certificate import Certificate
from edge_gateway.provenance.manifest import Claim
from edge_gateway.provenance.sign import sign
from shared.errors import InternalError
from shared.media.limits import MediaLimits
from shared.media.probe import MediaInfo, glance_task, probe_task
from shared.media.profile import SpeechCoding, speech_task
from shared.media.sandbox import Child, ChildLimits, Message, Reach, Sandbox

PRELOAD = (
    "edge_gateway.prepare",
    "edge_gateway.composite",
    "edge_gateway.finish",
    "edge_gateway.fragments",
    "edge_gateway.mix",
    "edge_gateway.picture",
    "edge_gateway.provenance.sign",
    "shared.media.probe",
)
"""Modules that every child of the edge has loaded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildSettings:
    """How children work."""

    media: MediaLimits
    memory_bytes: int
    """Address space of a child."""
    cpu_s: int
    """Processor seconds of a child."""
    file_bytes: int
    """Largest file that a child may write."""
    probe_s: float
    speech_s: float
    finish_s: float
    result_crf: float
    result_preset: str


class Children:
    """Starts children in a sandbox.

    Args:
        sandbox: Where they live.
        settings: How they work.
    """

    def __init__(self, sandbox: Sandbox, settings: ChildSettings) -> None:
        self._sandbox = sandbox
        self._settings = settings
        self._media = asdict(settings.media)

    @property
    def _limits(self) -> ChildLimits:
        return ChildLimits(
            address_space_bytes=self._settings.memory_bytes,
            cpu_seconds=self._settings.cpu_s,
            file_bytes=self._settings.file_bytes,
        )

    async def probe(self, path: Path, field: str) -> MediaInfo:
        """Find out what a file is.

        Raises:
            InvalidInputError: it is not media, damaged or beyond a limit.
            DeadlineError: it took too long.
        """
        arguments = {"path": str(path), "field": field, "limits": self._media}
        message = await self._sandbox.call(probe_task, arguments, self._limits, self._settings.probe_s, _reading(path))
        return MediaInfo.from_header(message.header)

    async def picture(self, path: Path, at_us: int | None, field: str) -> bytes:
        """A JPEG of the frame that a file shows at a time, or of its last; see :func:`take_picture`.

        Raises:
            InvalidInputError: it cannot be decoded.
            DeadlineError: it took too long.
        """
        arguments = {"path": str(path), "field": field, "limits": self._media, "at_us": at_us}
        message = await self._sandbox.call(
            take_picture, arguments, self._limits, self._settings.probe_s, _reading(path)
        )
        return message.payload

    async def glance(self, source: Source, field: str) -> MediaInfo:
        """Find out of a file, be it complete or not, what its ends tell.

        Raises:
            InvalidInputError: it is certainly not media, damaged or beyond a limit.
            DeadlineError: it took too long, not counting the time in which bytes were waited for.
        """
        arguments = source.arguments | {"field": field, "limits": self._media}
        async with self._sandbox.spawn(glance_task, arguments, self._limits, _reading(source.path)) as child:
            message = await FedChild(child, source, answer_s=self._settings.probe_s).receive()
        if message is None:
            raise InternalError("looking at a file gave no answer")
        return MediaInfo.from_header(message.header)

    async def speech(self, path: Path, coding: SpeechCoding) -> Speech:
        """Encode a file's sound for the node.

        Raises:
            InvalidInputError: there is no sound, or too little or too much of it.
            DeadlineError: it took too long.
        """
        arguments = {
            "path": str(path),
            "field": "speech",
            "limits": self._media,
            "codec": str(coding.codec),
            "bitrate": coding.bitrate,
        }
        message = await self._sandbox.call(
            speech_task, arguments, self._limits, self._settings.speech_s, _reading(path)
        )
        return Speech(data=message.payload, duration_us=int(message.header["length_us"]))

    async def mix(
        self,
        *,
        speeches: Sequence[Path],
        length_us: int,
        background: Path,
        video: Path,
        options: JobOptions,
        output: Path,
    ) -> None:
        """Write the speeches, of which the longest has some length, with their background.

        Raises:
            InvalidInputError: there is no sound in one of them, or it cannot be decoded.
            DeadlineError: it took too long.
        """
        arguments = {
            "speeches": [str(speech) for speech in speeches],
            "length_us": length_us,
            "background": str(background),
            "volume": options.background_volume,
            "video": str(video),
            "keeps_sound": options.keep_sound,
            "keeps_length": options.keep_length,
            "fit": options.fit.value,
            "output": str(output),
            "limits": self._media,
        }
        reach = _reading(*speeches, background, video, writes=output)
        await self._sandbox.call(mix, arguments, self._limits, self._settings.finish_s, reach)

    @asynccontextmanager
    async def cut(self, source: Source, ask: FaceAsk, skip_segments: int) -> AsyncIterator[FedChild]:
        """Decode, track and cut; see :class:`edge_gateway.jobs.faces.Cutter`."""
        arguments = source.arguments | {
            "field": "video",
            "crop_px": ask.crop_px,
            "crop_scale": ask.crop_scale,
            "segment_seconds": ask.segment_s,
            "crop_codec": str(ask.crop.codec),
            "crop_crf": ask.crop.crf,
            "crop_preset": ask.crop.preset,
            "limits": self._media,
            "skip_segments": skip_segments,
            "speakers": [speaker.to_json() for speaker in ask.cast.speakers],
            "speaker_fields": list(ask.cast.fields),
            "speaker_names": list(ask.cast.names),
            "voice": ask.voice,
        }
        async with self._sandbox.spawn(prepare, arguments, self._limits, _reading(source.path)) as child:
            yield FedChild(child, source)

    @asynccontextmanager
    async def composite(
        self, source: Source, told: dict[str, Any], label: Label | None = None
    ) -> AsyncIterator[FedChild]:
        """Composite segments; ``told`` is what :func:`prepare` said of the video."""
        arguments = source.arguments | {
            "field": "video",
            "matrix": told["matrix"],
            "full_range": told["full_range"],
            "rate": told["rate"],
            "crf": self._settings.result_crf,
            "preset": self._settings.result_preset,
            "limits": self._media,
            "label": None if label is None else label.to_json(),
        }
        reach = _reading(source.path) if label is None else _reading(source.path, label.font)
        async with self._sandbox.spawn(composite, arguments, self._limits, reach) as child:
            yield FedChild(child, source)

    async def finish(
        self,
        *,
        segments: list[Path],
        starts_us: list[int],
        speeches: list[Path],
        length_us: int,
        output: Path,
        tag: str,
        producer: str,
    ) -> str:
        """Join composited segments, each with its start in the result, and the speech or speeches to one file.

        The file bears a tag and, where a producer is named, the metadata AIGC; gives the file's id in that.

        Raises:
            InvalidInputError: the speech cannot be decoded.
            DeadlineError: it took too long.
        """
        arguments = {
            "segments": [str(path) for path in segments],
            "starts_us": starts_us,
            "speech": str(speeches[0]),
            "voices": [str(path) for path in speeches[1:]],
            "field": "speech",
            "length_us": length_us,
            "output": str(output),
            "limits": self._media,
            "tag": tag,
            "producer": producer,
        }
        reach = _reading(*segments, *speeches, writes=output)
        message = await self._sandbox.call(finish, arguments, self._limits, self._settings.finish_s, reach)
        return str(message.header["produce_id"])

    async def sign(self, path: Path, output: Path, certificate: Certificate, claim: Claim) -> None:
        """Copy a finished file with a signed manifest in it.

        Raises:
            DeadlineError: it took too long.
        """
        arguments = certificate.arguments() | {
            "path": str(path),
            "output": str(output),
            "claim": asdict(claim),
            "field": "result",
        }
        reach = _reading(path, writes=output)
        await self._sandbox.call(sign, arguments, self._limits, self._settings.finish_s, reach)

    @asynccontextmanager
    async def fragments(self, speeches: Sequence[Path], segments: Path) -> AsyncIterator[Child]:
        """Cut a preview out of composited segments, which lie in one folder.

        See :func:`edge_gateway.fragments.cut_live`.
        """
        arguments = {
            "speech": str(speeches[0]),
            "voices": [str(path) for path in speeches[1:]],
            "field": "speech",
            "limits": self._media,
        }
        async with self._sandbox.spawn(cut_live, arguments, self._limits, _reading(*speeches, segments)) as child:
            yield child

    async def result_fragments(self, path: Path, output: Path) -> Message:
        """Find the fragments of a result; see :func:`edge_gateway.fragments.cut_result`.

        Raises:
            DeadlineError: it took too long.
        """
        arguments = {"path": str(path), "field": "result", "output": str(output)}
        reach = _reading(path, writes=output)
        return await self._sandbox.call(cut_result, arguments, self._limits, self._settings.finish_s, reach)


def _reading(*paths: Path, writes: Path | None = None) -> Reach:
    return Reach(reads=tuple(map(str, paths)), writes=() if writes is None else (str(writes),))
