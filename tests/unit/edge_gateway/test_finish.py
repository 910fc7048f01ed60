import hashlib
import os
import wave
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest

from edge_gateway.finish import finish
from shared.errors import DiskFullError, InternalError
from shared.media.audio import audio_length_us, open_sound
from shared.media.limits import MediaLimits
from shared.media.planes import Planes
from shared.media.sandbox import ChildLimits, Reach, Sandbox
from shared.media.video import ColourTags, Encoding, encode_video
from shared.provenance.finding import TAG
from tests.signing import Recorder

EVEN = [[40_000] * 50, [40_000] * 50, [40_000] * 13]
UNEVEN = [[10_000, 33_000, 40_000, 100_000] * 8, [120_000] + [16_000] * 30, [90_000]]


def tone(seconds: float, rate: int) -> npt.NDArray[np.float64]:
    times = np.arange(round(0.05 * rate)) / rate
    sound = np.zeros(round(seconds * rate))
    for at in (0.0, 0.83, 1.9):
        room = sound[round(at * rate) :][: len(times)]
        room += (0.6 * np.sin(2 * np.pi * (400 * times + 20_000 * times**2)))[: len(room)]
    return sound


def write_wav(path: Path, sound: npt.NDArray[np.float64], rate: int, channels: int = 1) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.repeat(sound[:, None] * 32_000, channels, axis=1).astype("<i2").tobytes())
    return path


def segments(folder: Path, durations: Sequence[Sequence[int]]) -> tuple[list[str], list[int], list[int], int]:
    """Segment files, where each starts, when each frame is shown, and the length."""
    encoding = Encoding(rate=Fraction(25), crf=20, colour=ColourTags.of("bt709", full_range=False))
    noise = np.random.default_rng(1)
    paths, starts, shown, now = [], [], [], 0
    for index, part in enumerate(durations):
        times = [sum(part[:place]) for place in range(len(part))]
        pictures = [
            Planes(
                y=noise.integers(0, 255, (64, 64), np.uint8),
                u=np.full((32, 32), 99, np.uint8),
                v=np.full((32, 32), 150, np.uint8),
            )
            for _ in part
        ]
        path = folder / f"{index}.mp4"
        path.write_bytes(encode_video(pictures, times, encoding))
        paths.append(str(path))
        starts.append(now)
        shown.extend(now + time for time in times)
        now += sum(part)
    return paths, starts, shown, now


def finished(
    folder: Path, durations: Sequence[Sequence[int]], speech: Path, *, tag: str = "", producer: str = ""
) -> tuple[Path, list[int], int]:
    paths, starts, shown, length = segments(folder, durations)
    output = folder / "out.mp4"
    channel = Recorder()
    arguments = {
        "segments": paths,
        "starts_us": starts,
        "speech": str(speech),
        "length_us": length,
        "output": str(output),
        "tag": tag,
        "producer": producer,
    }
    finish(channel, arguments)  # type: ignore[arg-type] # a recorder does for a channel
    (told,) = channel.headers
    assert len(told.pop("produce_id")) == (32 if producer else 0)
    assert told == {"kind": "finished", "frames": len(shown), "size_bytes": output.stat().st_size}
    return output, shown, length


