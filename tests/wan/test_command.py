"""`python -m tests.wan`: status and signals pass through it, and nothing outlives it."""

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests.wan.network import ROOT, Network

WAN = [sys.executable, "-m", "tests.wan"]
DEADLINE_S = 20

pytestmark = pytest.mark.wan


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*WAN, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE_S, check=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Running:
    """The command, and handles to the processes that it runs by their names: they can be asked when all is over."""

    command: subprocess.Popen[str]
    handles: dict[str, int]

    def ended(self, name: str) -> bool:
        return bool(select.select([self.handles[name]], [], [], DEADLINE_S)[0])


@contextmanager
def _running(script: str, *arguments: str) -> Iterator[_Running]:
    """Start the command with a shell script that prints its pids as ``name pid`` lines and then ``ready``."""
    handles: dict[str, int] = {}
    with subprocess.Popen(
        [*WAN, *arguments, "--", "sh", "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as command:
        try:
            assert command.stdout is not None
            for line in command.stdout:
                if line.strip() == "ready":
                    break
                name, pid = line.split()
                handles[name] = os.pidfd_open(int(pid))
            (emulator,) = (
                child for child in psutil.Process(command.pid).children() if "tests.wan.emulator" in child.cmdline()
            )
            handles["emulator"] = os.pidfd_open(emulator.pid)
            yield _Running(command=command, handles=handles)
        finally:
            command.kill()
            for handle in handles.values():
                os.close(handle)


SLEEPERS = "sleep 1000 & echo child $!; echo main $$; echo ready; exec sleep 1000"


def test_the_status_of_the_command_is_its_own() -> None:
    assert _run("--", "sh", "-c", "exit 7").returncode == 7
    assert _run("--", "sh", "-c", "kill -KILL $$").returncode == 128 + signal.SIGKILL
    assert _run("--", "/there/is/none").returncode == 127
    assert _run("--", "/").returncode == 126


def test_a_link_that_cannot_be_says_why() -> None:
    done = _run("--rate", "0", "--", "true")
    assert done.returncode == 2
    assert "rate" in done.stderr
    done = _run("--server", "false", "--wait-port", "1", "--", "true")
    assert done.returncode == 125
    assert "ended" in done.stderr


def test_a_server_on_the_other_side(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(os.urandom(300_000))
    fetch = "import sys, urllib.request; sys.stdout.write(str(len(urllib.request.urlopen(sys.argv[1]).read())))"
    done = _run(
        *("--delay", "20", "--rate", "20:10", "--report", "--wait-port", "8000"),
        *("--server", f"{sys.executable} -m http.server 8000 --directory {tmp_path}"),
        *("--", sys.executable, "-c", fetch, "http://10.77.0.2:8000/file"),
    )
    assert done.stdout.endswith("300000"), done.stderr
    assert "down: offered_packets=" in done.stderr


def test_a_planned_cut_is_waited_out() -> None:
    """A datagram to a port that nobody has comes back as a refusal; first the cut swallows some."""
    script = (
        "import socket, sys\n"
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(0.1); s.connect(('10.77.0.2', 9))\n"
        "refused = False\n"
        "while not refused:\n"
        "    try: s.send(b'x'); s.recv(9)\n"
        "    except TimeoutError: print('silence')\n"
        "    except ConnectionRefusedError: refused = True\n"
    )
    done = _run("--cut", "0:1.5", "--", sys.executable, "-c", script)
    assert done.returncode == 0, done.stderr
    assert "silence" in done.stdout


def test_signals_cut_and_restore() -> None:
    script = (
        "import socket, sys\n"
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(0.1); s.connect(('10.77.0.2', 9))\n"
        "print('ready', flush=True)\n"
        "for want in ('silence', 'answer'):\n"
        "    got = ''\n"
        "    while got != want:\n"
        "        try: s.send(b'x'); s.recv(9)\n"
        "        except TimeoutError: got = 'silence'\n"
        "        except ConnectionRefusedError: got = 'answer'\n"
        "    print(got, flush=True)\n"
    )
    with subprocess.Popen(
        [*WAN, "--", sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as command:
        assert command.stdout is not None
        assert command.stdout.readline() == "ready\n"
        command.send_signal(signal.SIGUSR1)
        assert command.stdout.readline() == "silence\n"
        command.send_signal(signal.SIGUSR2)
        assert command.stdout.readline() == "answer\n"
        assert command.wait(DEADLINE_S) == 0


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_reaches_the_command_and_all_ends(sent: signal.Signals) -> None:
    with _running(SLEEPERS, "--server", "sleep 1000") as running:
        running.command.send_signal(sent)
        assert running.command.wait(DEADLINE_S) == 128 + sent
        assert running.ended("main")
        assert running.ended("child")
        assert running.ended("emulator")


def test_a_command_may_do_with_a_signal_what_it_likes() -> None:
    with _running("trap 'exit 3' TERM; echo main $$; echo ready; while :; do sleep 0.05; done") as running:
        running.command.send_signal(signal.SIGTERM)
        assert running.command.wait(DEADLINE_S) == 3


def test_nothing_outlives_a_kill() -> None:
    with _running(SLEEPERS) as running:
        running.command.kill()
        assert running.ended("main")
        assert running.ended("child")
        assert running.ended("emulator")


def test_what_a_kill_of_everything_left_is_ended_at_the_next_start() -> None:
    with _running(SLEEPERS) as running:
        running.command.send_signal(signal.SIGSTOP)
        signal.pidfd_send_signal(running.handles["emulator"], signal.SIGKILL)
        assert running.ended("emulator")
        running.command.kill()
        running.command.wait(DEADLINE_S)
        assert not select.select([running.handles["main"]], [], [], 0)[0]
        with Network():
            pass
        assert running.ended("main")
        assert running.ended("child")


def test_a_processes_end_is_the_networks_end() -> None:
    """What a test forgot to stop ends when its network is closed."""
    with Network() as network:
        sleeper = network.host("forgotten").popen(["sleep", "1000"])
    with sleeper:
        assert sleeper.wait(DEADLINE_S) == -signal.SIGTERM
