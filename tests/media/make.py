"""Makes the committed test clip from the demo portrait: the camera pans, zooms and tilts a little, as a hand would.

    python tests/media/make.py

The clip has a sound track of its own (the demo speech), so that it can stand for a person who speaks.
"""

from pathlib import Path

import av
import cv2
import numpy as np

HERE = Path(__file__).resolve().parent
DEMO = HERE.parent.parent / "deploy" / "demo"
WIDTH, HEIGHT, RATE, SECONDS = 320, 400, 25, 4


def pictures() -> list[np.ndarray]:
    """The clip's frames, uint8 [HEIGHT, WIDTH, 3] RGB."""
    portrait = cv2.cvtColor(cv2.imread(str(DEMO / "portrait.jpg")), cv2.COLOR_BGR2RGB)
    frames = []
    for index in range(RATE * SECONDS):
        phase = 2 * np.pi * index / (RATE * SECONDS)
        matrix = cv2.getRotationMatrix2D((225.0, 130.0), 3.0 * np.sin(phase), 1.05 + 0.05 * np.cos(phase))
        matrix[:, 2] += (WIDTH / 2 - 225.0 + 8 * np.sin(phase), HEIGHT / 2 - 150.0 + 5 * np.cos(2 * phase))
        frames.append(
            cv2.warpAffine(portrait, matrix, (WIDTH, HEIGHT), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        )
    return frames


def main() -> None:
    """Write clip.mp4 beside this file."""
    with av.open(str(HERE / "clip.mp4"), "w", options={"movflags": "faststart"}) as target:
        picture = target.add_stream("libx264", rate=RATE, options={"crf": "23", "preset": "medium", "threads": "1"})
        picture.width, picture.height, picture.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        sound = target.add_stream("aac", rate=22050, layout="mono")
        for image in pictures():
            target.mux(picture.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        target.mux(picture.encode(None))
        with av.open(str(DEMO / "speech.wav")) as speech:
            for frame in speech.decode(audio=0):
                if frame.time is not None and frame.time >= SECONDS:
                    break
                target.mux(sound.encode(frame))
        target.mux(sound.encode(None))


if __name__ == "__main__":
    main()
