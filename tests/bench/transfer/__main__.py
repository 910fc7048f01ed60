"""Transfers, each beside what it is measured against: prints finished Markdown tables.

    python -m tests.bench.transfer                   # every row, about 25 minutes on a quiet machine
    python -m tests.bench.transfer loopback links    # these
    python -m tests.bench.transfer links --all       # every delay, rate and loss

| row | what is compared | needs |
|---|---|---|
| loopback | uploads with hash and disk: gRPC, tus, a plain socket | |
| links | 20 MB by gRPC and by plain TCP over emulated links | root, /dev/net/tun |
| cuts | five cuts in 100 MB by gRPC, tus-js-client, tuspy: bytes sent again | node, npm |
| job | 60 s of camera video over 50 ms and 10 Mbit/s, and by a page on the far machine | root, ../shared/media |
| memory | of edge and node under slow uploads and clients that stop reading | |

Rounds alternate between what is compared; shown is the median.
"""

import argparse
import time
from collections.abc import Callable

from tests.bench.transfer import cuts, job, links, loopback, memory

ROWS: dict[str, Callable[[argparse.Namespace], None]] = {
    "loopback": lambda given: loopback.show(given.mib << 20, given.rounds),
    "links": lambda given: links.show(full=given.all),
    "cuts": lambda given: cuts.show(given.cut_mb * 1_000_000),
    "job": lambda given: job.show(given.seconds),
    "memory": lambda given: memory.show(given.mib << 20),
}


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", metavar="ROW", choices=[[], *ROWS], help=", ".join(ROWS))
    parser.add_argument("--all", action="store_true", help="every link")
    parser.add_argument("--mib", type=int, default=512, help="size of the file on loopback")
    parser.add_argument("--rounds", type=int, default=5, help="uploads of each kind on loopback")
    parser.add_argument("--cut-mb", type=int, default=100, help="size of the file that is cut")
    parser.add_argument("--seconds", type=int, default=60, help="length of the job's video and speech")
    given = parser.parse_args()
    for row in given.rows or ROWS:
        begun = time.monotonic()
        print(f"### {row}\n", flush=True)
        ROWS[row](given)
        print(f"\n({row}: {time.monotonic() - begun:.0f} s)\n", flush=True)


if __name__ == "__main__":
    main()
