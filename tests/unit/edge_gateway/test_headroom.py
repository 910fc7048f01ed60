import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_gateway.headroom import CEILING, mixed

BLOCK = 1 << 13


def sounds(seed: int, count: int, loud: float, under: float) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    swell = np.sin(np.arange(count) / 3000) ** 2
    voice = np.clip(rng.normal(size=(2, count)) * loud * swell, -1.0, CEILING).astype(np.float32)
    return voice, (rng.normal(size=(2, count)) * under).astype(np.float32)


def mix(voice: np.ndarray, under: np.ndarray, block: int) -> np.ndarray:
    parts = [(voice[:, at : at + block], under[:, at : at + block]) for at in range(0, voice.shape[1], block)]
    return np.concatenate(list(mixed(parts)), axis=1)


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 1000),
    count=st.integers(1, 5 * BLOCK),
    loud=st.floats(0, 0.6),
    under=st.floats(0, 2),
)
def test_nothing_clips_and_blocks_do_not_matter(seed: int, count: int, loud: float, under: float) -> None:
    voice, background = sounds(seed, count, loud, under)
    sum_ = mix(voice, background, BLOCK)
    assert sum_.shape == voice.shape
    assert np.abs(sum_).max() <= max(CEILING, np.abs(voice).max()) + 1e-6
    assert np.array_equal(sum_, mix(voice, background, count))


def test_where_both_fit_they_are_added_as_they_are() -> None:
    voice, background = (0.4 * sound for sound in sounds(1, 3 * BLOCK, 0.1, 0.1))
    assert np.array_equal(mix(voice, background, BLOCK), voice + background)


def test_beside_a_voice_at_full_scale_there_is_no_background_and_it_comes_back_softly() -> None:
    voice, background = np.zeros((1, 4 * BLOCK), np.float32), np.full((1, 4 * BLOCK), 0.5, np.float32)
    voice[0, 2 * BLOCK] = 1.0
    under = mix(voice, background, BLOCK) - voice
    assert under[0, 2 * BLOCK] == pytest.approx(0.0, abs=1e-4)
    assert under[0, : 2 * BLOCK - 5000].min() == under[0, 2 * BLOCK + 5000 :].min() == 0.5
    assert np.abs(np.diff(under[0])).max() < 0.5 / 1000
