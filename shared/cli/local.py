"""The parts on this machine: started as processes, watched, started again, stopped."""

import asyncio
import contextlib
import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO, Final

from shared.errors import EdgeUnavailableError, InternalError, NodeUnavailableError, UnavailableError
from shared.rpc.ready import Ready, parse

READY_SECONDS: Final = 180.0
"""A node loads networks and starts Triton before it is ready."""

STOP_SECONDS: Final = 20.0
"""Time from SIGTERM to SIGKILL: longer than a service's own grace."""

LOG_BYTES: Final = 16 << 20
"""A log that is longer is put aside at the next start."""

ROOT: Final = Path(__file__).resolve().parents[2]
"""Where the packages lie."""

_FIRST_DELAY_S: Final = 0.5
_LONGEST_DELAY_S: Final = 30.0
_STEADY_S: Final = 60.0

_NEEDED: Final = {
    "edge": ("av", "cv2", "numpy", "pydantic", "starlette", "structlog", "uvicorn"),
    "node": ("av", "numpy", "onnxruntime", "pydantic", "structlog", "tritonclient"),
}
_FAULT: Final[dict[str, type[UnavailableError]]] = {"edge": EdgeUnavailableError, "node": NodeUnavailableError}


class PartState(StrEnum):
    """What a part does."""

    STARTING = "starting"
    READY = "ready"
    DIED = "died"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class PartNews:
    """Something about a part that a person wants to know."""

    part: str
    state: PartState
    addresses: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    words: str = ""


