"""The promise: what was acknowledged is there, what was accepted ends once and right, whatever is killed or cut.

Twenty uploads and twenty jobs run while sixty things happen, each chosen by chance: a program is killed, or a link
breaks. They happen as the work proceeds, one for each sixty-first of it, so that all of them hit work.
"""

import asyncio
import hashlib
import os
import random
import struct
import time
import wave
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest

from shared.pb.viseme.gateway.v1 import asset_pb2, job_pb2
from shared.pb.viseme.gateway.v1.asset_pb2_grpc import AssetServiceStub
from shared.pb.viseme.gateway.v1.job_pb2_grpc import JobServiceStub
from tests.chaos.clients import Followed, Upload, Watcher, insist
from tests.chaos.footprint import Footprint, footprint, shared_memory
from tests.chaos.strikes import Strike, Striker
from tests.relay import relay
from tests.signing import signing_flags
from tests.stack import Stack

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(3000)]

SEED = int(os.environ.get("VISEME_TEST_SEED", "20261126"))
STRIKES = 60
UPLOADS, UPLOADS_AT_ONCE, UPLOAD_BYTES = 20, 4, 8 << 20
UP_BYTES_S = 1 << 20
"""Of one connection, so that the uploads take about as long as the jobs."""
SPEECH_S = 2.0
CALM_S = 90.0
"""Time within which a system that has nothing to do gives back what it held."""
MORE_FILES, MORE_MIB = 8, 96
"""Open files and memory that a part may hold beyond what it held after the same jobs in calm."""
FLAGS = ("--segment-seconds", "1", *signing_flags())
ROOT = Path(__file__).resolve().parents[2]
DEMO, CLIP = ROOT / "deploy" / "demo", ROOT / "tests" / "media" / "clip.mp4"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """What one job is made of."""

    video: bytes
    speech: bytes
    key: str


@dataclass(slots=True)
class Work:
    """All that runs, and how far it has come."""

    uploads: list[Upload] = field(default_factory=list)
    watcher: Watcher | None = None
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def tell(self) -> None:
        """Something came further."""
        async with self.changed:
            self.changed.notify_all()

    @property
    def share(self) -> float:
        """How much of all is done, 0 to 1."""
        jobs = [] if self.watcher is None else list(self.watcher.jobs.values())
        shares = [upload.share for upload in self.uploads] + [1.0 if job.ends else job.share for job in jobs]
        return sum(shares) / len(shares)

    async def until(self, share: float) -> None:
        """Wait until so much is done."""
        async with self.changed:
            await self.changed.wait_for(lambda: self.share >= share)


def padded(film: bytes, size: int, seed: int) -> bytes:
    """A film followed by bytes that players skip: another file with the same pictures."""
    return film + struct.pack(">I4s", size, b"free") + random.Random(seed).randbytes(size - 8)


