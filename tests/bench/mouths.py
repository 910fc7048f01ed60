"""Where the benchmark's moving mouths come from: results of the real programs, or what the listener heard.

Both answer to a face and a speech with a :class:`Reading`; the second knows no face and renders nothing, so it takes
a second where the first takes half a minute. It is what a renderer that follows its orders exactly would show.
"""

import asyncio
import hashlib
import tempfile
import wave
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from inference_node.engine.local import LocalTensors
from inference_node.engine.registry import MODEL_REPOSITORY
from inference_node.speech.listener import Listener
from inference_node.speech.mouth import Shape
from shared.media.audio import decode_speech
from shared.media.limits import MediaLimits
from shared.media.profile import BALANCED, encode_speech
from tests.bench.aperture import Reading, read_mouth
from tests.bench.cast import Clip
from tests.bench.clips import RATE
from tests.stack import Stack

Samples = npt.NDArray[np.float32]


class Mouth(Protocol):
    """Something that speaks."""

    name: str

    def says(self, face: Clip, speech: Samples) -> Reading:
        """How the mouth of a face moves to a speech."""
        ...


@dataclass(slots=True)
class RenderedMouth:
    """An engine's results, dubbed through the real edge, node and Triton and read by FaceMesh."""

    name: str
    stack: Stack
    folder: Path
    _read: dict[Path, Reading] = field(default_factory=dict)

    def video(self, face: Clip, speech: Samples) -> Path:
        """The result's file; the same face and speech are dubbed once."""
        key = hashlib.sha256(f"{self.name} {face.path}".encode() + speech.tobytes()).hexdigest()[:16]
        output = self.folder / f"{face.name}-{key}.mp4"
        if not output.exists():
            spoken = self.folder / f"{key}.wav"
            write_wav(spoken, speech)
            self.stack.dub(face.path, spoken, output, "--engine", self.name)
        return output

    def says(self, face: Clip, speech: Samples) -> Reading:
        """Dub, and read the result."""
        video = self.video(face, speech)
        if video not in self._read:
            self._read[video] = read_mouth(video)
        return self._read[video]


@dataclass(slots=True)
class HeardMouth:
    """The listener's own track of a model repository, at 25 frames a second."""

    name: str = "track"
    repository: Path = MODEL_REPOSITORY
    is_coded: bool = False
    """Whether it hears the speech as the profile ``balanced`` has it cross the link."""

    def says(self, face: Clip, speech: Samples) -> Reading:
        """Hear."""
        del face
        listener = Listener(LocalTensors(self.repository, observe=lambda _model, _seconds: None))
        if self.is_coded:
            with tempfile.TemporaryDirectory() as folder:
                spoken = Path(folder) / "speech.wav"
                write_wav(spoken, speech)
                speech = decode_speech(encode_speech(spoken, MediaLimits(), BALANCED.speech))
        track = asyncio.run(listener.hear(speech))
        times = np.arange(0.0, len(speech) / RATE, 1 / 25)
        return Reading(times=times, apertures=track.at(times)[:, Shape.APERTURE].astype(np.float64))


def write_wav(path: Path, samples: Samples) -> None:
    """Write speech as 16-bit PCM."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((np.clip(samples, -1.0, 1.0) * 32767.0).astype("<i2").tobytes())
