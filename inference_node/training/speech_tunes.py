"""Sounds with tones and a beat in which nobody speaks; what the network learns not to take for a voice.

The judges of ``tests/bench`` play what is not here (a choir, bells by frequency modulation) or the same by other means
(plucked strings, a band), written apart from these.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from inference_node.speech.features import SAMPLE_RATE
from inference_node.training.speech_room import music, noise

Samples = npt.NDArray[np.float32]
Curve = npt.NDArray[np.float64]
Rng = np.random.Generator

_MOST_TONES = 40
_HIGHEST_HZ = 7600.0
_SCALES = ((0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10), (0, 2, 4, 7, 9), (0, 3, 5, 6, 7, 10))


def tune(count: int, rng: Rng) -> Samples:
    """One or two of the kinds at once, of unit power."""
    out = _KINDS[int(rng.integers(0, len(_KINDS)))](count, rng)
    if rng.random() < 0.4:
        out = _unit(out) + _unit(_KINDS[int(rng.integers(0, len(_KINDS)))](count, rng)) * rng.uniform(0.2, 1.0)
    return _unit(out).astype(np.float32)


def _melody(count: int, rng: Rng) -> Curve:
    """A bowed or blown instrument: vibrato, a body that resonates, notes that are tied or parted."""
    pitch, touch = _line(count, rng, rng.uniform(0.12, 0.9), rng.uniform(100.0, 700.0))
    body = [
        (rng.uniform(250, 5000), rng.uniform(60, 600), rng.uniform(1.0, 10.0)) for _ in range(int(rng.integers(1, 6)))
    ]
    falling = rng.uniform(0.5, 2.2)

    def gain(hertz: Curve, tone: int) -> Curve:
        shape = 0.2 + sum(height * np.exp(-(((hertz - at) / width) ** 2)) for at, width, height in body)
        return np.asarray(shape / tone**falling)

    return _tones(pitch, gain) * touch


def _glide(count: int, rng: Rng) -> Curve:
    """A synthesiser's lead whose filter moves with a slow wave, or opens at each note as a wah does."""
    pitch, touch = _line(count, rng, rng.uniform(0.1, 1.2), rng.uniform(60.0, 500.0))
    seconds = np.arange(count) / SAMPLE_RATE
    speed = np.exp(rng.uniform(np.log(0.1), np.log(6.0)))
    sweep = 0.5 + 0.5 * np.sin(2 * np.pi * (speed * seconds + rng.random()))
    if rng.random() < 0.5:
        sweep = touch
    centre = rng.uniform(250, 700) * (rng.uniform(2, 8) ** sweep)
    sharp, odd = rng.uniform(2.0, 15.0), bool(rng.random() < 0.3)

    def gain(hertz: Curve, tone: int) -> Curve:
        if odd and tone % 2 == 0:
            return np.zeros(count)
        below = 1.0 / (1.0 + (hertz / centre) ** 4)
        return np.asarray((below + sharp / 3 * np.exp(-(((hertz / centre - 1.0) * sharp) ** 2))) / tone)

    return _tones(pitch, gain) * touch


def _organ(count: int, rng: Rng) -> Curve:
    """Held chords of drawbars, with a turning loudspeaker."""
    out, seconds = np.zeros(count), np.arange(count) / SAMPLE_RATE
    bars = rng.random(9) * (rng.random(9) < 0.6)
    bars[2] += 0.5
    length = rng.uniform(0.3, 2.5)
    for start, root in _roots(count, rng, length, rng.uniform(80, 330)):
        end = min(count, start + int(length * SAMPLE_RATE))
        inside = seconds[start:end]
        for interval in rng.choice([0, 3, 4, 5, 7, 12], 3, replace=False):
            for bar, times in zip(bars, (0.5, 1.5, 1, 2, 3, 4, 5, 6, 8), strict=True):
                out[start:end] += bar * np.sin(2 * np.pi * root * 2 ** (interval / 12) * times * inside)
    turning = np.sin(2 * np.pi * rng.uniform(0.6, 7.0) * seconds)
    return np.asarray(out * (1.0 + rng.uniform(0.0, 0.4) * turning))


def _arpeggio(count: int, rng: Rng) -> Curve:
    """Broken chords, each note struck and dying away, high tones first."""
    out = np.zeros(count)
    step, decay, power = rng.uniform(0.08, 0.4), rng.uniform(0.08, 0.8), rng.uniform(0.5, 2.0)
    inharmonic = rng.choice([0.0, 0.0, 1e-3])
    for place, (start, root) in enumerate(_roots(count, rng, step, rng.uniform(110, 500))):
        length = min(count - start, int(4 * decay * SAMPLE_RATE))
        seconds = np.arange(length) / SAMPLE_RATE
        note = root * 2 ** ((0, 4, 7, 12, 7, 4)[place % 6] / 12)
        for tone in range(1, 16):
            hertz = note * tone * np.sqrt(1.0 + inharmonic * tone**2)
            if hertz < _HIGHEST_HZ:
                dying = np.exp(-seconds / decay * (1.0 + 0.3 * tone))
                out[start : start + length] += dying * np.sin(2 * np.pi * hertz * seconds) / tone**power
    return out


