"""Speech as networks of others hear it: mel rows by the rule of a card, and the rows that belong to a frame."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from inference_node.own.card import SpeechRule

Rows = npt.NDArray[np.float32]

_BLOCK_ROWS = 2048
_LEAST_LN = 1e-5
_BREAK_HZ = 1000.0
"""Slaney's scale is linear below and logarithmic above."""
_LINEAR_HZ = 200.0 / 3.0
_LOG_STEP = np.log(6.4) / 27.0
_ROW_SLACK = 1e-4
"""Times are whole microseconds; a row that begins half of one earlier is meant as well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MelTrack:
    """The rows of a speech.

    ``rows`` is float32 [T, bands]; ``silence`` is what stands before its beginning and after its end.
    """

    rows: Rows
    rule: SpeechRule
    silence: float

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        return self.rows.nbytes

    def at(self, times_s: npt.NDArray[np.float64]) -> Rows:
        """The windows that frames at these times get, float32 [N, rule.rows, bands]."""
        begin = (times_s + self.rule.offset_ms / 1000.0) * self.rule.rows_per_second
        first = np.floor(begin + _ROW_SLACK).astype(np.int64)
        places = first[:, None] + np.arange(self.rule.rows)
        inside = (places >= 0) & (places < len(self.rows))
        window = self.rows[np.clip(places, 0, len(self.rows) - 1)]
        return np.where(inside[..., None], window, np.float32(self.silence)).astype(np.float32)


def hear(samples: npt.NDArray[np.float32], rule: SpeechRule) -> MelTrack:
    """Turn speech (float32, mono, 16 kHz, -1 to 1) into rows; row i is centred on sample i * hop."""
    sound = samples.astype(np.float32)
    sound = np.concatenate([sound[:1], sound[1:] - np.float32(rule.preemphasis) * sound[:-1]])
    padded = np.pad(sound, rule.n_fft // 2, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, rule.n_fft)[:: rule.hop]
    window = _window(rule)
    bank = mel_bank(rule)
    rows = np.empty((len(frames), rule.bands), np.float32)
    for first in range(0, len(frames), _BLOCK_ROWS):
        part = slice(first, first + _BLOCK_ROWS)
        magnitude = np.abs(np.fft.rfft(frames[part] * window, axis=1))
        rows[part] = _levels((magnitude**rule.power) @ bank, rule)
    silence = float(_levels(np.zeros(1), rule)[0])
    return MelTrack(rows=rows, rule=rule, silence=silence)


def mel_bank(rule: SpeechRule) -> npt.NDArray[np.float64]:
    """Triangular filters, [n_fft // 2 + 1, bands]."""
    low, high = _to_mel(np.array([rule.low_hz, rule.high_hz]), rule)
    edges = _to_hertz(np.linspace(low, high, rule.bands + 2), rule)
    bins = np.fft.rfftfreq(rule.n_fft, 1.0 / rule.sample_rate)[:, None]
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    bank = np.maximum(0.0, np.minimum(rising, falling))
    if rule.equal_area:
        bank *= 2.0 / (edges[2:] - edges[:-2])
    return np.asarray(bank)


def _window(rule: SpeechRule) -> npt.NDArray[np.float64]:
    """A periodic Hann window in the middle of ``n_fft`` samples."""
    window = np.zeros(rule.n_fft)
    before = (rule.n_fft - rule.window) // 2
    window[before : before + rule.window] = np.hanning(rule.window + 1)[:-1]
    return window


def _levels(bands: npt.NDArray[np.float64], rule: SpeechRule) -> npt.NDArray[np.float64]:
    if rule.levels == "ln":
        return np.asarray(np.log(np.maximum(bands, _LEAST_LN)))
    decibels = 20.0 / rule.power * np.log10(np.maximum(bands, 10.0 ** (rule.floor_db * rule.power / 20.0)))
    share = (decibels - rule.reference_db - rule.floor_db) / -rule.floor_db
    low, high = rule.range
    return np.asarray(np.clip(low + (high - low) * share, low, high))


def _to_mel(hertz: npt.NDArray[np.float64], rule: SpeechRule) -> npt.NDArray[np.float64]:
    if rule.scale == "htk":
        return np.asarray(2595.0 * np.log10(1.0 + hertz / 700.0))
    above = _BREAK_HZ / _LINEAR_HZ + np.log(np.maximum(hertz, _BREAK_HZ) / _BREAK_HZ) / _LOG_STEP
    return np.where(hertz < _BREAK_HZ, hertz / _LINEAR_HZ, above)


def _to_hertz(mel: npt.NDArray[np.float64], rule: SpeechRule) -> npt.NDArray[np.float64]:
    if rule.scale == "htk":
        return np.asarray(700.0 * (10.0 ** (mel / 2595.0) - 1.0))
    first = _BREAK_HZ / _LINEAR_HZ
    return np.where(mel < first, mel * _LINEAR_HZ, _BREAK_HZ * np.exp(_LOG_STEP * (np.maximum(mel, first) - first)))
