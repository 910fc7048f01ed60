"""Everything that happens to a voice between a mouth and a file: rooms, microphones, noise, music, telephones."""

import numpy as np
import numpy.typing as npt

from inference_node.speech.features import SAMPLE_RATE
from shared.media.audio import decode_speech, encode_opus

Samples = npt.NDArray[np.float32]


def resampled(samples: Samples, ratio: float) -> Samples:
    """The same sound in ``ratio`` times as many samples, exactly band-limited."""
    count = round(len(samples) * ratio)
    spectrum = np.fft.rfft(np.pad(samples, (0, _smooth_length(len(samples)) - len(samples))))
    padded = round((len(spectrum) - 1) * 2 * ratio)
    bins = padded // 2 + 1
    kept = np.zeros(bins, complex)
    kept[: min(bins, len(spectrum))] = spectrum[:bins]
    return (np.fft.irfft(kept, padded) * ratio)[:count].astype(np.float32)


def recorded(samples: Samples, rng: np.random.Generator) -> Samples:
    """The speech as some microphone in some room might have taken it, at some level."""
    out = samples
    if rng.random() < 0.5:
        out = _in_room(out, rng)
    out = _equalised(out, rng)
    if rng.random() < 0.25:
        out = _compressed(out, rng)
    rms = float(np.sqrt(np.mean(np.square(out)))) + 1e-6
    if rng.random() < 0.75:
        snr_db = rng.uniform(4, 42)
        out = out + noise(len(out), rng) * np.float32(rms * 10 ** (-snr_db / 20))
    if rng.random() < 0.25:
        snr_db = rng.uniform(6, 26)
        out = out + music(len(out), rng) * np.float32(rms * 10 ** (-snr_db / 20))
    if rng.random() < 0.25:
        out = _band_limited(out, rng)
    if rng.random() < 0.15:
        out = _overdriven(out, rng)
    if rng.random() < 0.2:
        out = _coded(out, rng)
    peak = float(np.max(np.abs(out))) + 1e-6
    gain = np.float32(10 ** (rng.uniform(-30, 3) / 20) / peak)
    gained: Samples = np.clip(out * gain, -1, 1).astype(np.float32)
    return gained


def telephoned(samples: Samples, rng: np.random.Generator) -> Samples:
    """What some telephone leaves of a speech, without noise."""
    spectrum = np.fft.rfft(samples)
    hertz = np.fft.rfftfreq(len(samples), 1 / SAMPLE_RATE)
    spectrum[(hertz < rng.uniform(150, 400)) | (hertz > rng.uniform(3000, 4500))] = 0.0
    return np.fft.irfft(spectrum, len(samples)).astype(np.float32)


def noise(count: int, rng: np.random.Generator) -> Samples:
    """Steady noise of unit power with some colour, now and then with a hum."""
    spectrum = np.fft.rfft(rng.standard_normal(_smooth_length(count)))
    hertz = np.fft.rfftfreq(_smooth_length(count), 1 / SAMPLE_RATE)
    shaped = np.fft.irfft(spectrum * (hertz + 40.0) ** -rng.uniform(0.0, 1.0))[:count]
    shaped /= np.sqrt(np.mean(shaped**2)) + 1e-9
    if rng.random() < 0.2:
        seconds = np.arange(count) / SAMPLE_RATE
        mains = rng.choice([50.0, 60.0])
        shaped = shaped + sum(np.sin(2 * np.pi * mains * k * seconds) / k for k in (1, 2, 3, 5))
    return shaped.astype(np.float32)


def breath(count: int, rng: np.random.Generator) -> Samples:
    """A breath: noise about a few broad resonances that swells and goes, peak power about 1."""
    spectrum = np.fft.rfft(rng.standard_normal(count))
    hertz = np.fft.rfftfreq(count, 1 / SAMPLE_RATE)
    shape = sum(
        np.exp(-(((hertz - c) / w) ** 2))
        for c, w in ((rng.uniform(500, 1500), 500.0), (rng.uniform(1800, 3500), 900.0))
    )
    wave = np.fft.irfft(spectrum * (shape + 0.03), count)
    wave *= np.hanning(count) / (np.sqrt(np.mean(wave**2)) + 1e-9)
    return wave.astype(np.float32)


def music(count: int, rng: np.random.Generator) -> Samples:
    """Chords, a bass, a melody with vibrato and drums, each there or not, each of some timbre; of unit power."""
    beat = int(rng.uniform(0.2, 0.7) * SAMPLE_RATE)
    out = np.zeros(count)
    chord, lead = _timbre(rng), _timbre(rng)
    held = rng.random() < 0.5
    with_bass, with_lead, with_drums = rng.random(3) < (0.5, 0.5, 0.6)
    low = 12 * int(rng.integers(0, 3))
    for index, start in enumerate(range(0, count, beat)):
        seconds = np.arange(min(3 * beat, count - start)) / SAMPLE_RATE
        note = out[start : start + len(seconds)]
        fade = (
            np.exp(-seconds / rng.uniform(0.1, 0.4))
            if not held
            else np.clip((1.2 * beat) / SAMPLE_RATE - seconds, 0, 1)
        )
        envelope = fade * np.minimum(1.0, seconds / 0.01)
        root = 110.0 * 2 ** ((low + rng.integers(0, 12)) / 12)
        for interval in rng.choice([0, 3, 4, 7, 12], 3, replace=False):
            note += envelope * _tone(root * 2 ** (interval / 12), seconds, chord, 0.0)
        if with_bass:
            note += 2.0 * envelope * np.sin(np.pi * root * seconds)
        if with_lead:
            note += (
                rng.uniform(0.5, 2.0)
                * envelope
                * _tone(2 * root * 2 ** (rng.integers(0, 12) / 12), seconds, lead, 0.006)
            )
        if with_drums:
            decay = rng.uniform(0.02, 0.08) if index % 2 else rng.uniform(0.05, 0.15)
            note += rng.uniform(0, 3) * rng.standard_normal(len(note)) * np.exp(-seconds / decay)
    chords: Samples = (out / (np.sqrt(np.mean(out**2)) + 1e-9)).astype(np.float32)
    return chords


