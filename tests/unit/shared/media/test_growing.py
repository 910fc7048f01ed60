"""Files that are read while they come: no hole is ever read, whatever asks for what."""

import os
import queue
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from shared.errors import InvalidMediaError, LimitExceededError
from shared.media.growing import HAVE, WANT, GrowingMedia, open_media
from shared.media.limits import MediaLimits
from shared.media.probe import MediaKind, glance, probe
from shared.media.video import FrameReader
from shared.media.wire import Channel, Message
from tests.trickle import large_clip

SIZE = 100_000
MEDIA = Path(__file__).resolve().parents[3] / "media"


class Parent:
    """The other end of a child's channel, in a thread: says that bytes are there as the test lets them come."""

    def __init__(self, channel: Channel) -> None:
        self.asked: list[dict[str, object]] = []
        self.safe: list[tuple[int, int]] = []
        self.more: queue.Queue[tuple[int, int] | dict[str, object]] = queue.Queue()
        """Runs of bytes that come, or messages of other kinds, each taken when the child waits."""
        self._channel = channel
        self.thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while (message := self._channel.receive()) is not None:
            self.asked.append(message.header)
            self._answer(message)

    def _answer(self, message: Message) -> None:
        offset = message.header["offset"]
        while message.header["wait"] and not self._run_at(offset):
            match self.more.get(timeout=30):
                case dict() as other:
                    self._channel.send(other)
                case run:
                    self.safe.append(run)
        begin, end = self._run_at(offset) or (offset, offset)
        self._channel.send({"kind": HAVE, "offset": begin, "end": end})

    def _run_at(self, offset: int) -> tuple[int, int] | None:
        return next((run for run in self.safe if run[0] <= offset < run[1]), None)


@contextmanager
def wired() -> Iterator[tuple[Channel, Parent]]:
    child_in, parent_out = socket.socketpair()
    parent_in, child_out = socket.socketpair()
    parent = Parent(Channel(parent_in, parent_out))
    parent.thread.start()
    try:
        yield Channel(child_in, child_out), parent
    finally:
        child_out.close()
        parent.thread.join()
        for end in (child_in, parent_in, parent_out):
            end.close()


@pytest.fixture
def whole(tmp_path: Path) -> bytes:
    data = os.urandom(SIZE)
    (tmp_path / "file").write_bytes(data)
    return data


def test_bytes_are_read_once_they_are_there(tmp_path: Path, whole: bytes) -> None:
    with wired() as (channel, parent):
        for end in (1, 10, 50_000, SIZE):
            parent.more.put((0, end))
        with open_media(GrowingMedia(tmp_path / "file", SIZE, channel)) as file:
            assert file.read() == whole
        assert [asked["offset"] for asked in parent.asked] == [0, 1, 10, 50_000]
        assert {asked["kind"] for asked in parent.asked} == {WANT}


def test_the_end_can_be_read_before_the_middle(tmp_path: Path, whole: bytes) -> None:
    with wired() as (channel, parent):
        media = GrowingMedia(tmp_path / "file", SIZE, channel)
        parent.more.put((90_000, SIZE))
        with media.open() as file:
            assert file.seek(-10, os.SEEK_END) == SIZE - 10
            assert file.read(100) == whole[-10:]
            assert file.read(100) == b""
            assert not media.has(89_999, 2)
            assert media.has(99_999, 10)
            parent.more.put((0, 40_000))
            file.seek(0)
            assert file.read(SIZE) == whole[:40_000]
            parent.more.put((30_000, 95_000))
            assert file.read(10) == whole[40_000:40_010]
            assert media.has(0, SIZE)
        assert len(parent.asked) == 4


def test_other_messages_that_come_meanwhile_are_kept(tmp_path: Path, whole: bytes) -> None:
    with wired() as (channel, parent):
        for index in range(2):
            parent.more.put({"kind": "segment", "index": index})
        parent.more.put((0, SIZE))
        with GrowingMedia(tmp_path / "file", SIZE, channel).open() as file:
            assert file.read(4) == whole[:4]
        for index in range(2):
            message = channel.receive()
            assert message is not None
            assert message.header == {"kind": "segment", "index": index}


