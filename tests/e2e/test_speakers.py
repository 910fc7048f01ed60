"""Who speaks, on the real edge, node and Triton: one of several faces, several with a speech each, and bad wishes."""

import hashlib
import json
import subprocess
import wave
from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
import pytest

from tests.bench.clips import look, sound
from tests.cast import Picture, apertures, beside, film, pictures, somebody_else
from tests.stack import Stack

pytestmark = pytest.mark.stack

FRAMES = 75
WIDTH, HEIGHT = 400, 480
LEFT, RIGHT = slice(0, WIDTH), slice(WIDTH, None)
SLOW = ("--segment-seconds", "0.5", "--node-window", "1")
"""One small segment after the other, so that some are missing whenever the first has come."""


@pytest.fixture(scope="session")
def people(clip: Path) -> tuple[list[Picture], list[Picture]]:
    one = pictures(clip, width=WIDTH, height=HEIGHT, count=FRAMES)
    return one, somebody_else(one)


@pytest.fixture(scope="session")
def talk(people: tuple[list[Picture], list[Picture]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two people side by side for three seconds."""
    return film(tmp_path_factory.mktemp("talk") / "talk.mp4", beside(*people))


@pytest.fixture(scope="session")
def three_seconds(speech: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("speech") / "three.wav"
    with wave.open(str(speech)) as source, wave.open(str(path), "wb") as target:
        target.setparams(source.getparams())
        target.writeframes(source.readframes(source.getframerate() * 3))
    return path


@pytest.fixture(scope="session")
def one_second(speech: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("speech") / "one.wav"
    with wave.open(str(speech)) as source, wave.open(str(path), "wb") as target:
        target.setparams(source.getparams())
        source.setpos(source.getframerate() * 2)
        target.writeframes(source.readframes(source.getframerate()))
    return path


def frames(path: Path) -> list[Picture]:
    with av.open(str(path)) as media:
        return [frame.to_ndarray(format="rgb24") for frame in media.decode(video=0)]


def change(before: Sequence[Picture], after: Sequence[Picture], columns: slice) -> float:
    """How much some columns were changed over the frames where they were changed most, in levels of brightness."""
    shown = zip(before, after, strict=True)
    apart = np.mean([np.abs(one.astype(int) - other).mean(axis=-1) for one, other in shown], axis=0)[:, columns]
    height, width = apart.shape
    return float(apart.reshape(height // 16, 16, width // 16, 16).mean(axis=(1, 3)).max())


ENCODED = 5.0
"""Encoding alone changes less than this; 3 to 4 where the picture has most details."""
PAINTED = 7.0
"""Another mouth changes more than this."""


@pytest.mark.parametrize("who", ["right", "0.75,0.35@1.5", "boxes.json"])
def test_the_face_that_was_chosen_speaks_and_the_other_is_left_alone(
    stack: Stack, talk: Path, three_seconds: Path, tmp_path: Path, who: str
) -> None:
    if who == "boxes.json":
        who = str(tmp_path / who)
        box = [520, 100, 160, 180]
        Path(who).write_text(json.dumps([{"t": 0, "box": box}, {"t": 2, "box": box}]))
    stack.dub(talk, three_seconds, tmp_path / "out.mp4", "--speaker", who)
    before, after = frames(talk), frames(tmp_path / "out.mp4")
    assert change(before, after, LEFT) < ENCODED, "the other face was painted, too"
    assert change(before, after, RIGHT) > PAINTED, "the face that was chosen was not painted"


def test_two_faces_speak_a_speech_each(
    stack: Stack, talk: Path, three_seconds: Path, one_second: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.mp4"
    speeches = ("--speech", f"left={one_second}", "--speech", f"anna={three_seconds}")
    stack.viseme("dub", str(talk), "-o", str(output), *speeches, "--speaker", "anna=0.75,0.35")
    assert look(output).frames == FRAMES
    (_, left), (_, right) = apertures(output)
    assert left[:25].std() > 3 * left[35:].std(), "who has finished does not keep the mouth closed"
    assert left[35:].mean() < 0.02
    assert right[35:].std() > 0.005, "who still speaks does not move the mouth"
    heard, longer, shorter = sound(output), sound(three_seconds), sound(one_second)
    longer = longer[: len(heard)].copy()
    longer[: len(shorter)] += shorter[: len(longer)]
    heard = heard[: len(longer)]
    assert np.corrcoef(heard, longer)[0, 1] > 0.95, "it does not sound like both"
    assert np.abs(heard).max() <= 1


def test_who_has_changed_sides_behind_a_cut_is_found_again(
    stack: Stack, people: tuple[list[Picture], list[Picture]], three_seconds: Path, tmp_path: Path
) -> None:
    one, other = people
    lit = [np.clip(frame.astype(int) + 60, 0, 255).astype(np.uint8) for frame in beside(other, one)]
    source = film(tmp_path / "swap.mp4", beside(one, other)[:40] + lit[40:])
    output = tmp_path / "out.mp4"
    stack.dub(source, three_seconds, output, "--speaker", "left")
    before, after = frames(source), frames(output)
    assert change(before[:40], after[:40], LEFT) > PAINTED
    assert change(before[:40], after[:40], RIGHT) < ENCODED
    assert change(before[40:], after[40:], LEFT) < ENCODED
    assert change(before[40:], after[40:], RIGHT) > PAINTED


BAD = [
    (("--speaker", "5000,20"), "options.speaker", "outside the frame of 800x480"),
    (("--speaker", "0.2,0.3@60"), "options.speaker", "after the end of the video"),
    (("--speaker", "0.01,0.99"), "options.speaker", "no face is at the point 0.01, 0.99 at 0 s; those that are there"),
    (("--speaker", "bob"), "speaker", "says no face"),
    (("--speaker", "nobody.json"), "speaker", "cannot be read"),
]


@pytest.mark.parametrize(("wish", "field", "words"), BAD, ids=[words for _, _, words in BAD])
def test_a_wish_that_cannot_be_met_is_refused_with_the_reason(
    stack: Stack, talk: Path, three_seconds: Path, tmp_path: Path, wish: tuple[str, ...], field: str, words: str
) -> None:
    done = stack.viseme(
        "dub", str(talk), str(three_seconds), "-o", str(tmp_path / "out.mp4"), *wish, "--json", check=False
    )
    assert done.returncode == 3
    error = json.loads(done.stdout.splitlines()[-1])
    assert (error["field"], words in error["message"]) == (field, True), error
    assert not (tmp_path / "out.mp4").exists()


def test_a_name_that_matches_no_face_is_refused(stack: Stack, clip: Path, three_seconds: Path, tmp_path: Path) -> None:
    command = ("dub", str(clip), str(three_seconds), "-o", str(tmp_path / "out.mp4"), "--speaker", "left")
    done = stack.viseme(*command, check=False)
    assert done.returncode == 3
    assert "'left' names no face: that takes 2 together, and at most 1 was seen at a time" in done.stderr


@pytest.mark.parametrize("second", ["left=", "same="])
def test_two_speeches_for_one_face_are_refused(
    stack: Stack, talk: Path, three_seconds: Path, one_second: Path, tmp_path: Path, second: str
) -> None:
    speeches = ("--speech", f"left={three_seconds}", "--speech", f"{second}{one_second}")
    where = () if second == "left=" else ("--speaker", "same=0.25,0.35")
    done = stack.viseme("dub", str(talk), "-o", str(tmp_path / "out.mp4"), *speeches, *where, check=False)
    assert done.returncode == 3
    assert "one face has one speech" in done.stderr


@pytest.mark.luck
@pytest.mark.parametrize("victim", ["edge", "node"])
def test_a_job_of_two_faces_outlives_a_kill(
    victim: str, talk: Path, three_seconds: Path, one_second: Path, tmp_path: Path
) -> None:
    speeches = ("--speech", f"left={one_second}", "--speech", f"right={three_seconds}")
    output = tmp_path / "out.mp4"
    with Stack(edge_flags=SLOW) as stack:
        command = stack.command("dub", str(talk), "-o", str(output), *speeches, "--json")
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as job:
            assert job.stdout is not None
            for line in job.stdout:
                told = json.loads(line)
                if told.get("stage") == "infer" and told.get("done_frames", 0) > 0:
                    stack.kill(victim)
                    stack.start(victim)
                    break
            rest, errors = job.communicate(timeout=240)
        assert job.returncode == 0, f"{rest}\n{errors}\n{stack.log('edge')[-3000:]}"
        disturbed = hashlib.sha256(output.read_bytes()).hexdigest()
        stack.viseme("dub", str(talk), "-o", str(output), *speeches)
    assert hashlib.sha256(output.read_bytes()).hexdigest() == disturbed


@pytest.mark.slow
def test_real_people_keep_their_own_speech(stack: Stack, shared_media: Path, tmp_path: Path) -> None:
    """Two real people talk, change sides behind a cut, and one is replaced: each keeps to their own recording."""
    clips = {path.name[:3]: path for path in shared_media.glob("*.mp4")}
    one, other, third = (pictures(clips[name], width=640, height=720, count=100) for name in ("v05", "v06", "v01"))
    shots = beside(one, other)[:40] + beside(other, one)[40:80] + beside(third, one)[80:]
    source = film(tmp_path / "talk.mp4", shots)
    long = shared_media / "a06_dhlive_audio0_8s_16k.wav"
    short = tmp_path / "short.wav"
    with wave.open(str(long)) as told, wave.open(str(short), "wb") as target:
        target.setparams(told.getparams())
        target.writeframes(told.readframes(told.getframerate() // 2))
    output = tmp_path / "out.mp4"
    speeches = ("--speech", f"left={long}", "--speech", f"right={short}")
    stack.viseme("dub", str(source), "-o", str(output), *speeches, "--fit", "trim")
    after = frames(output)
    assert len(after) == len(shots) == 100

    before = frames(source)
    assert change(before[80:], after[80:], slice(0, 640)) < ENCODED, "somebody was painted who has no speech"
    assert change(before[80:], after[80:], slice(640, None)) > PAINTED
    with av.open(str(output)) as media:
        assert media.streams.audio
