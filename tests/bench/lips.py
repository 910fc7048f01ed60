"""Reenactment: does the rendered mouth do what the true speaker's mouth did?

    python -m tests.bench.lips [--engine NAME] [--sheets DIR] [--all-pairs]

Clip A is dubbed with the sound of clip B through the real edge, node and Triton; the truth is B's own mouth. The null
is A's own mouth against B's. The clips are those of ``../shared/media``.
"""

import argparse
import itertools
import tempfile
from pathlib import Path
from statistics import mean

from tests.bench.aperture import Agreement, agreement, aperture_curve, sheet
from tests.stack import Stack

MEDIA = Path(__file__).resolve().parents[3] / "shared" / "media"
CLIPS = {
    "v01": "v01_latentsync_demo1_1080x1920_25.mp4",
    "v03": "v03_latentsync_demo3_1080x1920_30.mp4",
    "v05": "v05_retalking_face4_700x700_30.mp4",
    "v11": "v11_liveportrait_s18_1280x720_30.mp4",
}
SPEAKERS = ("v01", "v03", "v05")
"""The clips whose lips speak their sound; v11's do not move."""
PAIRS = [("v01", "v05"), ("v05", "v01"), ("v03", "v05")]


def main() -> None:
    """Render the pairs and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", default="")
    parser.add_argument("--sheets", type=Path, help="write a sheet of frames for each pair into this folder")
    parser.add_argument("--all-pairs", action="store_true", help="every face with every other clip's speech")
    options = parser.parse_args()
    every = [pair for pair in itertools.product(CLIPS, SPEAKERS) if pair[0] != pair[1]]
    pairs = every if options.all_pairs else PAIRS
    own = {name: aperture_curve(MEDIA / file) for name, file in CLIPS.items()}
    scores: list[Agreement] = []
    nulls: list[Agreement] = []
    print("| face | speech of | peak | lag (1/25 s) | amplitude | null |\n|---|---|---|---|---|---|")
    with Stack() as stack, tempfile.TemporaryDirectory() as folder:
        for face, speech in pairs:
            output = Path(folder) / f"{face}-by-{speech}.mp4"
            engine = ["--engine", options.engine] if options.engine else []
            stack.viseme("dub", str(MEDIA / CLIPS[face]), str(MEDIA / CLIPS[speech]), "-o", str(output), *engine)
            score = agreement(aperture_curve(output), own[speech])
            null = agreement(own[face], own[speech])
            scores.append(score)
            nulls.append(null)
            figures = f"{score.peak:.2f} | {score.lag_frames:+d} | {score.amplitude:.2f} | {null.peak:.2f}"
            print(f"| {face} | {speech} | {figures} |", flush=True)
            if options.sheets:
                options.sheets.mkdir(parents=True, exist_ok=True)
                sheet(MEDIA / CLIPS[face], output, options.sheets / f"{face}-by-{speech}.png")
    peak, amplitude = mean(score.peak for score in scores), mean(score.amplitude for score in scores)
    print(f"| mean | | {peak:.2f} | | {amplitude:.2f} | {mean(null.peak for null in nulls):.2f} |")


if __name__ == "__main__":
    main()