def test_a_file_that_takes_the_place_of_another_is_read_instead(tmp_path: Path, whole: bytes) -> None:
    """What was there of the one says nothing about the other."""
    path = tmp_path / "file"
    with wired() as (channel, parent):
        parent.more.put((0, 100))
        with GrowingMedia(path, SIZE, channel).open() as file:
            assert file.read(100) == whole[:100]
            other = tmp_path / "other"
            other.write_bytes(whole[::-1])
            other.rename(path)
            parent.safe.clear()
            parent.more.put((100, 200))
            parent.more.put((0, 50))
            assert file.read(50) == whole[::-1][100:150]
            file.seek(0)
            assert file.read(50) == whole[::-1][:50]


def test_a_parent_that_goes_ends_the_wait(tmp_path: Path, whole: bytes) -> None:
    del whole
    child_in, parent_out = socket.socketpair()
    parent_in, child_out = socket.socketpair()
    with child_in, child_out, parent_in:
        parent_out.close()
        media = GrowingMedia(tmp_path / "file", SIZE, Channel(child_in, child_out))
        with media.open() as file, pytest.raises(ConnectionAbortedError):
            file.read(1)


@pytest.mark.parametrize("name", ["clip.mov", "clip.mkv"])
def test_frames_are_those_of_the_whole_file_however_it_comes(tmp_path: Path, name: str) -> None:
    data = large_clip(tmp_path / name)
    limits = MediaLimits()
    holey = tmp_path / "holey"
    with wired() as (channel, parent), FrameReader(tmp_path / name, limits) as known:
        holey.write_bytes(bytes(len(data)))
        media = GrowingMedia(holey, len(data), channel)
        parent.more = _Coming(holey, data)
        with FrameReader(media, limits) as reader:
            for ours, theirs in zip(reader, known, strict=True):
                assert ours.time_us == theirs.time_us
                assert ours.planes.y.tobytes() == theirs.planes.y.tobytes()
            assert reader.end_us == known.end_us


def test_a_glance_needs_no_more_than_the_ends(tmp_path: Path) -> None:
    path = tmp_path / "clip.mov"
    data = large_clip(path)
    holey = tmp_path / "holey"
    holey.write_bytes(data[: 1 << 20] + bytes(len(data) - (2 << 20)) + data[-(1 << 20) :])
    with wired() as (channel, parent):
        parent.safe = [(0, 1 << 20), (len(data) - (1 << 20), len(data))]
        info = glance(GrowingMedia(holey, len(data), channel), MediaLimits(), "video")
    whole = probe(path, MediaLimits(), "video")
    assert info.frames == whole.frames == 100
    assert (info.width, info.height, info.video_codec) == (whole.width, whole.height, whole.video_codec)
    assert info.duration_seconds == pytest.approx(whole.duration_seconds, abs=0.1)


@pytest.mark.parametrize(
    ("limits", "limit"),
    [
        (MediaLimits(frame_pixels=1000), "frame_pixels"),
        (MediaLimits(duration_seconds=3.0), "duration_seconds"),
        (MediaLimits(decoded_pixels=320 * 400 * 80), "decoded_pixels"),
    ],
)
def test_a_glance_refuses_what_is_certainly_beyond_a_limit(limits: MediaLimits, limit: str) -> None:
    with pytest.raises(LimitExceededError) as refused:
        glance(MEDIA / "clip.mp4", limits, "video")
    assert (refused.value.limit, refused.value.field) == (limit, "video")


def test_a_glance_tells_sound_from_pictures_and_both_from_neither(tmp_path: Path) -> None:
    assert glance(MEDIA / "speech-papa.wav", MediaLimits(), "video").kind is MediaKind.AUDIO
    (tmp_path / "nothing").write_bytes(b"nothing" * 1000)
    with pytest.raises(InvalidMediaError):
        glance(tmp_path / "nothing", MediaLimits(), "video")


class _Coming(queue.Queue[tuple[int, int] | dict[str, object]]):
    """A file of which the end comes first and then one piece after the other, written when it is said to be there."""

    def __init__(self, path: Path, data: bytes, piece: int = 1_000_003) -> None:
        super().__init__()
        starts = range(0, len(data), piece)
        self._left = [starts[-1], *starts[:-1]]
        self._path, self._data, self._piece = path, data, piece

    def get(self, block: bool = True, timeout: float | None = None) -> tuple[int, int]:
        del block, timeout
        at = self._left.pop(0)
        piece = self._data[at : at + self._piece]
        with self._path.open("r+b") as file:
            file.seek(at)
            file.write(piece)
        return at, at + len(piece)