def _strings(count: int, rng: Rng) -> Curve:
    """Plucked strings with a body: picked one by one or strummed, some tones missing where they are plucked."""
    out = np.zeros(count)
    step, ringing = rng.uniform(0.1, 0.6), rng.uniform(0.3, 3.0)
    plucked_at, strummed = rng.uniform(0.05, 0.4), bool(rng.random() < 0.5)
    body = [(rng.uniform(100, 3000), rng.uniform(50, 300), rng.uniform(1, 5)) for _ in range(3)]
    for place, (start, root) in enumerate(_roots(count, rng, step, rng.uniform(80, 300))):
        chord = (0, 7, 12, 16, 19) if strummed else (rng.choice([0, 3, 4, 7, 10, 12, 16]),)
        for string, interval in enumerate(chord[:: 1 if place % 2 else -1]):
            first = start + int(string * rng.uniform(0.005, 0.03) * SAMPLE_RATE)
            seconds = np.arange(max(0, min(count - first, int(1.5 * ringing * SAMPLE_RATE)))) / SAMPLE_RATE
            pitch = root * 2 ** (float(interval) / 12)
            for tone in range(1, 12):
                hertz = pitch * tone * (1.0 + 1e-4 * tone**2)
                height = sum(high * np.exp(-(((hertz - at) / wide) ** 2)) for at, wide, high in body) + 0.5
                height *= abs(np.sin(np.pi * tone * plucked_at)) / tone
                if hertz < _HIGHEST_HZ and height > 0.01:
                    dying = np.exp(-seconds / ringing * (1.0 + 0.4 * tone))
                    out[first : first + len(seconds)] += height * dying * np.sin(2 * np.pi * hertz * seconds)
    return out


def _mallets(count: int, rng: Rng) -> Curve:
    """Struck bars and boxes, whose tones are not multiples of the lowest."""
    out = np.zeros(count)
    step, ringing = rng.uniform(0.1, 0.5), rng.uniform(0.05, 1.0)
    modes = ((1.0, 2.76, 5.4, 8.9), (1.0, 4.0, 9.2, 13.0), (1.0, 1.6, 2.1, 2.6))[int(rng.integers(0, 3))]
    for start, root in _roots(count, rng, step, rng.uniform(150, 800)):
        seconds = np.arange(min(count - start, int(4 * ringing * SAMPLE_RATE))) / SAMPLE_RATE
        pitch = root * 2 ** (int(rng.choice([0, 2, 4, 7, 9, 12])) / 12)
        for place, mode in enumerate(modes):
            if pitch * mode < _HIGHEST_HZ:
                dying = np.exp(-seconds / ringing * (1.0 + place))
                out[start : start + len(seconds)] += dying * np.sin(2 * np.pi * pitch * mode * seconds) / (1 + place)
    return out


def _pad(count: int, rng: Rng) -> Curve:
    """Soft chords of many detuned strings or horns that swell and go."""
    out, seconds = np.zeros(count), np.arange(count) / SAMPLE_RATE
    length, swell, power = rng.uniform(0.6, 4.0), rng.uniform(0.05, 0.8), rng.uniform(0.8, 2.0)
    cut = rng.uniform(600, 6000)
    for start, root in _roots(count, rng, length, rng.uniform(80, 300)):
        end = min(count, start + int((length + swell) * SAMPLE_RATE))
        inside = seconds[start:end] - start / SAMPLE_RATE
        envelope = np.clip(inside / swell, 0, 1) * np.clip((length + swell - inside) / swell, 0, 1)
        for interval in rng.choice([0, 3, 4, 7, 10, 12], 3, replace=False):
            for detune in rng.normal(1.0, 0.004, 2):
                hertz = root * 2 ** (interval / 12) * detune
                for tone in range(1, 14):
                    if hertz * tone < _HIGHEST_HZ:
                        height = 1 / tone**power / (1 + (hertz * tone / cut) ** 4)
                        out[start:end] += height * envelope * np.sin(2 * np.pi * (hertz * tone * inside + rng.random()))
    return out


def _drums(count: int, rng: Rng) -> Curve:
    """A loop of kicks, snares and hats."""
    out = np.zeros(count)
    beat = int(rng.uniform(0.1, 0.35) * SAMPLE_RATE)
    loop = rng.integers(0, 4, 8)
    tuned, colour = rng.uniform(45, 250), rng.uniform(0.0, 0.95)
    for place, start in enumerate(range(0, count, beat)):
        seconds = np.arange(min(3 * beat, count - start)) / SAMPLE_RATE
        hit = out[start : start + len(seconds)]
        hiss = rng.standard_normal(len(seconds))
        kind = loop[place % 8]
        if kind == 0:
            hit += (
                3
                * np.sin(2 * np.pi * tuned * (seconds + 0.03 * (1 - np.exp(-seconds / 0.03))))
                * np.exp(-seconds / 0.12)
            )
        elif kind == 1:
            body = np.sin(2 * np.pi * 3 * tuned * seconds)
            hit += (hiss + body) * np.exp(-seconds / rng.uniform(0.05, 0.15))
        elif kind == 2:
            hit += (hiss - colour * np.roll(hiss, 1)) * np.exp(-seconds / rng.uniform(0.015, 0.06))
    return out