Tell = Callable[[PartNews], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A part that can be started.

    Args:
        name: ``edge`` or ``node``.
        command: The program and its fixed arguments.
        listens: The flag and address of each thing it listens on; after the first start the port is the real one.
    """

    name: str
    command: tuple[str, ...]
    listens: Mapping[str, str]


def part_program(name: str, *, data: Path, listens: Mapping[str, str], flags: Sequence[str] = ()) -> Program:
    """The edge or the node of this installation.

    Raises:
        UnavailableError: It is not installed.
    """
    missing = [module for module in _NEEDED[name] if importlib.util.find_spec(module) is None]
    if missing:
        raise _FAULT[name](
            f"the {name} cannot be started here: it is not installed ({', '.join(missing)} missing); "
            "run: pip install 'viseme[all]', or name a running edge with --edge HOST:PORT"
        )
    module = {"edge": "edge_gateway", "node": "inference_node"}[name]
    command = (sys.executable, "-m", module, "--data", str(data / name), *flags)
    return Program(name=name, command=command, listens=listens)


class Part:
    """One running part: started again when it dies, on the same addresses."""

    def __init__(self, program: Program, *, log: Path, tell: Tell) -> None:
        self._program = program
        self._log = log
        self._tell = tell
        self._process: asyncio.subprocess.Process | None = None
        self._listens = dict(program.listens)
        self.ready: Ready | None = None

    async def start(self) -> Ready:
        """Start and wait for the word that it is ready.

        Raises:
            UnavailableError: It ended or stayed silent instead; the message has the end of its log.
        """
        begun = time.monotonic()
        self._tell(PartNews(part=self._program.name, state=PartState.STARTING))
        reading, writing = os.pipe()
        with os.fdopen(reading, "rb", closefd=True) as pipe:
            try:
                self._process = await self._spawn(writing)
            finally:
                os.close(writing)
            line = await self._ready_line(pipe)
        if not line:
            await self.stop()
            raise _FAULT[self._program.name](f"the {self._program.name} did not start; {self._last_words()}")
        self.ready = parse(line)
        for use, address in self.ready.addresses.items():
            if use in self._listens:
                self._listens[use] = address
        self._tell(
            PartNews(
                part=self._program.name,
                state=PartState.READY,
                addresses=self.ready.addresses,
                seconds=time.monotonic() - begun,
            )
        )
        return self.ready

    async def watch(self) -> None:
        """Start the part again whenever it dies, with growing delays; returns never."""
        delay = _FIRST_DELAY_S
        while True:
            begun = time.monotonic()
            if self._process is None:
                raise InternalError(f"the {self._program.name} was not started")
            code = await self._process.wait()
            if time.monotonic() - begun > _STEADY_S:
                delay = _FIRST_DELAY_S
            self._died(f"{_how_it_ended(code)}; starting it again in {delay:.1f} s (log: {self._log})")
            await asyncio.sleep(delay)
            delay = min(_LONGEST_DELAY_S, delay * 2)
            try:
                await self.start()
            except UnavailableError as error:
                self._died(error.message)

    async def stop(self) -> None:
        """SIGTERM, then, for what does not end, SIGKILL to its whole process group."""
        process = self._process
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await process.wait()
        except TimeoutError:
            self._tell(PartNews(part=self._program.name, state=PartState.DIED, words="does not stop; killing it"))
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
        if self.ready is not None:
            self._tell(PartNews(part=self._program.name, state=PartState.STOPPED))

    def _died(self, words: str) -> None:
        self._tell(PartNews(part=self._program.name, state=PartState.DIED, words=words))

    async def _spawn(self, writing: int) -> asyncio.subprocess.Process:
        flags = [word for use, address in self._listens.items() for word in (_flag(use), address)]
        command = [*self._program.command, *flags, "--ready-fd", str(writing)]
        leash = [sys.executable, "-m", "shared.cli.leash", str(os.getpid()), "--", *command]
        with self._open_log() as log:
            return await asyncio.create_subprocess_exec(
                *leash,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[writing],
                start_new_session=True,
                # `-m` looks into the working folder first: it must be ours, not one where a user has a `shared`.
                cwd=ROOT,
            )

    async def _ready_line(self, pipe: BinaryIO) -> str:
        loop = asyncio.get_running_loop()
        stream = asyncio.StreamReader()
        transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stream), pipe)
        try:
            async with asyncio.timeout(READY_SECONDS):
                return (await stream.readline()).decode()
        except TimeoutError:
            return ""
        finally:
            transport.close()

    def _open_log(self) -> BinaryIO:
        self._log.parent.mkdir(parents=True, exist_ok=True)
        if self._log.exists() and self._log.stat().st_size > LOG_BYTES:
            self._log.replace(self._log.with_suffix(".log.1"))
        return self._log.open("ab")

    def _last_words(self) -> str:
        with self._log.open("rb") as log:
            log.seek(max(0, self._log.stat().st_size - 4096))
            lines = [line for line in log.read().decode(errors="replace").splitlines() if line.strip()]
        words = lines[-1] if lines else "it said nothing"
        return f"its last words: {words} (log: {self._log})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """Parts that run: where they listen, by part and use."""

    edge: Mapping[str, str]
    node: Mapping[str, str]


@asynccontextmanager
async def running_parts(
    *,
    data: Path,
    edge_listens: Mapping[str, str],
    node_listens: Mapping[str, str],
    models: Path | None = None,
    flags: Sequence[str] = (),
    tell: Tell,
) -> AsyncIterator[Running]:
    """Start node and edge, keep them running inside the block, stop them after it.

    Args:
        data: The folder under which each keeps what it keeps.
        edge_listens: ``listen``, ``web``, ``metrics`` and their addresses.
        node_listens: ``listen``, ``metrics`` and their addresses.
        models: The folder of the user's own networks, if there is one.
        flags: More flags for both.
        tell: Told what happens to the parts.

    Raises:
        UnavailableError: A part does not start.
    """
    logs = data / "logs"
    own = ("--models", str(models)) if models is not None else ()
    program = part_program("node", data=data, listens=_by_use(node_listens), flags=(*own, *flags))
    node = Part(program, log=logs / "node.log", tell=tell)
    # Asked before the node is started, so that nothing is started in vain.
    part_program("edge", data=data, listens={})
    edge: Part | None = None
    watching: list[asyncio.Task[None]] = []
    try:
        node_ready = await node.start()
        program = part_program(
            "edge",
            data=data,
            listens=_by_use(edge_listens),
            flags=("--node", node_ready.addresses["rpc"], *flags),
        )
        edge = Part(program, log=logs / "edge.log", tell=tell)
        edge_ready = await edge.start()
        watching = [asyncio.create_task(part.watch()) for part in (node, edge)]
        yield Running(edge=edge_ready.addresses, node=node_ready.addresses)
    finally:
        for task in watching:
            task.cancel()
        await asyncio.gather(*watching, return_exceptions=True)
        if edge is not None:
            await edge.stop()
        await node.stop()


def _by_use(listens: Mapping[str, str]) -> dict[str, str]:
    """Addresses by the names under which ``Ready`` gives them."""
    return {"rpc" if name == "listen" else name: address for name, address in listens.items()}


def _flag(use: str) -> str:
    return "--listen" if use == "rpc" else f"--{use}"


def _how_it_ended(code: int) -> str:
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return f"ended with status {code}"
