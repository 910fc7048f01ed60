"""Which congestion control TCP uses here.

gRPC offers no way to choose it for its sockets from Python, so the kernel's setting counts, and only an operator can
change that.
"""

from pathlib import Path
from typing import Final

from shared.rpc.address import Address
from shared.telemetry.logging import get_logger

_LOG = get_logger(__name__)

CONTROL: Final = Path("/proc/sys/net/ipv4/tcp_congestion_control")
_BBR: Final = "bbr"
_HINT: Final = (
    "on a link that is long or loses packets BBR carries many times more: "
    "sysctl -w net.core.default_qdisc=fq net.ipv4.tcp_congestion_control=bbr net.ipv4.tcp_slow_start_after_idle=0"
)


def congestion_control(setting: Path = CONTROL) -> str:
    """Its name as the kernel says it; empty where this is no Linux or says nothing."""
    try:
        return setting.read_text(encoding="ascii").strip()
    except OSError:
        return ""


def hint(name: str, peer: Address) -> str:
    """What an operator had better do: something where it is not BBR and the other end is on another machine."""
    return "" if name in {"", _BBR} or peer.is_loopback else _HINT


def tell_congestion_control(peer: Address) -> None:
    """Log what is in force, and what had better be."""
    name = congestion_control()
    if words := hint(name, peer):
        _LOG.warning("congestion control", tcp=name, hint=words)
    else:
        _LOG.info("congestion control", tcp=name)
