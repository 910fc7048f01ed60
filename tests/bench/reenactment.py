"""Reenactment: a face is dubbed with another clip's sound; does it do what that clip's lips did?

The null is the face's own mouth in its clip against the other's.
"""

from statistics import mean

from tests.bench.aperture import agreement
from tests.bench.cast import Clip
from tests.bench.mouths import Mouth

Pair = tuple[Clip, Clip]


def every_pair(clips: list[Clip]) -> list[Pair]:
    """Every face with every other speaker."""
    return [(face, speaker) for face in clips for speaker in clips if speaker.speaks and face.name != speaker.name]


def few_pairs(clips: list[Clip]) -> list[Pair]:
    """Every speaker once, on the face of the next clip."""
    follower = dict(zip(clips, clips[1:] + clips[:1], strict=True))
    return [(follower[speaker], speaker) for speaker in clips if speaker.speaks and len(clips) > 1]


def print_reenactment(mouth: Mouth, pairs: list[Pair]) -> None:
    """Print a row for each pair, and the means."""
    print(
        "\n| reenactment | face | speech of | peak | lag (1/25 s) | amplitude | null |\n|---|---|---|---|---|---|---|"
    )
    scores, nulls = [], []
    for face, speaker in pairs:
        score = agreement(mouth.says(face, speaker.speech).curve, speaker.curve)
        null = agreement(face.curve, speaker.curve).peak
        scores.append(score)
        nulls.append(null)
        figures = f"{score.peak:.2f} | {score.lag_frames:+d} | {score.amplitude:.2f} | {null:.2f}"
        print(f"| {mouth.name} | {face.name} | {speaker.name} | {figures} |", flush=True)
    if scores:
        peak, amplitude = mean(score.peak for score in scores), mean(score.amplitude for score in scores)
        lag = max((score.lag_frames for score in scores), key=abs)
        print(f"| {mouth.name} | mean | | {peak:.2f} | {lag:+d} at most | {amplitude:.2f} | {mean(nulls):.2f} |")
