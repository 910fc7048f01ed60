from pathlib import Path

from edge_gateway.jobs.faces import Crop, Face, reference_crops
from edge_gateway.jobs.files import JobFiles, Speech
from edge_gateway.jobs.job import Progress, Stage
from edge_gateway.jobs.node import RenderedCard
from edge_gateway.jobs.voices import Shares

CARD = RenderedCard(
    digest=bytes.fromhex("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),  # of b"abc"
    size_bytes=3,
    patch=(0, 0, 2, 2),
    masks=(),
    queue_s=0,
    infer_s=0,
)


class Board:
    def __init__(self) -> None:
        self.told: list[tuple[int, int]] = []

    def set(self, progress: Progress) -> None:
        self.told.append((progress.done_frames, progress.total_frames))


def test_the_progress_of_several_is_told_as_one() -> None:
    board = Board()
    shares = Shares(board, 2)
    one, other = shares.of(0), shares.of(1)
    one.set(Progress(stage=Stage.INFER, done_frames=50, total_frames=200))
    other.set(Progress(stage=Stage.INFER, done_frames=30, total_frames=200))
    one.set(Progress(stage=Stage.INFER, done_frames=200, total_frames=200))
    assert board.told == [(50, 400), (80, 400), (230, 400)]


def test_each_voice_has_files_of_its_own(tmp_path: Path) -> None:
    files = JobFiles(tmp_path)
    first, second = files.of_voice(0), files.of_voice(1)
    first.put_speech(Speech(data=b"one", duration_us=1))
    second.put_speech(Speech(data=b"two", duration_us=2))
    second.put_rendered(7, CARD, b"abc")
    assert files.speech() == Speech(data=b"one", duration_us=1)
    assert second.speech() == Speech(data=b"two", duration_us=2)
    assert (first.rendered(7), files.found()) == (None, (1, 0))
    assert second.rendered(7) == (CARD, b"abc")
    second.drop_rendered(7)
    assert (second.rendered(7), files.found()) == (None, (0, 0))


def face_of(*who: int, complete: bool = False) -> Face:
    face = Face(Path("nowhere"))
    face.crops = [
        Crop(index=index, first_frame=index, frame_count=1, lead=0, trail=0, digest=b"", size_bytes=0, who=one)
        for index, one in enumerate(who)
    ]
    face.end_us = 1 if complete else None
    return face


def test_the_open_mouth_is_learnt_from_the_same_persons_crops() -> None:
    assert reference_crops(face_of(0, 1, 0, -1, 0, 1, 0), 0) == (0, 2, 4)
    assert reference_crops(face_of(-1, 1, 0, 0, 0), 1) is None
    assert reference_crops(face_of(-1, 1, 0, 0, 0, complete=True), 1) == (1,)
    assert reference_crops(face_of(0, 0), 0) is None
    assert reference_crops(face_of(0, 0, complete=True), 0) == (0, 1)


def test_the_open_mouth_is_not_waited_for_without_end() -> None:
    assert reference_crops(face_of(1, *[-1] * 6), 1) is None
    assert reference_crops(face_of(1, *[-1] * 7), 1) == (0,)
    assert reference_crops(face_of(1, *[-1] * 7, 1, 1), 1) == (0,)
