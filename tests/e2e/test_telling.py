"""What a user is told of a result that is not as it should be, on the real edge, node and Triton."""

import json
import wave
from collections.abc import Iterable
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest

from shared.face.mesh import FaceMesh
from tests.bench.aperture import aperture_curve
from tests.portrait import drawn, masked, portrait_crop, turned
from tests.stack import Stack

pytestmark = pytest.mark.stack

Pixels = npt.NDArray[np.uint8]


def video(path: Path, pictures: Iterable[Pixels]) -> Path:
    with av.open(str(path), "w") as made:
        stream = made.add_stream("libx264", rate=25, options={"preset": "veryfast", "crf": "14"})
        stream.width = stream.height = 320
        stream.pix_fmt = "yuv420p"
        for picture in pictures:
            made.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")))
        made.mux(stream.encode(None))
    return path


def notices(told: str) -> dict[str, dict[str, str]]:
    """The notices of a run, by reason."""
    lines = map(json.loads, told.splitlines())
    return {line["reason"]: line for line in lines if line["event"] == "notice"}


def result(told: str) -> dict[str, object]:
    report: dict[str, object] = json.loads(told.splitlines()[-1])["report"]
    return report


@pytest.mark.slow
def test_a_head_that_turns_away_is_left_alone_until_it_comes_back(stack: Stack, speech: Path, tmp_path: Path) -> None:
    crop = portrait_crop()
    points = FaceMesh().crop_landmarks(crop).points
    angles = [-70 * np.sin(np.pi * at / 99) ** 2 for at in range(100)]
    source = video(tmp_path / "turning.mp4", (turned(crop, points, angle) for angle in angles))
    output = tmp_path / "out.mp4"
    told = stack.viseme("dub", str(source), str(speech), "-o", str(output), "--fit", "trim", "--json").stdout
    report = result(told)
    (away,) = report["untouched"]  # type: ignore[misc]  # one: it does not flicker at the border
    assert away["reason"] == "turned_away"
    assert 1.0 < away["start_seconds"] < 1.9
    assert 2.1 < away["end_seconds"] < 3.0
    assert "turned away" in notices(told)["untouched_frames"]["message"]
    with av.open(str(output)) as media:
        assert json.loads(media.metadata["viseme"])["untouched"][0][2] == "turned_away"


def test_a_mouth_behind_a_mask_is_left_alone_and_warned_of(stack: Stack, short_speech: Path, tmp_path: Path) -> None:
    crop = portrait_crop()
    picture = masked(crop, FaceMesh().crop_landmarks(crop).points, (120, 170, 210))
    source = video(tmp_path / "masked.mp4", [picture] * 50)
    told = stack.viseme("dub", str(source), str(short_speech), "-o", str(tmp_path / "out.mp4"), "--json").stdout
    report = result(told)
    assert report["untouched"] == [{"start_seconds": 0.0, "end_seconds": 2.0, "reason": "hidden"}]
    assert (report["sync"], report["unscored"]) == (None, "too_short")
    assert notices(told)["untouched_frames"]["severity"] == "warning"


def test_a_drawn_face_speaks_or_is_left_alone_by_name(stack: Stack, short_speech: Path, tmp_path: Path) -> None:
    source = video(tmp_path / "drawn.mp4", [drawn(portrait_crop())] * 50)
    report = result(
        stack.viseme("dub", str(source), str(short_speech), "-o", str(tmp_path / "out.mp4"), "--json").stdout
    )
    assert report["untouched"] or report["sync"] or report["unscored"] == "too_short"


def test_silence_keeps_the_lips_closed_and_is_warned_of(stack: Stack, portrait: Path, tmp_path: Path) -> None:
    silence, output = tmp_path / "silence.wav", tmp_path / "out.mp4"
    with wave.open(str(silence), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(bytes(2 * 16_000 * 3))
    told = stack.viseme("dub", str(portrait), str(silence), "-o", str(output), "--json").stdout
    assert result(told)["unscored"] == "no_speech"
    assert notices(told)["no_speech"]["severity"] == "warning"
    assert aperture_curve(output).max() < 0.03
