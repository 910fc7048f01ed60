"""Run a command at one end of an emulated link: ``python -m tests.wan --delay 50 --rate 10 --loss 1 -- CMD``."""

import argparse
import contextlib
import math
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from tests.wan.network import DEFAULT_MTU, Each, Link, LinkError, link_of_two

NO_LINK, NOT_RUNNABLE, NOT_FOUND = 125, 126, 127
END_SECONDS = 10
FORWARDED = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT}
CUT, RESTORE = signal.SIGUSR1, signal.SIGUSR2
ABOUT = """\
Run CMD in a network namespace of its own, the client's, that an emulated link joins to another, the server's. There is
nothing else on either side: no way out, and loopbacks of their own. The client is 10.77.0.1, the server 10.77.0.2.
Needs root and /dev/net/tun. CMD gets this command's terminal and signals, and its exit status is this command's
(128 + n where signal n ended it, 126 where it cannot be run, 127 where it was not found; 125 where the link could not
be made). What else runs on either side ends with it.
"""
EPILOG = """\
Where UP:DOWN may stand, one number is for both ways; up is from the client to the server.
While it runs, SIGUSR1 to this command cuts the link, and SIGUSR2 restores it.

  python -m tests.wan --delay 50 --rate 10 --server 'python3 -m http.server 8000' --wait-port 8000 \\
      -- curl -O http://10.77.0.2:8000/large.bin
"""


def _each(text: str) -> Each:
    up, colon, down = text.partition(":")
    return (float(up), float(down)) if colon else float(up)


def _percent(text: str) -> Each:
    value = _each(text)
    return (value[0] / 100, value[1] / 100) if isinstance(value, tuple) else value / 100


@dataclass(frozen=True, slots=True, kw_only=True)
class _Outage:
    at_s: float
    seconds: float


def _outage(text: str) -> _Outage:
    at_s, colon, seconds = text.partition(":")
    if not colon:
        raise ValueError
    return _Outage(at_s=float(at_s), seconds=float(seconds))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.wan",
        usage="%(prog)s [options] -- CMD [ARGUMENT ...]",
        description=ABOUT,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--delay", type=float, default=0.0, metavar="MS", help="round trip; half of it each way (default 0)")
    add(
        "--rate",
        type=_each,
        metavar="MBIT[:MBIT]",
        help="10^6 bits of IP packets a second, UP:DOWN (default: no limit)",
    )
    add(
        "--loss", type=_percent, default=0.0, metavar="PCT[:PCT]", help="packets lost in a hundred, UP:DOWN (default 0)"
    )
    add(
        "--jitter", type=_each, default=0.0, metavar="MS[:MS]", help="each packet takes up to this much longer, UP:DOWN"
    )
    add("--reorder", action="store_true", help="jitter may change the order of packets")
    add(
        "--queue",
        type=_each,
        metavar="MS[:MS]",
        help="what may wait for the line, UP:DOWN (default 100 ms of the rate)",
    )
    add("--queue-bytes", type=int, metavar="N", help="the same in bytes")
    add("--mtu", type=int, default=DEFAULT_MTU, metavar="BYTES", help=f"largest packet (default {DEFAULT_MTU})")
    add("--seed", type=int, default=0, help="of what is left to chance (default 0)")
    add("--congestion", metavar="NAME", help="TCP's congestion control at both ends, such as bbr or cubic")
    add("--cut", type=_outage, action="append", default=[], metavar="AT:SECONDS", help="cut the link; may be repeated")
    add("--server", metavar="CMD", help="a command that runs on the server's side until CMD has ended")
    add("--wait-port", type=int, metavar="PORT", help="start CMD when something listens on this port of the server")
    add("--report", action="store_true", help="print what the link did to stderr at the end")
    return parser


def _exit_status(returncode: int) -> int:
    return 128 - returncode if returncode < 0 else returncode


def _attend(child: subprocess.Popen[bytes], link: Link, outages: Sequence[_Outage]) -> int:
    """Wait for the command; cut when it is time, and pass on signals that others sent (the terminal's it has)."""
    begun = time.monotonic()
    ahead = sorted(outages, key=lambda outage: outage.at_s)
    while child.poll() is None:
        due = begun + ahead[0].at_s if ahead else math.inf
        left = due - time.monotonic()
        if left <= 0:
            link.cut(seconds=ahead.pop(0).seconds)
            continue
        waited = {*FORWARDED, signal.SIGCHLD, CUT, RESTORE}
        told = signal.sigwaitinfo(waited) if math.isinf(left) else signal.sigtimedwait(waited, left)
        if told is None or told.si_signo == signal.SIGCHLD:
            continue
        if told.si_signo == CUT:
            link.cut()
        elif told.si_signo == RESTORE:
            link.restore()
        elif told.si_code <= 0:  # from kill(2), not from the kernel, whose Ctrl-C goes to the whole group
            child.send_signal(told.si_signo)
    return _exit_status(child.returncode)


def _command(link: Link, command: Sequence[str], outages: Sequence[_Outage]) -> int:
    try:
        child = link.client.popen(command, preexec_fn=_unblock)
    except (FileNotFoundError, PermissionError) as error:
        print(f"python -m tests.wan: {error}", file=sys.stderr)
        return NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_RUNNABLE
    with child:
        return _attend(child, link, outages)


def _report(link: Link) -> None:
    counters = link.counters()
    for way, counted in (("up", counters.up), ("down", counters.down)):
        told = " ".join(f"{name}={round(value, 6)}" for name, value in asdict(counted).items() if name != "at_s")
        print(f"{way}: {told}", file=sys.stderr)
    print(f"emulator: cpu_s={link.network.usage().cpu_s:.3f}", file=sys.stderr)


def _unblock() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, set())


def _run(link: Link, asked: argparse.Namespace, command: Sequence[str]) -> int:
    if asked.congestion:
        for host in (link.client, link.server):
            host.sysctl("net.ipv4.tcp_congestion_control", asked.congestion)
    server = link.server.popen(shlex.split(asked.server), stdin=subprocess.DEVNULL) if asked.server else None
    try:
        if asked.wait_port:
            link.server.wait_for_port(asked.wait_port, process=server)
        # Blocked before the command is there: none is missed, and all are waited for in _attend.
        signal.pthread_sigmask(signal.SIG_BLOCK, {*FORWARDED, signal.SIGCHLD, CUT, RESTORE})
        status = _command(link, command, asked.cut)
        if asked.report:
            _report(link)
        return status
    finally:
        if server is not None:
            server.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.wait(END_SECONDS)


def main() -> int:
    """The command; returns its exit status."""
    parser = _parser()
    options, command = sys.argv[1:], []
    if "--" in options:
        options, command = options[: options.index("--")], options[options.index("--") + 1 :]
    asked = parser.parse_args(options)
    if not command:
        parser.error("there is no command after --")
    try:
        with link_of_two(
            delay_ms=asked.delay,
            rate_mbit=asked.rate,
            loss=asked.loss,
            jitter_ms=asked.jitter,
            queue_ms=asked.queue,
            queue_bytes=asked.queue_bytes,
            reorder=asked.reorder,
            mtu=asked.mtu,
            seed=asked.seed,
        ) as link:
            return _run(link, asked, command)
    except ValueError as error:
        parser.error(str(error))
    except (LinkError, OSError) as error:
        print(f"python -m tests.wan: {error}", file=sys.stderr)
        return NO_LINK
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


if __name__ == "__main__":
    sys.exit(main())
