"""Fragments of a preview: the packets of the result, made by the way, the same bytes from the one and the other."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from edge_gateway.fragment import Fragment
from edge_gateway.fragments import cut_live, cut_result
from shared.errors import InternalError
from shared.media.wire import Message
from tests.unit.edge_gateway.test_finish import EVEN, UNEVEN, finished, segments, tone, write_wav


class Talk:
    """A channel with all that is to be said, and all that was answered."""

    def __init__(self, *asks: dict[str, Any]) -> None:
        self.asks = list(asks)
        self.answers: list[Message] = []

    def receive(self) -> Message | None:
        return Message(header=self.asks.pop(0)) if self.asks else None

    def send(self, header: dict[str, Any], payload: bytes = b"") -> None:
        self.answers.append(Message(header=header, payload=bytes(payload)))


def live(folder: Path, durations: Sequence[Sequence[int]], speech: Path, skip: int = 0) -> tuple[Message, list[bytes]]:
    paths, starts, _, length = segments(folder, durations)
    ends = [*starts[1:], length]
    talk = Talk(
        *(
            {"path": path, "start_us": start, "end_us": end, "is_last": end == length, "skip": index < skip}
            for index, (path, start, end) in enumerate(zip(paths, starts, ends, strict=True))
        )
    )
    cut_live(talk, {"speech": str(speech)})  # type: ignore[arg-type] # it does for a channel
    init, *made = talk.answers
    fragments = [Fragment.of(message.payload) for message in made]
    return init, [whole(one, Path(path)) for one, path in zip(fragments, paths[skip:], strict=True)]


def whole(fragment: Fragment, path: Path) -> bytes:
    pieces = [fragment.read(path, at, 1000) for at in range(0, fragment.size_bytes, 1000)]
    assert b"".join(pieces) == fragment.read(path, 0, 1 << 30)
    return b"".join(pieces)


def of_result(folder: Path, output: Path) -> tuple[dict[str, Any], bytes, list[bytes]]:
    talk, records = Talk(), folder / "records"
    cut_result(talk, {"path": str(output), "output": str(records)})  # type: ignore[arg-type] # it does for a channel
    (answer,) = talk.answers
    data = records.read_bytes()
    at, found = 0, []
    for size in answer.header["record_bytes"]:
        found.append(whole(Fragment.of(data[at : at + size]), output))
        at += size
    assert at == len(data)
    return answer.header, answer.payload, found


def packets(data: bytes, kind: str) -> list[tuple[int | None, bytes]]:
    with av.open(io.BytesIO(data)) as media:
        (stream,) = [one for one in media.streams if one.type == kind]
        return [(packet.pts, bytes(packet)) for packet in media.demux(stream) if packet.size]


def heard(data: bytes) -> np.ndarray[Any, Any]:
    with av.open(io.BytesIO(data)) as media:
        return np.concatenate([frame.to_ndarray()[0] for frame in media.decode(audio=0)])


@pytest.mark.parametrize("durations", [EVEN, UNEVEN, [[40_000]], [[40_000] * 50, [40_000]]])
@pytest.mark.parametrize(("rate", "channels"), [(16_000, 1), (44_100, 2)])
def test_the_fragments_are_the_result(tmp_path: Path, durations: list[list[int]], rate: int, channels: int) -> None:
    speech = write_wav(tmp_path / "s.wav", tone(5, rate), rate, channels)
    output, shown, _ = finished(tmp_path, durations, speech)
    init, made = live(tmp_path, durations, speech)
    assert len(made) == len(durations)
    preview = init.payload + b"".join(made)
    result = output.read_bytes()
    # Pictures and sound at the same times, and sound that begins and ends there.
    assert sorted(packets(preview, "video")) == sorted(packets(result, "video"))
    assert packets(preview, "audio") == packets(result, "audio")
    assert np.array_equal(heard(preview), heard(result))
    with av.open(io.BytesIO(preview)) as media:
        assert [round(frame.time * 1e6) for frame in media.decode(video=0)] == pytest.approx(shown, abs=12)


@pytest.mark.parametrize("durations", [EVEN, UNEVEN, [[40_000]], [[40_000] * 50, [40_000]]])
@pytest.mark.parametrize(("rate", "channels"), [(16_000, 1), (44_100, 2)])
def test_a_result_has_the_fragments_of_its_job(
    tmp_path: Path, durations: list[list[int]], rate: int, channels: int
) -> None:
    speech = write_wav(tmp_path / "s.wav", tone(1.3, rate), rate, channels)
    output, _, _ = finished(tmp_path, durations, speech)
    init, made = live(tmp_path, durations, speech)
    header, other_init, found = of_result(tmp_path, output)
    assert (header["mime_type"], other_init) == (init.header["mime_type"], init.payload)
    assert found == made


def test_fragments_are_made_again_from_any_one(tmp_path: Path) -> None:
    speech = write_wav(tmp_path / "s.wav", tone(5, 16_000), 16_000)
    first, made = live(tmp_path, EVEN, speech)
    for skip in range(1, len(EVEN)):
        again, rest = live(tmp_path, EVEN, speech, skip)
        assert (again, rest) == (first, made[skip:])


def test_players_are_told_the_codecs(tmp_path: Path) -> None:
    speech = write_wav(tmp_path / "s.wav", tone(1, 16_000), 16_000)
    init, _ = live(tmp_path, [[40_000] * 5], speech)
    assert init.header["mime_type"] == 'video/mp4; codecs="avc1.64000a, mp4a.40.2"'


def test_a_damaged_record_is_refused() -> None:
    record = Fragment(start_us=0, end_us=1, head=b"head", extents=((5, 9), (20, 1)), tail=b"tail").to_bytes()
    assert Fragment.of(record).to_bytes() == record
    for damaged in (b"", record[:-1], record + b"x", record[:20]):
        with pytest.raises(InternalError):
            Fragment.of(damaged)
