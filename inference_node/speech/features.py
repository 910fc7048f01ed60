"""What the listening network is shown of a speech: log-mel energies, without its own loudness and colour.

Loudness (one number) and colour (one for each band: voice, microphone, room) are taken from the whole speech and
removed; everything else is local to about 15 ms. The same code runs in training and in the node.
"""

import numpy as np
import numpy.typing as npt

SAMPLE_RATE = 16_000
HOP = 160
"""Samples between rows: 10 ms, the rate of a mouth track."""
BANDS = 40

_WINDOW = 400
_FFT = 512
_LOWEST_HZ, _HIGHEST_HZ = 60.0, 7600.0
_RANGE_BELOW_DB, _RANGE_ABOVE_DB = 75.0, 20.0
_UNIT_DB = 20.0
_SPEAKING_DB = 25.0
_PRIOR_ROWS = 100
_USUAL_COLOUR = ((0, 3, 8, 15, 24, 30, 39), (-14.0, -7.0, -12.0, -25.0, -27.0, -32.0, -41.0))
_QUIETEST_LEVEL_DB = -62.0
_BLOCK_ROWS = 4096

Samples = npt.NDArray[np.float32]
Rows = npt.NDArray[np.float32]


def row_count(sample_count: int) -> int:
    """Rows that a speech of so many samples has; row i is centred on sample ``i * HOP``."""
    return sample_count // HOP + 1


def mel_features(samples: Samples, margin_rows: int = 0) -> Rows:
    """Features of a whole speech (mono, 16 kHz, -1 to 1), float32 [T + 2 * margin_rows, BANDS].

    The rows of the margins, before the beginning and after the end, show what the speech is at its quietest, so
    that nothing seems to begin or end where only the recording does.
    """
    decibels = _band_decibels(samples)
    loudness = 10.0 * np.log10(np.mean(10.0 ** (decibels / 10.0), axis=1))
    level = _level(loudness)
    relative = np.clip(decibels - level, -_RANGE_BELOW_DB, _RANGE_ABOVE_DB)
    speaking = relative[loudness > level - _SPEAKING_DB]
    usual = (speaking.sum(axis=0) + _PRIOR_ROWS * _usual_colour()) / (len(speaking) + _PRIOR_ROWS)
    margin = np.tile(np.percentile(relative, 5.0, axis=0), (margin_rows, 1))
    rows: Rows = ((np.concatenate([margin, relative, margin]) - usual) / _UNIT_DB).astype(np.float32)
    return rows


def digital_silence() -> Rows:
    """What a row of nothing shows in a speech of the usual colour."""
    return (-_RANGE_BELOW_DB - _usual_colour()) / np.float32(_UNIT_DB)


def _usual_colour() -> Rows:
    """What speech shows on the average, in decibels over its level; short speech leans on it."""
    return np.interp(np.arange(BANDS), *_USUAL_COLOUR).astype(np.float32)


def _band_decibels(samples: Samples) -> Rows:
    """Energy in each band in decibels below full scale, made in blocks so that long speech needs little memory."""
    count = row_count(len(samples))
    window = np.hanning(_WINDOW + 1)[:-1].astype(np.float32)
    bank = _filter_bank()
    scale = np.float32(1.0 / (window.sum() / 2) ** 2)
    decibels = np.empty((count, BANDS), np.float32)
    for first in range(0, count, _BLOCK_ROWS):
        rows = min(_BLOCK_ROWS, count - first)
        begin = first * HOP - _WINDOW // 2
        end = begin + (rows - 1) * HOP + _WINDOW
        piece = np.zeros(end - begin, np.float32)
        inside = samples[max(begin, 0) : min(end, len(samples))]
        offset = max(-begin, 0)
        piece[offset : offset + len(inside)] = inside
        frames = np.lib.stride_tricks.sliding_window_view(piece, _WINDOW)[::HOP]
        spectrum = np.fft.rfft(frames * window, n=_FFT)
        power = (spectrum.real**2 + spectrum.imag**2).astype(np.float32) * scale
        decibels[first : first + rows] = 10.0 * np.log10(power @ bank + 1e-14)
    return decibels


def _filter_bank() -> Rows:
    """Triangular filters on the mel scale, [FFT bins, BANDS]."""

    def mel(hertz: float) -> float:
        return float(2595.0 * np.log10(1.0 + hertz / 700.0))

    edges = 700.0 * (10.0 ** (np.linspace(mel(_LOWEST_HZ), mel(_HIGHEST_HZ), BANDS + 2) / 2595.0) - 1.0)
    bins = np.fft.rfftfreq(_FFT, 1.0 / SAMPLE_RATE)[:, None]
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    return np.maximum(0.0, np.minimum(rising, falling)).astype(np.float32)


def _level(loudness: Rows) -> float:
    """How loud the speech is where it is loud, whatever the share of pauses; clicks do not count.

    Never below what a very quiet recording has, so that the hiss of an empty recording is not taken for speech.
    """
    loudest = np.percentile(loudness, 99.0)
    speaking = loudness[loudness > loudest - 30.0]
    return max(float(np.percentile(speaking, 90.0)), _QUIETEST_LEVEL_DB)
