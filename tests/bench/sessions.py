"""Watchers of jobs: how soon many are told, what each costs, and whether any is turned away.

``python -m tests.bench.sessions``; the last table needs root (two network namespaces with a link between them).

The server is a process with the edge's own parts for sessions (database, journal, gRPC, uvloop) and jobs that nobody
does: their events are recorded as fast as this asks. A delay runs from an event's time, which is taken before it is
written to disk, to its arrival in the watcher's process on the same machine, whose clock is the same.
"""

import argparse
import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import psutil
import uvloop

from edge_gateway.jobs.job import Progress, Stage
from shared.memory import KEEP_MESSAGES, calm_collector, set_malloc
from shared.pb.viseme.gateway.v1 import job_pb2
from shared.rpc.address import Address, parse_address
from shared.rpc.channel import END, open_channel
from tests.bench.transfer.table import head, row
from tests.wan.network import Host, LinkError, link_of_two
from tests.watched import watched

ROOT = Path(__file__).resolve().parents[2]
SESSION = "/viseme.gateway.v1.JobService/Session"
GET_JOB = "/viseme.gateway.v1.JobService/GetJob"
EVENTS = 40
EVERY_S = 0.5
POLL_S = 2.0
ROUND_TRIP_S = 0.2


async def serve(folder: Path, listen: str) -> None:
    """Serve sessions, and do what stands on stdin."""
    loop = asyncio.get_running_loop()
    async with watched(folder, listen=listen) as here:
        print(here.address, flush=True)
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            ask = json.loads(line)
            answer: object = None
            if ask["do"] == "job":
                answer = await here.job()
            elif ask["do"] == "happen":
                for number in range(ask["count"]):
                    body = Progress(stage=Stage.INFER, done_frames=number, total_frames=ask["count"])
                    await here.journal.record(ask["job"], body)
                    await asyncio.sleep(ask["every_s"])
            print(json.dumps(answer), flush=True)


@dataclass(slots=True)
class Server:
    """The server's process."""

    process: subprocess.Popen[str]
    address: Address

    def ask(self, **what: object) -> Any:
        """Have something done there and wait for it."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(what) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    async def happen(self, job_id: str, count: int, every_s: float) -> None:
        """Let a job come further."""
        await asyncio.to_thread(self.ask, do="happen", job=job_id, count=count, every_s=every_s)

    @property
    def memory(self) -> int:
        """Bytes that it holds."""
        held: int = psutil.Process(self.process.pid).memory_info().rss
        return held

    @property
    def cpu_s(self) -> float:
        """Seconds of a processor that it took."""
        times = psutil.Process(self.process.pid).cpu_times()
        taken: float = times.user + times.system
        return taken


@asynccontextmanager
async def server(listen: str = "127.0.0.1:0", host: Host | None = None) -> AsyncIterator[Server]:
    """A server that runs inside the block."""
    with tempfile.TemporaryDirectory(prefix="viseme-sessions-") as folder:
        command = [sys.executable, "-m", "tests.bench.sessions", "--serve", folder, "--listen", listen]
        options: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "cwd": ROOT}
        process = subprocess.Popen(command, **options) if host is None else host.popen(command, **options)  # noqa: ASYNC220
        try:
            line = await asyncio.to_thread(process.stdout.readline)  # type: ignore[union-attr]  # it is a pipe
            yield Server(process, parse_address(line.strip(), field="server"))
        finally:
            process.kill()
            process.wait()


class Watcher:
    """One session; keeps what it is told as bytes, with the time."""

    def __init__(self, channel: grpc.aio.Channel, job_id: str) -> None:
        self._open = channel.stream_stream(SESSION, request_serializer=job_pb2.SessionRequest.SerializeToString)
        self._job_id = job_id
        self.told: list[tuple[float, bytes]] = []
        self.call: Any = None

    async def begin(self, after: int = 0) -> bool:
        """Subscribe, and wait for the first answer; False where it was turned away."""
        self.call = self._open()
        subscribe = job_pb2.Subscribe(job_id=self._job_id, after_sequence=after)
        try:
            await self.call.write(job_pb2.SessionRequest(subscribe=subscribe))
            await self.call.write(job_pb2.SessionRequest(ping=job_pb2.Ping(nonce=1)))
            return await self.call.read() is not END
        except (grpc.RpcError, asyncio.InvalidStateError):
            return False

    async def listen(self) -> None:
        """Keep what comes."""
        while (data := await self.call.read()) is not END:
            self.told.append((time.time(), data))

    def delays(self) -> list[float]:
        """Seconds from events to their arrival."""
        return [at - told.event.time.ToMicroseconds() / 1e6 for at, told in self.parsed() if told.HasField("event")]

    def parsed(self) -> list[tuple[float, job_pb2.SessionResponse]]:
        """What it was told, and when."""
        return [(at, job_pb2.SessionResponse.FromString(data)) for at, data in self.told]


def share(values: Sequence[float], of: float) -> float:
    """A quantile."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(of * len(ordered)))]


