from pathlib import Path

import pytest

from shared.cli.batch_list import Listed, read_list
from shared.errors import InvalidInputError


def make(folder: Path, *names: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"x")
    return folder


def outputs(listed: Listed) -> list[tuple[str, str, str]]:
    return [(Path(line.video).name, Path(line.speech).name, line.output) for line in listed.lines]


def of_folder(folder: Path, *, speech: Path | None = None, video: Path | None = None) -> Listed:
    return read_list(folder, speech=speech, video=video)


def test_files_of_a_folder_belong_together_by_their_names(tmp_path: Path) -> None:
    folder = make(
        tmp_path / "in", "b.mp4", "b.wav", "a.MOV", "a.mp3", "photo.jpg", "lost.wav", "notes.txt", ".hidden.mp4"
    )
    listed = of_folder(folder)
    assert outputs(listed) == [("a.MOV", "a.mp3", "a.mp4"), ("b.mp4", "b.wav", "b.mp4")]
    assert listed.alone == ("photo.jpg", "lost.wav")


def test_one_recording_for_all_videos_and_one_video_for_all_recordings(tmp_path: Path) -> None:
    folder = make(tmp_path / "in", "a.mp4", "b.jpg", "x.wav", "y.wav")
    one = of_folder(folder, speech=folder / "x.wav")
    assert outputs(one) == [("a.mp4", "x.wav", "a.mp4"), ("b.jpg", "x.wav", "b.mp4")]
    other = of_folder(folder, video=folder / "a.mp4")
    assert outputs(other) == [("a.mp4", "x.wav", "x.mp4"), ("a.mp4", "y.wav", "y.mp4")]


def test_a_csv_names_pairs_beside_itself_with_or_without_a_head(tmp_path: Path) -> None:
    file = tmp_path / "list.csv"
    file.write_text('\ufeffa.mp4,a.wav\n\n"b, c.mp4",sub/b.wav,out\nlib:teachers/anna.mp4,a.wav\n')
    listed = read_list(file, speech=None, video=None)
    assert [(str(line.video), str(line.speech), line.output) for line in listed.lines] == [
        (str(tmp_path / "a.mp4"), str(tmp_path / "a.wav"), "a.mp4"),
        (str(tmp_path / "b, c.mp4"), str(tmp_path / "sub/b.wav"), "out.mp4"),
        ("lib:teachers/anna.mp4", str(tmp_path / "a.wav"), "anna.mp4"),
    ]
    file.write_text("Output,Audio,Video\nx.mp4,a.wav,a.mp4\n")
    (line,) = read_list(file, speech=None, video=None).lines
    assert (Path(line.video).name, Path(line.speech).name, line.output) == ("a.mp4", "a.wav", "x.mp4")


def test_results_that_would_share_a_name_are_told_apart(tmp_path: Path) -> None:
    file = tmp_path / "list.csv"
    file.write_text("a.mp4,x.wav\na.mp4,y.wav\nsub/a.mp4,y.wav\nA.mp4,z.wav\nb.mp4,x.wav\n")
    names = [line.output for line in read_list(file, speech=None, video=None).lines]
    assert names == ["a-x.mp4", "a-y.mp4", "a-y-2.mp4", "A-z.mp4", "b.mp4"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "nothing in"),
        ("a.mp4\n", "line 1"),
        ("video,speech\na.mp4,a.wav\nb.mp4,\n", "line 3"),
        ("a.mp4,a.wav,out.mp4,more\n", "line 1"),
        ("video,voice\na,b\n", "columns"),
        ("a.mp4,a.wav,../out.mp4\n", "line 1"),
        ("a.mp4,a.wav,/etc/out.mp4\n", "line 1"),
        ("a.mp4,a.wav,.hidden\n", "line 1"),
    ],
)
def test_a_list_that_cannot_be_read_is_refused_with_its_line(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "list.csv"
    file.write_text(text)
    with pytest.raises(InvalidInputError, match=words) as refused:
        read_list(file, speech=None, video=None)
    assert refused.value.field == "list"


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "list.csv"
    file.write_bytes(b"\xff\xfe\x00a")
    with pytest.raises(InvalidInputError, match="UTF-8"):
        read_list(file, speech=None, video=None)


def test_names_that_two_files_could_have_meant_are_refused(tmp_path: Path) -> None:
    folder = make(tmp_path / "in", "a.mp4", "a.jpg", "a.wav")
    with pytest.raises(InvalidInputError, match=r"a\.jpg and a\.mp4"):
        of_folder(folder)


def test_names_with_marks_and_of_great_length_stay_in_the_folder(tmp_path: Path) -> None:
    file = tmp_path / "list.csv"
    file.write_text(f"{'ü' * 4000}.mp4,a.wav\na\u202eb:c.mp4,b.wav\n")
    long, marked = (line.output for line in read_list(file, speech=None, video=None).lines)
    assert len(long.encode()) <= 255
    assert marked == "a_b_c.mp4"
