"""A Triton server launched by the node: loopback or a Unix socket only, in a process group that dies with the node."""

import asyncio
import os
import secrets
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from inference_node.triton.environment import TritonEnvironment
from shared.errors import EngineUnavailableError
from shared.rpc.address import Address
from shared.telemetry.logging import get_logger

GUARDIAN: Final = Path(__file__).with_name("guardian.py")
BACKEND: Final = Path(__file__).with_name("backends") / "onnxruntime"
SHM_PREFIX: Final = "viseme_triton_"

_LONGEST_SOCKET: Final = 90
_STOP_SECONDS: Final = 5.0
_SHM: Final = Path("/dev/shm")  # noqa: S108 - POSIX shared memory lives nowhere else on Linux
_STUB: Final = "triton_python_backend_stub"
_LOG: Final = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """How the server is launched.

    Args:
        environment: Its environment on this machine.
        repository: The model repository.
        own: The folder of the user's own networks, where there is one.
        folder: A folder of the node for links and the socket.
        config_name: Which of ``configs/*.pbtxt`` to take; empty for ``config.pbtxt``.
        metrics: A loopback address on which Triton serves its own metrics; None for nowhere.
    """

    environment: TritonEnvironment
    repository: Path
    folder: Path
    own: Path | None = None
    config_name: str = ""
    metrics: Address | None = None

    @property
    def repositories(self) -> tuple[Path, ...]:
        """Where models lie."""
        return (self.repository,) if self.own is None else (self.repository, self.own)


class TritonServer:
    """One server process at a time; :meth:`start` may be called again after it died."""

    def __init__(self, options: ServerOptions, *, socket_folder: Path) -> None:
        self._options = options
        self._socket = socket_folder / "triton.sock"
        self._process: asyncio.subprocess.Process | None = None
        self._group = 0
        self.shm_prefix = f"{SHM_PREFIX}{secrets.token_hex(4)}_"
        """What the names of its shared memory begin with."""
        self._log: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """Where its gRPC listens, as gRPC writes it. The server itself appends the port to the socket's name."""
        return f"unix:{self._socket}:0"

    @property
    def is_running(self) -> bool:
        """Whether its process is there."""
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        """Launch it; it is not ready yet when this returns.

        Raises:
            EngineUnavailableError: the process ended at once.
        """
        await self.stop()
        options = self._options
        backends = _link_backends(options)
        _remove(f"{self._socket}:0")
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", str(GUARDIAN), self.shm_prefix),
            *_command(options, socket=self._socket, backends=backends, shm_prefix=self.shm_prefix),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
            env={**options.environment.variables(), "OMP_NUM_THREADS": "1", "LANG": "C.UTF-8"},
        )
        first = await _lines(self._process).readline()
        if not first.strip().isdigit():
            await self.stop()
            raise EngineUnavailableError("The Triton server cannot be launched; the node's log says why.")
        self._group = int(first)
        self._log = asyncio.create_task(_forward(_lines(self._process)), name="triton log")
        _LOG.info("triton launched", pid=self._group, url=self.url)

    async def stop(self) -> None:
        """Kill it with all its children; nothing of it stays."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
        with suppress(ProcessLookupError):  # the guardian was killed before it could do this
            if self._group:
                os.killpg(self._group, signal.SIGKILL)
        self._group = 0
        if self._log is not None:
            await self._log
            self._log = None

    def kill_stubs(self, model: str) -> int:
        """Kill the processes in which a model runs, hung ones too; says how many there were."""
        folders = tuple(f"{place.absolute() / model}/" for place in self._options.repositories)
        killed = 0
        for pid in self.children():
            words = _words(pid)
            if words and _STUB in words[0] and any(word.startswith(folders) for word in words):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                killed += 1
        return killed

    def sweep(self) -> None:
        """Remove the shared memory of models that are no more; call it while no model is being loaded."""
        used = {word for pid in self.children() for word in _words(pid)}
        for path in _SHM.glob(f"{self.shm_prefix}*"):
            if path.name not in used:
                path.unlink(missing_ok=True)

    def children(self) -> list[int]:
        """The processes that run models."""
        if not self._group:
            return []
        found: list[int] = []
        for task in Path(f"/proc/{self._group}/task").glob("*/children"):
            with suppress(OSError):
                found += [int(word) for word in task.read_text().split()]
        return found

    @property
    def pid(self) -> int:
        """The server's own process, 0 where there is none."""
        return self._group


@asynccontextmanager
async def triton_server(options: ServerOptions) -> AsyncIterator[TritonServer]:
    """A server that is not started yet and is gone at the end of the block, with its socket."""
    options.folder.mkdir(parents=True, exist_ok=True)
    folder = options.folder.absolute()
    if len(os.fsencode(folder)) <= _LONGEST_SOCKET:
        server = TritonServer(options, socket_folder=folder)
        try:
            yield server
        finally:
            await server.stop()
        return
    with tempfile.TemporaryDirectory(prefix="viseme-") as short:
        server = TritonServer(options, socket_folder=Path(short))
        try:
            yield server
        finally:
            await server.stop()


def _command(options: ServerOptions, *, socket: Path, backends: Path, shm_prefix: str) -> list[str]:
    server = options.environment.server
    command = [
        f"{server}/bin/tritonserver",
        *(f"--model-repository={place.absolute()}" for place in options.repositories),
        f"--backend-directory={backends}",
        f"--cache-directory={server}/caches",
        "--disable-auto-complete-config",
        "--model-control-mode=explicit",
        f"--grpc-address=unix:{socket}",
        "--grpc-port=0",
        "--allow-http=false",
        "--exit-timeout-secs=2",
        f"--backend-config=python,shm-region-prefix-name={shm_prefix}",
    ]
    if options.config_name:
        command.append(f"--model-config-name={options.config_name}")
    else:
        command.append("--pinned-memory-pool-byte-size=0")  # it is for GPUs, and Triton warns where there is none
    if options.metrics is None:
        return [*command, "--allow-metrics=false"]
    return [*command, f"--metrics-address={options.metrics.host}", f"--metrics-port={options.metrics.port}"]


def _link_backends(options: ServerOptions) -> Path:
    """Put the wheel's Python backend and our ``onnxruntime`` side by side."""
    backends = options.folder.absolute() / "backends"
    backends.mkdir(parents=True, exist_ok=True)
    for name, target in (("python", Path(options.environment.server) / "backends" / "python"), (BACKEND.name, BACKEND)):
        fresh = backends / f"{name}.part"
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(target)
        fresh.replace(backends / name)
    return backends


def _lines(process: asyncio.subprocess.Process) -> asyncio.StreamReader:
    if process.stdout is None:
        raise EngineUnavailableError("The Triton server was launched without a pipe for its output.")
    return process.stdout


def _remove(path: str) -> None:
    """Remove a stale socket, on which the server would fail to listen."""
    Path(path).unlink(missing_ok=True)


def _words(pid: int) -> list[str]:
    """The command line of a process; empty where there is none."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return []


async def _forward(lines: asyncio.StreamReader) -> None:
    """Put the server's log into ours; its tables are for people on a terminal."""
    while True:
        try:
            line = await lines.readline()
        except ValueError:  # longer than the reader's buffer; asyncio has thrown it away
            continue
        if not line:
            return
        text = line.decode(errors="replace").strip()
        if not text or text[0] in "+|" or "CudaDriverHelper" in text:  # the last: there is no GPU, which is no error
            continue
        write = _LOG.warning if text[0] in "EW" or "error" in text[:40] else _LOG.debug
        write("triton", line=text)