def _timbre(rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Strengths of a tone's harmonics: from a flute to a saw or a square."""
    number = np.arange(1, int(rng.integers(3, 24)) + 1)
    strengths = number ** -rng.uniform(0.6, 2.0) * rng.uniform(0.4, 1.0, len(number))
    return np.asarray(strengths * np.where((number % 2 == 0) & (rng.random() < 0.3), 0.1, 1.0))


def _tone(
    hertz: float, seconds: npt.NDArray[np.float64], timbre: npt.NDArray[np.float64], vibrato: float
) -> npt.NDArray[np.float64]:
    phase = 2 * np.pi * hertz * seconds + vibrato * hertz / 5.0 * np.sin(2 * np.pi * 5.0 * seconds)
    heard = [
        strength * np.sin(number * phase)
        for number, strength in enumerate(timbre, 1)
        if number * hertz < SAMPLE_RATE / 2
    ]
    return np.asarray(np.sum(heard, axis=0)) if heard else np.zeros(len(seconds))


def _smooth_length(count: int) -> int:
    """The next length whose transform is quick."""
    step = 1 << max(0, int(count).bit_length() - 5)
    return -(-count // step) * step


def _in_room(samples: Samples, rng: np.random.Generator) -> Samples:
    decay_s = rng.uniform(0.1, 0.6)
    seconds = np.arange(int(decay_s * SAMPLE_RATE)) / SAMPLE_RATE
    tail = rng.standard_normal(len(seconds)) * np.exp(-6.9 * seconds / decay_s)
    tail[: int(0.002 * SAMPLE_RATE)] = 0.0
    tail *= 10 ** (-rng.uniform(0, 18) / 20) / (np.sqrt(np.sum(tail**2)) + 1e-9)
    tail[0] = 1.0
    length = _smooth_length(len(samples) + len(tail))
    wet = np.fft.irfft(np.fft.rfft(samples, length) * np.fft.rfft(tail, length), length)
    return wet[: len(samples)].astype(np.float32)


def _equalised(samples: Samples, rng: np.random.Generator) -> Samples:
    length = _smooth_length(len(samples))
    hertz = np.fft.rfftfreq(length, 1 / SAMPLE_RATE)
    octaves = np.log2(np.maximum(hertz, 30.0) / 30.0)
    knots = np.linspace(0, 8.1, 9)
    tilt = rng.uniform(-2.5, 2.5)
    gains = np.interp(octaves, knots, rng.normal(0, 4.0, len(knots)) + tilt * (knots - 4.0))
    return np.fft.irfft(np.fft.rfft(samples, length) * 10 ** (gains / 20), length)[: len(samples)].astype(np.float32)


def _compressed(samples: Samples, rng: np.random.Generator) -> Samples:
    """A broadcaster's compressor: quiet parts come up."""
    window = np.hanning(801)
    power = np.convolve(np.square(samples), window / window.sum(), mode="same")
    threshold = np.percentile(power, 50) + 1e-8
    even: Samples = (samples * (np.maximum(power, threshold * 0.1) / threshold) ** -rng.uniform(0.1, 0.35)).astype(
        np.float32
    )
    return even


def _band_limited(samples: Samples, rng: np.random.Generator) -> Samples:
    length = _smooth_length(len(samples))
    spectrum = np.fft.rfft(samples, length)
    hertz = np.fft.rfftfreq(length, 1 / SAMPLE_RATE)
    low, high = rng.uniform(20, 300), rng.uniform(3400, 7500)
    spectrum *= 1 / (1 + (low / np.maximum(hertz, 1.0)) ** 6) / (1 + (hertz / high) ** 24)
    return np.fft.irfft(spectrum, length)[: len(samples)].astype(np.float32)


def _overdriven(samples: Samples, rng: np.random.Generator) -> Samples:
    """Too much gain: the loudest is cut off."""
    limit = float(np.quantile(np.abs(samples), rng.uniform(0.85, 0.995))) + 1e-6
    return np.clip(samples, -limit, limit)


def _coded(samples: Samples, rng: np.random.Generator) -> Samples:
    """Through a codec at a low rate, as calls and the wire have it."""
    peak = float(np.max(np.abs(samples))) + 1e-6
    # The codec wants sound within bounds; the level is decided later.
    data = encode_opus(iter([(samples / peak * 0.9).astype(np.float32)[np.newaxis]]), int(rng.integers(8, 32)) * 1000)
    decoded = decode_speech(data)[: len(samples)]
    return np.pad(decoded, (0, len(samples) - len(decoded)))
