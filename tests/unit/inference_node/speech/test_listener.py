# ruff: noqa: RUF001 - phonetic letters are the matter here
import json
import re
import wave
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest

import inference_node
from inference_node.speech import listener
from inference_node.speech.listener import Listener
from inference_node.speech.mouth import Shape

MEDIA = Path(__file__).parents[3] / "media"
MODEL = Path(inference_node.__file__).parent / "model_repository" / "speech" / "1" / "model.onnx"
CLOSED = {"p", "b", "m"}
OPEN = {"ɑː", "æ", "aɪ", "eɪ", "oʊ"}
NEARLY_CLOSED = 0.012


class InProcess:
    """The network in this process; remembers how many rows it was shown at once."""

    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(str(MODEL), options)
        self.rows: list[int] = []

    async def infer(
        self, model: str, inputs: Mapping[str, npt.NDArray[np.generic]], outputs: Sequence[str]
    ) -> dict[str, npt.NDArray[np.generic]]:
        assert model == "speech"
        self.rows.append(inputs["mel"].shape[1])
        return dict(zip(outputs, self._session.run(list(outputs), dict(inputs)), strict=True))


@pytest.fixture(scope="module")
def tensors() -> InProcess:
    return InProcess()


@pytest.fixture(scope="module")
def sentence() -> npt.NDArray[np.float32]:
    with wave.open(str(MEDIA / "speech-papa.wav")) as file:
        pcm = np.frombuffer(file.readframes(file.getnframes()), np.int16)
    return pcm.astype(np.float32) / 32768.0


@pytest.fixture(scope="module")
def phones() -> list[tuple[str, float, float]]:
    return [tuple(phone) for phone in json.loads((MEDIA / "speech-papa.json").read_text())["phones"]]


async def test_lips_meet_on_nearly_all_of_m_b_p(
    tensors: InProcess, sentence: npt.NDArray[np.float32], phones: list[tuple[str, float, float]]
) -> None:
    track = await Listener(tensors).hear(sentence)
    frames = np.arange(0.0, len(sentence) / 16_000, 0.04)
    shown = track.at(frames)[:, Shape.APERTURE]
    met = []
    for ipa, start, end in phones:
        if ipa in CLOSED:
            near = (frames > start - 0.05) & (frames < end + 0.03)
            met.append(bool(np.any(shown[near] < NEARLY_CLOSED)))
    assert np.mean(met) >= 0.85, f"{np.sum(met)} of {len(met)}"


async def test_vowels_open_the_mouth(
    tensors: InProcess, sentence: npt.NDArray[np.float32], phones: list[tuple[str, float, float]]
) -> None:
    shapes = (await Listener(tensors).hear(sentence)).shapes
    opened = {
        (ipa, start): float(shapes[int(start * 100) : int(end * 100), Shape.APERTURE].max())
        for ipa, start, end in phones
        if ipa in OPEN
    }
    assert len(opened) >= 8
    assert min(opened.values()) > 0.015, opened  # /m/ on both sides of a short vowel leave it little
    assert np.mean(list(opened.values())) > 0.05, opened


async def test_rounded_vowels_are_rounder_than_spread_ones(
    tensors: InProcess, sentence: npt.NDArray[np.float32], phones: list[tuple[str, float, float]]
) -> None:
    shapes = (await Listener(tensors).hear(sentence)).shapes

    def mean(wanted: set[str], column: Shape) -> float:
        return float(np.mean([shapes[int(s * 100) : int(e * 100), column].mean() for i, s, e in phones if i in wanted]))

    assert mean({"oʊ", "ɔːɹ", "oːɹ"}, Shape.ROUNDING) > mean({"ɪ", "eɪ", "ɑː"}, Shape.ROUNDING) + 0.25
    assert mean({"oʊ", "ɔːɹ", "oːɹ"}, Shape.WIDTH) < mean({"ɪ", "eɪ", "ɑː"}, Shape.WIDTH) - 0.05


@pytest.mark.parametrize("loudness", [0.0, 1e-5, 1e-3])
async def test_silence_and_hiss_keep_the_mouth_closed(tensors: InProcess, loudness: float) -> None:
    hiss = np.random.default_rng(0).standard_normal(48_000).astype(np.float32) * np.float32(loudness)
    shapes = (await Listener(tensors).hear(hiss)).shapes
    assert shapes[:, Shape.APERTURE].max() < NEARLY_CLOSED


async def test_the_mouth_closes_soon_after_speech_ends(
    tensors: InProcess, sentence: npt.NDArray[np.float32], phones: list[tuple[str, float, float]]
) -> None:
    shapes = (await Listener(tensors).hear(sentence)).shapes
    spoken_until = max(end for ipa, _, end in phones if ipa)
    assert shapes[int((spoken_until + 0.25) * 100) :, Shape.APERTURE].max() < NEARLY_CLOSED
    assert shapes[:30, Shape.APERTURE].max() < NEARLY_CLOSED


async def test_gain_changes_nothing(tensors: InProcess, sentence: npt.NDArray[np.float32]) -> None:
    loud = (await Listener(tensors).hear(sentence)).shapes
    quiet = (await Listener(tensors).hear(sentence * np.float32(0.03))).shapes
    np.testing.assert_allclose(quiet, loud, atol=0.05)