def _noises(count: int, rng: Rng) -> Curve:
    """Wind, waves and engines: noise that comes and goes, or is struck again and again."""
    out = noise(count, rng).astype(np.float64)
    seconds = np.arange(count) / SAMPLE_RATE
    slow = np.interp(seconds, np.arange(0, seconds[-1] + 1, 0.4), rng.uniform(0, 1, int((seconds[-1] + 1) / 0.4) + 1))
    beating = 0.5 + 0.5 * np.sin(2 * np.pi * rng.uniform(0.5, 12.0) * seconds)
    return np.asarray(out * (slow**2 if rng.random() < 0.5 else beating ** rng.uniform(0.5, 6.0)))


def _beeps(count: int, rng: Rng) -> Curve:
    """Ringing, alarms, dialling: one or two tones that go on and off or up and down."""
    seconds = np.arange(count) / SAMPLE_RATE
    wave = 2 * np.pi * (rng.uniform(0.5, 8.0) * seconds + rng.random())
    pitch = rng.uniform(300, 2500) * (1.0 + rng.choice([0.0, rng.uniform(0.05, 0.4)]) * np.sin(wave))
    tones = np.sin(2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE) + np.sin(
        2 * np.pi * np.cumsum(pitch * rng.uniform(1.1, 3.0)) / SAMPLE_RATE
    ) * rng.uniform(0, 1)
    return np.asarray(tones * (np.sin(wave * rng.choice([0.25, 1.0])) > rng.uniform(-1.2, 0.5)))


def _band(count: int, rng: Rng) -> Curve:
    return music(count, rng).astype(np.float64)


_KINDS: tuple[Callable[[int, Rng], Curve], ...] = (
    _band, _melody, _melody, _glide, _glide, _organ, _arpeggio, _strings,
    _strings, _mallets, _pad, _pad, _drums, _noises, _beeps,
)  # fmt: skip


def _line(count: int, rng: Rng, length: float, lowest: float) -> tuple[Curve, Curve]:
    """Pitch in Hz and loudness (0 to 1) of a melody on some scale; notes of about ``length`` seconds."""
    scale = _SCALES[int(rng.integers(0, len(_SCALES)))]
    pitch, touch = np.zeros(count), np.zeros(count)
    place, start = int(rng.integers(0, 10)), 0
    tied, attack = rng.uniform(0.5, 1.05), rng.uniform(0.005, 0.12)
    while start < count:
        note = int(length * rng.choice([0.5, 1.0, 1.0, 1.5, 2.0]) * SAMPLE_RATE)
        end = min(count, start + note)
        place = int(np.clip(place + rng.integers(-2, 3), 0, 14))
        pitch[start:end] = lowest * 2 ** ((scale[place % len(scale)] + 12 * (place // len(scale))) / 12)
        seconds = np.arange(end - start) / SAMPLE_RATE
        if rng.random() < 0.9:
            over = note * tied / SAMPLE_RATE
            touch[start:end] = np.clip(seconds / attack, 0, 1) * np.clip((over - seconds) / attack, 0, 1)
        start = end
    gliding = int(rng.uniform(0.005, 0.12) * SAMPLE_RATE)
    total = np.cumsum(np.concatenate([np.full(gliding, pitch[0]), pitch]))
    pitch = (total[gliding:] - total[:-gliding]) / gliding
    seconds = np.arange(count) / SAMPLE_RATE
    pitch *= 1.0 + rng.uniform(0.0, 0.02) * np.sin(2 * np.pi * rng.uniform(4.0, 7.0) * seconds)
    return pitch, touch


def _tones(pitch: Curve, gain: Callable[[Curve, int], Curve]) -> Curve:
    phase = 2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE
    out = np.zeros(len(pitch))
    for tone in range(1, min(_MOST_TONES, int(_HIGHEST_HZ / pitch.min())) + 1):
        hertz = pitch * tone
        out += gain(hertz, tone) * np.sin(phase * tone) * (hertz < _HIGHEST_HZ)
    return out


def _roots(count: int, rng: Rng, length: float, lowest: float) -> list[tuple[int, float]]:
    """First samples and root pitches of chords that change now and then."""
    out, root = [], lowest
    hold = int(rng.integers(1, 7))
    for place, start in enumerate(range(0, count, int(length * SAMPLE_RATE))):
        if place % hold == 0:
            root = lowest * 2 ** (int(rng.choice([0, 2, 3, 5, 7, 8, 9])) / 12)
        out.append((start, root))
    return out


def _unit(sound: Curve) -> Curve:
    return np.asarray(sound / (np.sqrt(np.mean(np.square(sound))) + 1e-9))
