"""The real programs as processes: a node (with its Triton) and an edge, on free ports, with data of their own.

Parts can be killed and started again on the same ports and the same data, as an operator's supervisor would.
"""

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

from shared.access.key import DEFAULT_TENANT, ApiKey
from shared.access.keyring import Keyring
from shared.access.scope import EVERYTHING
from shared.rpc.ready import Ready, parse

READY_SECONDS = 90
STOP_SECONDS = 30


@dataclass(slots=True, kw_only=True)
class Part:
    """One running program."""

    name: str
    process: subprocess.Popen[bytes]
    ready: Ready
    log: Path


@dataclass(slots=True)
class Stack:
    """Node, Triton and edge; use it as a context manager.

    ``folder`` keeps data and logs; a temporary one is made, and removed, where none is given. ``prefixes`` stand before
    the parts' commands (the command line runs as ``client``, or else where the edge does), and ``addresses`` are those
    that they listen on for each other, where they are not on one loopback: see ``tests.wan``.
    """

    folder: Path | None = None
    edge_flags: tuple[str, ...] = ()
    node_flags: tuple[str, ...] = ()
    with_node: bool = True
    more_nodes: tuple[str, ...] = ()
    """Names of further nodes, such as ``node2``; they begin with ``node``."""
    more_edges: tuple[str, ...] = ()
    """Names of further edges, which have the same nodes; they begin with ``edge``."""
    node_at: str = ""
    """Where the edge calls the node, if that is not where it listens."""
    prefixes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    addresses: Mapping[str, str] = field(default_factory=dict)
    parts: dict[str, Part] = field(default_factory=dict)
    key: str = ""
    """What the edges ask for, where they do."""
    _temporary: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> Self:
        if self.folder is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="viseme-stack-", ignore_cleanup_errors=True)
            self.folder = Path(self._temporary.name)
        try:
            for name in ("node", *self.more_nodes) if self.with_node else ():
                self.start(name)
            for name in ("edge", *self.more_edges):
                self.start(name)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def root(self) -> Path:
        """Where data and logs lie."""
        if self.folder is None:
            raise RuntimeError("the stack was not entered")
        return self.folder

    @property
    def edge(self) -> str:
        """Where the edge listens for gRPC."""
        return self.parts["edge"].ready.addresses["rpc"]

    @property
    def edges(self) -> str:
        """Where all edges listen, with commas."""
        return ",".join(part.ready.addresses["rpc"] for name, part in self.parts.items() if name.startswith("edge"))

    def start(self, name: str) -> None:
        """Start a part and wait until it says that it is ready."""
        known = self.parts[name].ready.addresses if name in self.parts else {}
        listen = known.get("rpc", f"{self.addresses.get(name, '127.0.0.1')}:0")
        metrics = known.get("metrics", "127.0.0.1:0")
        flags = ["--listen", listen, "--metrics", metrics, "--data", str(self.root / name)]
        if name in self.addresses:
            flags.append("--insecure")
            if name.startswith("edge"):  # others reach it, so it asks who calls
                flags += ["--keys", str(self.keys())]
        if name.startswith("edge"):
            flags += ["--web", known.get("web", "127.0.0.1:0")]
            if "--node" not in self.edge_flags:
                flags += ["--node", self.node_at or self._nodes()]
            # What is measured of the link must not decide what a test sees, unless it asks for that by a later flag.
            flags += ["--link-profile", "balanced", *self.edge_flags]
            module = "edge_gateway"
        else:  # a node
            flags += list(self.node_flags)
            module = "inference_node"
        reading, writing = os.pipe()
        log = self.root / f"{name}.log"
        with log.open("ab") as output:
            process = subprocess.Popen(
                [*self.prefixes.get(name, ()), sys.executable, "-m", module, *flags, "--ready-fd", str(writing)],
                pass_fds=[writing],
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        os.close(writing)
        with os.fdopen(reading, encoding="utf-8") as pipe:
            answered, _, _ = select.select([pipe], [], [], READY_SECONDS)
            line = pipe.readline() if answered else ""
        if not line:
            process.kill()
            process.wait()
            raise RuntimeError(f"{name} did not become ready; its log:\n{log.read_text()[-4000:]}")
        self.parts[name] = Part(name=name, process=process, ready=parse(line), log=log)

    def keys(self) -> Path:
        """A file with one key, which ``key`` then is."""
        path = self.root / "keys.json"
        if not path.exists():
            key, self.key = ApiKey.make(name="test", tenant=DEFAULT_TENANT, scopes=EVERYTHING)
            Keyring().with_key(key).write(path)
        return path

    def _nodes(self) -> str:
        nodes = [part.ready.addresses["rpc"] for name, part in self.parts.items() if name.startswith("node")]
        return ",".join(nodes) or "127.0.0.1:1"

    def kill(self, name: str) -> None:
        """``kill -9`` a part, or its Triton for ``triton``; the rest of its children is its own business."""
        if name == "triton":
            for server in self.tritons():
                server.kill()
            return
        part = self.parts[name]
        part.process.send_signal(signal.SIGKILL)
        part.process.wait()

    def tritons(self) -> list[psutil.Process]:
        """The Triton servers below the node."""
        node = psutil.Process(self.parts["node"].process.pid)
        return [child for child in node.children(recursive=True) if "tritonserver" in child.name()]

    def stop(self, name: str) -> int:
        """SIGTERM a part; returns its exit status."""
        part = self.parts[name]
        part.process.terminate()
        try:
            return part.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            part.process.kill()
            part.process.wait()
            raise

    def log(self, name: str) -> str:
        """What a part logged."""
        return (self.root / f"{name}.log").read_text()

    def viseme(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run the command line against this stack's edge."""
        done = subprocess.run(self.command(*arguments), capture_output=True, text=True, check=False)
        if check and done.returncode:
            raise RuntimeError(
                f"viseme {' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
            )
        return done

    def command(self, *arguments: str) -> list[str]:
        """The command line against this stack's edge, for starting it yourself."""
        prefix = self.prefixes.get("client", self.prefixes.get("edge", ()))
        shown = ["env", f"VISEME_KEY={self.key}", "VISEME_INSECURE=1"] if self.key else []
        return [*prefix, *shown, sys.executable, "-m", "shared.cli", *arguments, "--edge", self.edge]

    def dub(self, video: Path, speech: Path, output: Path, *arguments: str) -> dict[str, Any]:
        """Dub through this stack; returns the report."""
        report = output.with_suffix(".json")
        self.viseme("dub", str(video), str(speech), "-o", str(output), "--report", str(report), *arguments)
        told: dict[str, Any] = json.loads(report.read_text())
        return told

    def close(self) -> None:
        """Stop everything."""
        for name in sorted(self.parts):  # edges before nodes
            if self.parts[name].process.poll() is None:
                self.stop(name)
        if self._temporary is not None:
            self._temporary.cleanup()