def spoilt(sentence: npt.NDArray[np.float32], kind: str) -> npt.NDArray[np.float32]:
    if kind == "quiet":
        return sentence * np.float32(10.0**-1.5)
    if kind == "clipped":
        return np.clip(sentence * 8.0, -1.0, 1.0).astype(np.float32)
    hiss = np.random.default_rng(1).standard_normal(len(sentence)).astype(np.float32)
    return sentence + hiss * np.float32(0.18 * np.sqrt(np.mean(np.square(sentence))))


@pytest.mark.parametrize(("kind", "least"), [("quiet", 0.97), ("clipped", 0.75), ("noisy", 0.7)])
async def test_the_mouth_moves_alike_however_the_sound_was_taken(
    tensors: InProcess, sentence: npt.NDArray[np.float32], kind: str, least: float
) -> None:
    clean = (await Listener(tensors).hear(sentence)).shapes
    heard = (await Listener(tensors).hear(spoilt(sentence, kind))).shapes
    assert np.corrcoef(clean[:, Shape.APERTURE], heard[:, Shape.APERTURE])[0, 1] > least
    assert heard[:15, Shape.APERTURE].max() < NEARLY_CLOSED, "nobody has spoken yet"


def horns(count: int) -> npt.NDArray[np.float32]:
    """Three horns that play chords in thirds, tongued twice a second, with a hall behind them."""
    seconds = np.arange(count) / 16_000
    beat = seconds % 0.5
    blown = np.minimum(1.0, beat / 0.06) * np.clip((0.46 - beat) / 0.06, 0.0, 1.0)
    out = np.zeros(count)
    for note in (0, 4, 7):
        steps = np.array([0, 5, 7, 2, 9, 4])[(seconds / 0.5).astype(int) % 6]
        turns = np.cumsum(174.6 * 2 ** ((note + steps) / 12)) / 16_000
        for tone in range(1, 12):
            out += blown ** (1 + 0.3 * tone) * np.sin(2 * np.pi * tone * turns + note) / tone
    hall = np.random.default_rng(2).standard_normal(8000) * np.exp(-np.arange(8000) / 2000) * 0.01
    wet = out + np.convolve(out, hall)[:count]
    return (0.1 * wet / np.abs(wet).max()).astype(np.float32)


async def test_music_alone_keeps_the_mouth_nearly_closed(tensors: InProcess, sentence: npt.NDArray[np.float32]) -> None:
    spoken = (await Listener(tensors).hear(sentence)).shapes[:, Shape.APERTURE]
    played = (await Listener(tensors).hear(horns(8 * 16_000))).shapes[:, Shape.APERTURE]
    assert played.mean() < 0.1 * spoken.mean()
    assert played.std() < 0.1 * spoken.std()


async def test_speech_over_music_opens_the_mouth_and_the_music_after_it_does_not(
    tensors: InProcess, sentence: npt.NDArray[np.float32]
) -> None:
    alone = (await Listener(tensors).hear(sentence)).shapes[:, Shape.APERTURE]
    samples = np.concatenate([sentence, np.zeros(4 * 16_000, np.float32)])
    played = horns(len(samples))
    samples += played * (0.3 * np.sqrt(np.mean(np.square(sentence)) / np.mean(np.square(played))))
    heard = (await Listener(tensors).hear(samples)).shapes[:, Shape.APERTURE]
    end = len(sentence) // 160
    assert heard[:end].mean() > 0.7 * alone.mean()
    assert heard[end + 50 : -50].var() < 0.1 * heard[:end].var()


@pytest.mark.parametrize("kind", ["clean", "quiet", "clipped", "noisy"])
async def test_a_pause_keeps_the_mouth_still(tensors: InProcess, sentence: npt.NDArray[np.float32], kind: str) -> None:
    pause = np.zeros(32_000, np.float32)
    speech = np.concatenate([sentence, pause, sentence])
    shapes = (await Listener(tensors).hear(speech if kind == "clean" else spoilt(speech, kind))).shapes
    begin = len(sentence) // 160
    resting = shapes[begin + 30 : begin + 170, Shape.APERTURE]
    assert resting.var() < 0.1 * shapes[:begin, Shape.APERTURE].var()
    assert resting.max() < NEARLY_CLOSED


async def test_the_result_does_not_depend_on_where_pieces_end(
    tensors: InProcess, sentence: npt.NDArray[np.float32], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = (await Listener(tensors).hear(sentence)).shapes
    monkeypatch.setattr(listener, "PIECE_ROWS", 77)
    np.testing.assert_allclose((await Listener(tensors).hear(sentence)).shapes, whole, atol=1e-4)


async def test_long_speech_is_shown_to_the_network_in_pieces(
    tensors: InProcess, sentence: npt.NDArray[np.float32]
) -> None:
    tensors.rows.clear()
    speech = np.tile(sentence, 12)
    shapes = (await Listener(tensors).hear(speech)).shapes
    assert len(shapes) == len(speech) // 160 + 1
    assert max(tensors.rows) <= listener.PIECE_ROWS + 2 * listener.CONTEXT_ROWS


async def test_the_shortest_speech_has_a_track(tensors: InProcess) -> None:
    assert (await Listener(tensors).hear(np.zeros(10, np.float32))).shapes.shape == (1, 4)


@pytest.mark.parametrize("name", ["config.pbtxt", "configs/gpu.pbtxt"])
def test_triton_is_told_of_every_tensor_of_the_network(name: str) -> None:
    network = onnxruntime.InferenceSession(str(MODEL))
    told = re.findall(r'name: "(\w+)"\n    data_type', (MODEL.parents[1] / name).read_text())
    assert told == [tensor.name for tensor in [*network.get_inputs(), *network.get_outputs()]]
