"""Making room for a voice: background is turned down for as long as the sum would clip, the voice never is.

A look-ahead limiter on the background alone. Per hop of ``HOP`` samples it finds the share of the background that fits
under full scale beside the voice; the least share around each hop, averaged over as many hops, is what is played. An
average of such minima never exceeds the share of the hop in its middle, so nothing clips, and it moves softly: over
about 90 ms.
"""

from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

from shared.media.audio import Samples

HOP: Final = 64
"""Samples that share one gain's minimum."""
LOOK: Final = 32
"""Hops that are looked at on either side."""
CEILING: Final = 1.0 - 2.0**-15
"""Loudest sample of a sum: the largest that 16 bits hold."""

_TINY: Final = 1e-9


def mixed(blocks: Iterable[tuple[Samples, Samples]]) -> Iterator[Samples]:
    """Add background to a voice.

    Args:
        blocks: Pairs of voice and background, float32 [channels, n], alike in shape; all but the last of one length,
            a multiple of ``HOP`` and more than ``2 * LOOK * HOP``.

    Yields:
        The sums, block by block. Where the voice alone is beyond full scale it is left as it is.
    """
    before = np.ones(2 * LOOK)
    held: tuple[Samples, Samples] | None = None
    for pair in blocks:
        if held is not None:
            shares = _shares(held)
            yield _sum(held, np.concatenate([before, shares, _shares(pair)[: 2 * LOOK]]))
            before = np.concatenate([before, shares])[-2 * LOOK :]
        held = pair
    if held is not None:
        yield _sum(held, np.concatenate([before, _shares(held), np.ones(2 * LOOK)]))


def _shares(pair: tuple[Samples, Samples]) -> npt.NDArray[np.float64]:
    """Of each hop, how much of the background fits beside the voice, 0 to 1."""
    voice, background = (np.abs(sound).astype(np.float64) for sound in pair)
    fits = np.clip((CEILING - voice) / np.maximum(background, _TINY), 0.0, 1.0).min(axis=0)
    fits = np.pad(fits, (0, -len(fits) % HOP), constant_values=1.0)
    return np.asarray(fits.reshape(-1, HOP).min(axis=1))


def _sum(pair: tuple[Samples, Samples], shares: npt.NDArray[np.float64]) -> Samples:
    """``shares`` begins ``2 * LOOK`` hops before the pair, and ends as many or more behind it."""
    voice, background = pair
    size = voice.shape[1]
    hops = -(-size // HOP)
    shares = np.pad(shares, (0, max(0, hops + 4 * LOOK - len(shares))), constant_values=1.0)
    least = np.lib.stride_tricks.sliding_window_view(shares, 2 * LOOK + 1).min(axis=1)  # from LOOK hops before
    means = np.convolve(least, np.full(2 * LOOK - 1, 1 / (2 * LOOK - 1)), mode="valid")  # from 1 hop before
    at = (np.arange(size) + 0.5) / HOP + 0.5
    gains = np.interp(at, np.arange(len(means)), means).astype(np.float32)
    return np.asarray(voice + gains * background, dtype=np.float32)
