import numpy as np
import pytest

from inference_node.speech.mouth import Shape
from inference_node.training.speech_phones import mouth_targets, with_closures
from inference_node.training.speech_voice import Phone, Utterance

RATE = 16_000


def said(*parts: tuple[str, float]) -> Utterance:
    """An utterance of phonemes and their lengths, hissing wherever something is said."""
    phones, start = [], 0.0
    for ipa, length in parts:
        phones.append(Phone(ipa=ipa, start_s=start, end_s=start + length))
        start += length
    samples = np.random.default_rng(0).standard_normal(int(start * RATE)).astype(np.float32) * np.float32(0.1)
    for phone in phones:
        if not phone.ipa:
            samples[int(phone.start_s * RATE) : int(phone.end_s * RATE)] = 0.0
    return Utterance(samples=samples, rate=RATE, phones=tuple(phones))


def middle(ipa: str, column: Shape) -> float:
    track = mouth_targets(said(("t", 0.08), (ipa, 0.2), ("t", 0.08)), 36)
    return float(track[14:22, column].mean())


def test_ah_opens_more_than_ee_and_ee_more_than_oo() -> None:
    assert middle("a", Shape.APERTURE) > 1.5 * middle("i", Shape.APERTURE) > 1.5 * middle("u", Shape.APERTURE)


def test_oo_is_round_and_narrow_and_ee_is_wide() -> None:
    assert middle("u", Shape.ROUNDING) > 0.7
    assert middle("i", Shape.ROUNDING) < 0.2
    assert middle("u", Shape.WIDTH) < -0.15
    assert middle("i", Shape.WIDTH) > 0.1


@pytest.mark.parametrize("ipa", ["m", "b", "p"])
def test_lips_meet(ipa: str) -> None:
    track = mouth_targets(said(("a", 0.2), (ipa, 0.1), ("a", 0.2)), 50)
    assert track[18:26, Shape.APERTURE].min() == 0.0
    assert track[18:26, Shape.PRESS].max() == 1.0
    assert track[10, Shape.APERTURE] > 0.05
    assert track[38, Shape.APERTURE] > 0.05


def test_lips_nearly_meet_the_teeth() -> None:
    assert 0.005 < mouth_targets(said(("a", 0.2), ("f", 0.12), ("a", 0.2)), 52)[20:32, Shape.APERTURE].min() < 0.035


def test_rounding_begins_before_the_vowel() -> None:
    track = mouth_targets(said(("a", 0.2), ("s", 0.1), ("u", 0.2)), 50)
    assert track[29, Shape.ROUNDING] > track[15, Shape.ROUNDING] + 0.2


def test_a_long_pause_shuts_the_mouth_and_a_short_one_does_not() -> None:
    long = mouth_targets(said(("a", 0.2), ("", 0.8), ("a", 0.2)), 120)
    short = mouth_targets(said(("a", 0.2), ("", 0.15), ("a", 0.2)), 55)
    assert long[50:70, Shape.APERTURE].max() < 0.005
    assert short[:, Shape.APERTURE].min() > 0.02


def test_the_silence_before_a_stop_belongs_to_the_stop() -> None:
    phones = with_closures(said(("a", 0.2), ("", 0.06), ("p", 0.04), ("a", 0.2)))
    stop = next(phone for phone in phones if phone.ipa == "p")
    assert stop.start_s == pytest.approx(0.2, abs=0.011)