def ms(seconds: float) -> str:
    """Milliseconds, in words."""
    return f"{seconds * 1000:.0f} ms"


async def connections(stack: AsyncExitStack, there: Server, count: int) -> list[grpc.aio.Channel]:
    """Connections of their own."""
    channels = [open_channel(there.address, own_connection=True) for _ in range(count)]
    return [await stack.enter_async_context(channel) for channel in channels]


async def fan_out(sessions: int, per_connection: int) -> None:
    """Tell many of the same job."""
    async with server() as there, AsyncExitStack() as stack:
        job_id = there.ask(do="job")
        before = there.memory
        channels = await connections(stack, there, sessions // per_connection)
        watchers = [Watcher(channels[number % len(channels)], job_id) for number in range(sessions)]
        begun = await asyncio.gather(*(watcher.begin() for watcher in watchers))
        listening = [asyncio.create_task(watcher.listen()) for watcher in watchers if watcher.call]
        await asyncio.sleep(1)
        held, cpu = there.memory - before, there.cpu_s
        await there.happen(job_id, EVENTS, EVERY_S)
        await asyncio.sleep(2)
        cpu = there.cpu_s - cpu
        delays = [delay for watcher in watchers for delay in watcher.delays()[-EVENTS:]]
        for watcher in watchers:
            watcher.call.cancel()
        await asyncio.gather(*listening, return_exceptions=True)
        row(
            f"{sessions:,}",
            f"{sessions // per_connection:,}",
            f"{sessions - sum(begun)}",
            f"{len(delays) - sessions * EVENTS:+d}" if len(delays) != sessions * EVENTS else "all",
            ms(share(delays, 0.5)),
            ms(share(delays, 0.99)),
            f"{held / sessions / 1024:.0f} KiB",
            f"{cpu / max(1, len(delays)) * 1e6:.0f} µs",
        )


async def reconnect(sessions: int, per_connection: int, jitter_s: float) -> None:
    """Cut all, and let all come back at once."""
    async with server() as there, AsyncExitStack() as stack:
        job_id = there.ask(do="job")
        await there.happen(job_id, 200, 0)
        channels = await connections(stack, there, sessions // per_connection)
        watchers = [Watcher(channels[number % len(channels)], job_id) for number in range(sessions)]

        async def come(watcher: Watcher, at: float) -> tuple[bool, float]:
            await asyncio.sleep(random.uniform(0, jitter_s))
            answered = await watcher.begin(200)  # one event was missed
            return answered, time.monotonic() - at

        for attempt in range(2):
            at = time.monotonic()
            came = await asyncio.gather(*(come(watcher, at) for watcher in watchers))
            if attempt:
                times = [seconds for _, seconds in came]
                row(
                    f"{sessions:,}",
                    f"{sessions // per_connection:,}",
                    f"{jitter_s:g} s",
                    f"{sum(not answered for answered, _ in came)}",
                    f"{share(times, 0.5):.1f} s",
                    f"{max(times):.1f} s",
                    f"{there.memory / (1 << 20):.0f} MiB",
                )
            for watcher in watchers:
                watcher.call.cancel()


async def poll(address: Address, job_id: str) -> list[float]:
    """Ask every two seconds; gives the delays of events that were seen in this way."""
    async with open_channel(address) as channel:
        ask = channel.unary_unary(
            GET_JOB,
            request_serializer=job_pb2.GetJobRequest.SerializeToString,
            response_deserializer=job_pb2.GetJobResponse.FromString,
        )
        seen: dict[int, float] = {}
        for _ in range(int(EVENTS * EVERY_S / POLL_S) + 2):
            answer = await ask(job_pb2.GetJobRequest(job_id=job_id))
            for sequence in range(2, answer.job.last_sequence + 1):
                seen.setdefault(sequence, time.time())
            await asyncio.sleep(POLL_S)
        watcher = Watcher(channel, job_id)
        await watcher.begin()
        listening = asyncio.create_task(watcher.listen())
        await asyncio.sleep(1 + 2 * ROUND_TRIP_S)
        watcher.call.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        events = [told.event for _, told in watcher.parsed() if told.HasField("event")]
        return [seen[event.sequence] - event.time.ToMicroseconds() / 1e6 for event in events if event.sequence in seen]


async def watch_far(address: str) -> None:
    """What is seen from the far end of the link: a session, and who polls; prints both as JSON."""
    there = parse_address(address, field="server")
    async with open_channel(there) as channel:
        job_id = sys.stdin.readline().strip()
        watcher = Watcher(channel, job_id)
        await watcher.begin()
        listening = asyncio.create_task(watcher.listen())
        print("ready", flush=True)
        polled = await poll(there, job_id)
        watcher.call.cancel()
        await asyncio.gather(listening, return_exceptions=True)
    print(json.dumps({"session": watcher.delays(), "poll": polled}), flush=True)


async def far(round_trip_s: float) -> None:
    """A session and a poller over a link."""
    with link_of_two(delay_ms=round_trip_s * 1000) as link:
        async with server(f"{link.server.address}:50051", link.server) as there:
            job_id = there.ask(do="job")
            client = link.client.popen(
                [sys.executable, "-m", "tests.bench.sessions", "--far", str(there.address)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                cwd=ROOT,
            )
            client.stdin.write(job_id + "\n")  # type: ignore[union-attr]  # it is a pipe
            client.stdin.flush()  # type: ignore[union-attr]  # the same
            await asyncio.to_thread(client.stdout.readline)  # type: ignore[union-attr]  # the same
            await there.happen(job_id, EVENTS, EVERY_S)
            told = json.loads(await asyncio.to_thread(client.stdout.readline))  # type: ignore[union-attr]  # the same
            client.wait()
    for name, words in (("session", "gRPC session"), ("poll", f"polling every {POLL_S:g} s")):
        delays = told[name][-EVENTS:]
        row(f"{round_trip_s * 1000:.0f} ms", words, ms(share(delays, 0.5)), ms(share(delays, 0.99)), ms(max(delays)))


async def main() -> None:
    """Print all tables."""
    print(f"{EVENTS} events of one job, {1 / EVERY_S:g} a second\n")
    head("sessions", "connections", "turned away", "told", "delay p50", "p99", "memory a session", "CPU an event")
    await fan_out(1000, 100)
    await fan_out(1000, 1)
    print("\nreconnecting, the second time that all come\n")
    head("sessions", "connections", "within", "turned away", "answered p50", "all", "server's memory")
    await reconnect(10_000, 100, 0.0)
    await reconnect(10_000, 100, 2.0)
    print(f"\nover a link, {1 / EVERY_S:g} events a second\n")
    head("round trip", "by", "delay p50", "p99", "most")
    try:
        await far(ROUND_TRIP_S)
    except LinkError as error:
        print(f"left out: {error}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--serve", type=Path)
    parser.add_argument("--listen", default="127.0.0.1:0")
    parser.add_argument("--far")
    arguments = parser.parse_args()
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    if arguments.serve:
        set_malloc(KEEP_MESSAGES, os.environ)
        calm_collector()
        uvloop.run(serve(arguments.serve, arguments.listen))
    elif arguments.far:
        asyncio.run(watch_far(arguments.far))
    else:
        uvloop.run(main())