def speeches(folder: Path, count: int) -> list[bytes]:
    """As many parts of the demo's speech, each from another place."""
    made = []
    with wave.open(str(DEMO / "speech.wav")) as source:
        rate, sound = source.getframerate(), source.readframes(source.getnframes())
        frame = source.getsampwidth() * source.getnchannels()
        length = round(SPEECH_S * rate) * frame
        for number in range(count):
            at = number * ((len(sound) - length) // max(1, count - 1) // frame) * frame
            path = folder / f"speech-{number}.wav"
            with wave.open(str(path), "wb") as target:
                target.setparams(source.getparams())
                target.writeframes(sound[at : at + length])
            made.append(path.read_bytes())
    return made


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> list[Pair]:
    """Four faces, five speeches."""
    film = CLIP.read_bytes()
    videos = [film, (DEMO / "portrait.jpg").read_bytes(), padded(film, 64, 1), padded(film, 64, 2)]
    said = speeches(tmp_path_factory.mktemp("said"), 5)
    return [
        Pair(video=video, speech=speech, key=f"job-{number}-{turn}")
        for number, video in enumerate(videos)
        for turn, speech in enumerate(said)
    ]


async def bring(address: str, data: bytes, name: str) -> str:
    """Upload; gives the asset's id."""

    async def nobody() -> None:
        return

    upload = Upload(data, name, nobody)
    await upload.run(address)
    return upload.asset_id


async def submit(address: str, pairs: list[Pair]) -> list[str]:
    """Submit all jobs; gives their ids."""
    ids: dict[bytes, str] = {}
    for number, data in enumerate({part for pair in pairs for part in (pair.video, pair.speech)}):
        ids[data] = await bring(address, data, f"part-{number}")

    async def ask(channel: grpc.aio.Channel) -> list[str]:
        jobs: Any = JobServiceStub(channel)
        asked = [
            job_pb2.SubmitJobRequest(
                video_asset_id=ids[pair.video],
                speech_asset_id=ids[pair.speech],
                idempotency_key=pair.key,
                options=job_pb2.JobOptions(fit=job_pb2.FIT_MODE_LOOP),
            )
            for pair in pairs
        ]
        return [(await jobs.SubmitJob(one)).job.job_id for one in asked]

    told: list[str] = await insist(address, ask)
    return told


async def sha256_of(address: str, asset_id: str) -> str:
    """Download an asset; gives its bytes' digest."""

    async def read(channel: grpc.aio.Channel) -> str:
        seen = hashlib.sha256()
        request = asset_pb2.DownloadRequest(asset_id=asset_id)
        async for piece in AssetServiceStub(channel).Download(request):
            seen.update(piece.data)
        return seen.hexdigest()

    told: str = await insist(address, read)
    return told


async def results(address: str, job_ids: list[str]) -> list[str]:
    """The digests of the jobs' results, in the order of the jobs."""

    async def ask(channel: grpc.aio.Channel) -> list[job_pb2.Job]:
        jobs: Any = JobServiceStub(channel)
        return [(await jobs.GetJob(job_pb2.GetJobRequest(job_id=job_id))).job for job_id in job_ids]

    jobs: list[job_pb2.Job] = await insist(address, ask)
    assert [job.state for job in jobs] == [job_pb2.JOB_STATE_SUCCEEDED] * len(jobs), [job.error for job in jobs]
    return [await sha256_of(address, job.result_asset_id) for job in jobs]


async def in_calm(pairs: list[Pair]) -> tuple[list[str], Footprint]:
    """The same jobs while nothing happens: their results, and what the system holds afterwards."""
    with Stack(edge_flags=FLAGS) as stack:
        job_ids = await submit(stack.edge, pairs)
        work = Work()
        await Watcher(work.tell, {job_id: Followed() for job_id in job_ids}).run(stack.edge)
        return await results(stack.edge, job_ids), footprint(stack)


@asynccontextmanager
async def struck_system(folder: Path) -> AsyncIterator[tuple[Striker, str]]:
    """A system between two links that can break; gives also where its clients call."""
    stack = Stack(folder=folder, edge_flags=FLAGS)
    try:
        await asyncio.to_thread(stack.start, "node")
        async with relay(stack.parts["node"].ready.addresses["rpc"]) as (far, stack.node_at):
            await asyncio.to_thread(stack.start, "edge")
            async with relay(stack.edge) as (near, address):
                yield Striker(stack=stack, near=near, far=far), address
    finally:
        stack.close()


async def upload_all(work: Work, address: str) -> None:
    """Send the files, a few at a time."""
    turns = asyncio.Semaphore(UPLOADS_AT_ONCE)

    async def one(upload: Upload) -> None:
        async with turns:
            await upload.run(address)

    async with asyncio.TaskGroup() as tasks:
        for upload in work.uploads:
            tasks.create_task(one(upload))


async def strike_all(striker: Striker, work: Work) -> Counter[Strike]:
    """Let it all happen; gives how often what did."""
    chance = random.Random(SEED)
    done: Counter[Strike] = Counter()
    for number in range(STRIKES):
        await work.until((number + 1) / (STRIKES + 1))
        what = chance.choice(list(Strike))
        await striker.strike(what)
        done[what] += 1
    return done


async def replayed(address: str, job_ids: list[str]) -> Watcher:
    """What an edge tells of all jobs from their beginnings."""
    work = Work()
    watcher = Watcher(work.tell, {job_id: Followed() for job_id in job_ids})
    await watcher.run(address)
    return watcher


def too_much(now: Footprint, calm: Footprint) -> list[str]:
    """What is held beyond what the same jobs leave behind in calm."""
    found = []
    for part in calm.files:
        if now.files[part] > calm.files[part] + MORE_FILES:
            found.append(f"{part}: {now.files[part]} open files, {calm.files[part]} in calm")
        if now.memory_mib[part] > calm.memory_mib[part] + MORE_MIB:
            found.append(f"{part}: {now.memory_mib[part]} MiB, {calm.memory_mib[part]} in calm")
        if now.processes[part] > calm.processes[part]:
            found.append(f"{part}: {now.processes[part]} processes, {calm.processes[part]} in calm")
    if now.job_folders:
        found.append(f"{now.job_folders} folders of jobs")
    return found


async def calm_again(stack: Stack, calm: Footprint) -> Footprint:
    """Wait until what was held has been given back."""
    end = time.monotonic() + CALM_S
    while (excess := too_much(footprint(stack), calm)) and time.monotonic() < end:  # noqa: ASYNC110 - no system tells
        await asyncio.sleep(1)
    assert not excess, excess
    return footprint(stack)


async def test_the_promise(pairs: list[Pair], tmp_path: Path) -> None:
    expected, calm = await in_calm(pairs)
    shared_before = shared_memory()
    film = CLIP.read_bytes()
    async with struck_system(tmp_path) as (striker, address):
        job_ids = await submit(address, pairs)
        assert len(set(job_ids)) == len(pairs)
        work = Work()
        work.uploads = [
            Upload(padded(film, UPLOAD_BYTES, 100 + number), f"upload-{number}.mp4", work.tell)
            for number in range(UPLOADS)
        ]
        work.watcher = watcher = Watcher(work.tell, {job_id: Followed() for job_id in job_ids})
        striker.near.up_bytes_s, striker.near.up_bytes = UP_BYTES_S, 0
        begun = time.monotonic()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(upload_all(work, address))
            tasks.create_task(watcher.run(address))
            strikes = tasks.create_task(strike_all(striker, work))
        took = time.monotonic() - begun
        striker.near.up_bytes_s, sent_bytes = 0, striker.near.up_bytes

        # Every acknowledged chunk is there.
        assert [upload.lost for upload in work.uploads] == [set()] * UPLOADS
        for upload in work.uploads:
            assert await sha256_of(address, upload.asset_id) == hashlib.sha256(upload.data).hexdigest()
        # Every accepted job ended exactly once, with the right result; a key still names the same job.
        assert [job.ends for job in watcher.jobs.values()] == [[job_pb2.JOB_STATE_SUCCEEDED]] * len(pairs)
        assert await results(address, job_ids) == expected
        assert await submit(address, pairs) == job_ids
        # No event number is missing or doubled, neither as they came nor as they are kept.
        kept = await replayed(address, job_ids)
        assert watcher.faults == kept.faults == []
        assert {name: job.sequence for name, job in kept.jobs.items()} == {
            name: job.sequence for name, job in watcher.jobs.items()
        }
        # What was held is given back.
        after = await calm_again(striker.stack, calm)

        size = sum(len(upload.data) for upload in work.uploads)
        print(f"\nseed {SEED}, {took:.0f} s; " + ", ".join(f"{n} x {what}" for what, n in strikes.result().items()))
        print(f"uploads: {size / 1e6:.0f} MB, {(sent_bytes - size) / 1e6:.1f} MB more went over the link")
        print(f"events: {sum(job.sequence for job in watcher.jobs.values())}")
        print(f"held in calm {calm}\nheld after all {after}")
    assert shared_memory() <= shared_before
