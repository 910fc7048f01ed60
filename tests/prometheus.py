"""The programs of Prometheus: those of this machine, or else those of Debian's package, unpacked and not installed."""

import http
import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_LATEST_S = 60


def find_program(name: str, folder: Path) -> Path | None:
    """``promtool`` or ``prometheus``; None where neither this machine nor its Debian mirror has it.

    Args:
        name: The program.
        folder: Where the package is unpacked, and found again the next time.
    """
    if found := shutil.which(name):
        return Path(found)
    unpacked = folder / "usr" / "bin" / name
    if not unpacked.is_file() and shutil.which("apt-get") and shutil.which("dpkg"):
        downloading = ["apt-get", "download", "prometheus"]
        done = subprocess.run(downloading, cwd=folder, capture_output=True, check=False, timeout=120)
        for package in folder.glob("prometheus_*.deb") if not done.returncode else ():
            subprocess.run(["dpkg", "-x", package.name, "."], cwd=folder, check=True, timeout=120)
    return unpacked if unpacked.is_file() else None


class Prometheus:
    """A running server."""

    def __init__(self, url: str) -> None:
        self.url = url

    def query(self, words: str) -> list[dict[str, Any]]:
        """What a query gives now; an AssertionError where the server does not take it."""
        asked = f"{self.url}/api/v1/query?{urllib.parse.urlencode({'query': words})}"
        try:
            with urllib.request.urlopen(asked, timeout=10) as answer:  # noqa: S310 - our own server
                result: list[dict[str, Any]] = json.load(answer)["data"]["result"]
                return result
        except urllib.error.HTTPError as error:
            if error.code == http.HTTPStatus.SERVICE_UNAVAILABLE:  # it is starting
                raise
            raise AssertionError(f"{words}: {error.read().decode()}") from error

    def wait_for(self, words: str) -> list[dict[str, Any]]:
        """What a query gives once that is anything: the server reads its targets in turns of its own."""
        end = time.monotonic() + _LATEST_S
        while time.monotonic() < end:
            try:
                if result := self.query(words):
                    return result
            except (urllib.error.URLError, ConnectionError):  # it is starting
                pass
            time.sleep(0.2)
        raise AssertionError(f"nothing came of {words} in {_LATEST_S} s")


@contextmanager
def prometheus(program: Path, folder: Path, targets: Mapping[str, str], rules: list[Path]) -> Iterator[Prometheus]:
    """Read targets (addresses by the names of their jobs) and work out rules every second inside the block."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(path) for path in rules],
        "scrape_configs": [
            {"job_name": name, "static_configs": [{"targets": [address]}]} for name, address in targets.items()
        ],
    }
    (folder / "prometheus.yml").write_text(json.dumps(config))  # JSON is YAML
    flags = [
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (folder / "prometheus.log").open("wb") as log:
        server = subprocess.Popen([str(program), *flags], stdout=log, stderr=log)
    try:
        yield Prometheus(f"http://127.0.0.1:{port}")
    finally:
        server.terminate()
        server.wait(30)
