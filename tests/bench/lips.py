"""Does the rendered mouth do what a true speaker's mouth does?

    python -m tests.bench.lips [--engine NAME ...] [--measure NAME ...] [--clips DIR] [--all-pairs] [--sheets DIR]
    python -m tests.bench.lips --track [--coded] [--models DIR] ...

Everything goes through the real edge, node and Triton, and FaceMesh reads the results; one table for each measure:
reenactment, self-reconstruction (``likeness``), silence and spoilt sound (``pauses``) and ``closure``. Without
``--engine`` every engine that comes with viseme is judged. ``--track`` judges what the listener heard instead, without
rendering: a minute instead of many. The clips are those of ``../shared/media``, or of a folder of one's own; v03's
sound, which is late against its picture, is shifted (``tests/bench/cast.py``). Closure wants espeak-ng.
"""

import argparse
import tempfile
from pathlib import Path

from inference_node.engine.registry import MODEL_REPOSITORY, builtin_engines
from tests.bench.aperture import sheet
from tests.bench.cast import Clip, cast
from tests.bench.closure import print_closure
from tests.bench.likeness import print_likeness
from tests.bench.mouths import HeardMouth, Mouth, RenderedMouth
from tests.bench.pauses import print_pauses
from tests.bench.reenactment import Pair, every_pair, few_pairs, print_reenactment
from tests.stack import Stack

MEASURES = ("reenactment", "likeness", "pauses", "closure")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", action="append", help="an engine to judge; may be given again")
    parser.add_argument("--measure", action="append", choices=MEASURES, help="what to measure; may be given again")
    parser.add_argument("--clips", type=Path, help="a folder of videos of people who speak, one face each")
    parser.add_argument("--all-pairs", action="store_true", help="every face with every other clip's speech")
    parser.add_argument("--sheets", type=Path, help="write a sheet of frames for each pair into this folder")
    parser.add_argument("--track", action="store_true", help="judge what the listener heard, in this process")
    parser.add_argument("--coded", action="store_true", help="with --track: through the codec of the link")
    parser.add_argument("--models", type=Path, default=MODEL_REPOSITORY, help="with --track: the model repository")
    options = parser.parse_args()
    clips = cast(options.clips)
    pairs = every_pair(clips) if options.all_pairs else few_pairs(clips)
    measures = options.measure or MEASURES
    if options.track:
        judge(HeardMouth(repository=options.models, is_coded=options.coded), clips, pairs, measures)
        return
    with Stack() as stack, tempfile.TemporaryDirectory() as folder:
        for engine in options.engine or builtin_engines():
            mouth = RenderedMouth(name=engine, stack=stack, folder=Path(folder))
            judge(mouth, clips, pairs, measures)
            if options.sheets:
                options.sheets.mkdir(parents=True, exist_ok=True)
                for face, speaker in pairs:
                    target = options.sheets / f"{engine}-{face.name}-by-{speaker.name}.png"
                    sheet(face.path, mouth.video(face, speaker.speech), target)


def judge(mouth: Mouth, clips: list[Clip], pairs: list[Pair], measures: list[str]) -> None:
    """Print the tables of one mouth."""
    if "reenactment" in measures:
        print_reenactment(mouth, pairs)
    if "likeness" in measures and isinstance(mouth, RenderedMouth):
        print_likeness(mouth, clips)
    if "pauses" in measures:
        print_pauses(mouth, few_pairs(clips))
    if "closure" in measures:
        print_closure(mouth, [pair[0] for pair in few_pairs(clips)][:2])


if __name__ == "__main__":
    main()