@pytest.mark.parametrize("durations", [EVEN, UNEVEN, [[40_000]]])
def test_every_frame_is_shown_at_its_time(tmp_path: Path, durations: list[list[int]]) -> None:
    output, shown, length = finished(tmp_path, durations, write_wav(tmp_path / "s.wav", tone(2, 16_000), 16_000))
    with av.open(str(output)) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        assert [round(frame.time * 1e6) for frame in container.decode(video)] == pytest.approx(shown, abs=12)
        assert float(container.duration) == pytest.approx(length, abs=2_000)
        assert video.start_time == audio.start_time == 0
    with av.open(str(output)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        decoding = [packet.dts for packet in packets]
        assert decoding == sorted(set(decoding))
        assert all(packet.dts <= packet.pts for packet in packets)
        assert sum(packet.is_keyframe for packet in packets) == len(durations)


@pytest.mark.parametrize(("rate", "channels"), [(16_000, 1), (44_100, 2), (48_000, 1), (96_000, 2)])
@pytest.mark.parametrize("seconds", [3.2, 9.0])
def test_the_speech_begins_with_the_first_frame_and_ends_with_the_last(
    tmp_path: Path, rate: int, channels: int, seconds: float
) -> None:
    speech = write_wav(tmp_path / "s.wav", tone(seconds, rate), rate, channels)
    output, _, length = finished(tmp_path, EVEN, speech)
    with open_sound(output, MediaLimits()) as sound:
        assert (sound.info.codec, sound.info.rate) == ("aac", 44_100 if rate == 44_100 else 48_000)
        assert sound.info.channels == channels
        heard = np.concatenate([block[0] for block in sound.blocks(rate=16_000, channels=1)])
    reference, size = tone(seconds, 16_000), 1 << 18
    both = np.fft.irfft(np.fft.rfft(heard, size) * np.conj(np.fft.rfft(reference, size)), size)
    at = int(np.argmax(both))
    assert min(at, size - at) <= 16
    with av.open(str(output)) as container:
        stream = container.streams.audio[0]
        assert abs(float(stream.duration * stream.time_base) * 1e6 - length) < 50
    # Decoders that play the last AAC frame to its end play at most one frame of silence.
    assert -50 < audio_length_us(output, MediaLimits()) - length < 24_000


def test_the_result_is_the_same_bytes_every_time_and_begins_with_its_index(tmp_path: Path) -> None:
    speech = write_wav(tmp_path / "s.wav", tone(4, 16_000), 16_000)
    digests = set()
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        output, _, _ = finished(tmp_path / name, EVEN, speech)
        data = output.read_bytes()
        digests.add(hashlib.sha256(data).hexdigest())
        assert data.index(b"moov") < data.index(b"mdat")
    assert len(digests) == 1


def test_a_tag_can_be_read_from_the_file_and_moves_nothing_in_it(tmp_path: Path) -> None:
    speech = write_wav(tmp_path / "s.wav", tone(4, 16_000), 16_000)
    paths, starts, _, length = segments(tmp_path, EVEN)
    arguments = {"segments": paths, "starts_us": starts, "speech": str(speech), "length_us": length}
    told, packets = '{"sync":{"score":88},"why":"\u00fc"}', []
    for tag in ("", told):
        output = tmp_path / f"out{len(tag)}.mp4"
        finish(Recorder(), arguments | {"output": str(output), "tag": tag})  # type: ignore[arg-type] # as above
        with av.open(str(output)) as container:
            assert container.metadata.get(TAG, "") == tag
            packets.append([(packet.pts, packet.dts, bytes(packet)) for packet in container.demux() if packet.size])
    assert packets[0] == packets[1]


def test_segments_that_were_encoded_otherwise_are_not_joined(tmp_path: Path) -> None:
    speech = write_wav(tmp_path / "s.wav", tone(4, 16_000), 16_000)
    paths, starts, _, length = segments(tmp_path, EVEN)
    other = Encoding(rate=Fraction(25), crf=20, colour=ColourTags.of("bt601", full_range=True))
    grey = Planes(y=np.full((64, 64), 9, np.uint8), u=np.full((32, 32), 9, np.uint8), v=np.full((32, 32), 9, np.uint8))
    Path(paths[1]).write_bytes(encode_video([grey], [0], other))
    arguments = {"segments": paths, "starts_us": starts, "speech": str(speech), "length_us": length}
    with pytest.raises(InternalError, match=r"1\.mp4"):
        finish(Recorder(), arguments | {"output": str(tmp_path / "out.mp4")})  # type: ignore[arg-type] # a recorder does for a channel


async def test_a_disk_that_is_too_small_for_the_result_is_named(
    small_disk: Callable[[Path, int], Path], tmp_path: Path
) -> None:
    speech = write_wav(tmp_path / "speech.wav", tone(4.5, 16_000), 16_000)
    paths, starts, _, length = segments(tmp_path, EVEN)
    limits = ChildLimits(address_space_bytes=4 << 30, cpu_seconds=60, file_bytes=1 << 30)
    async with Sandbox() as sandbox:

        async def write(output: Path) -> bytes:
            arguments = {"segments": paths, "starts_us": starts, "speech": str(speech), "length_us": length}
            reach = Reach(reads=(*paths, str(speech)), writes=(str(output),))
            await sandbox.call(finish, {**arguments, "output": str(output)}, limits, 60, reach)
            return output.read_bytes()

        whole = await write(tmp_path / "whole.mp4")
        page = os.sysconf("SC_PAGESIZE")
        pages = -(-len(whole) // page)
        for room in (1, pages // 2, pages - 2, pages - 1):
            disk = small_disk(tmp_path / f"disk-{room}", room * page)
            with pytest.raises(DiskFullError, match="free some"):
                await write(disk / "out.mp4")
        assert await write(small_disk(tmp_path / "enough", pages * page) / "out.mp4") == whole
