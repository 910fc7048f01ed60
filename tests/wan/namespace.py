"""Network namespaces without names: each lives as long as a process or an open file refers to it, so none can leak.

System calls and ioctls alone: nothing has to be installed, and a namespace with a TUN device takes a millisecond.
"""

import ctypes
import fcntl
import os
import socket
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ParamSpec, TypeVar

DEVICE = "wan0"
TUN = Path("/dev/net/tun")
TUN_QUEUE_PACKETS = 2000
"""Packets that wait in the kernel while the emulator is not running; it reads them at once when it is."""

# linux/sched.h, linux/if_tun.h, linux/sockios.h, linux/if.h
_CLONE_NEWNET = 0x40000000
_TUNSETIFF = 0x400454CA
_IFF_TUN_NO_PI = 0x1001
_SIOCGIFFLAGS, _SIOCSIFFLAGS = 0x8913, 0x8914
_SIOCSIFADDR, _SIOCSIFNETMASK, _SIOCSIFMTU, _SIOCSIFTXQLEN = 0x8916, 0x891C, 0x8922, 0x8943
_IFF_UP = 1

_P = ParamSpec("_P")
_T = TypeVar("_T")
_libc = ctypes.CDLL(None, use_errno=True)  # os.setns and os.unshare came with Python 3.12


def _checked(result: int, what: str) -> None:
    if result:
        error = ctypes.get_errno()
        raise OSError(error, f"{what}: {os.strerror(error)}")


def unshare() -> None:
    """Move this thread into a new network namespace."""
    _checked(_libc.unshare(_CLONE_NEWNET), "unshare")


def enter(fd: int) -> None:
    """Move this thread into the network namespace that ``fd`` refers to."""
    _checked(_libc.setns(fd, _CLONE_NEWNET), "setns")


def own() -> int:
    """Open this thread's network namespace."""
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def call_inside(path: str, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """Call a function in the network namespace at ``path``, in a thread of its own.

    Sockets that it makes stay in that namespace wherever they are used.
    """

    def run() -> _T:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            enter(fd)
        finally:
            os.close(fd)
        return function(*args, **kwargs)

    with ThreadPoolExecutor(1, thread_name_prefix="namespace") as pool:
        return pool.submit(run).result()


def make(address: str, prefix_bits: int, mtu: int) -> tuple[int, int]:
    """Make a namespace whose only way out is a TUN device; returns the open namespace and the open device."""
    before = own()
    try:
        unshare()
        try:
            tun = _device(address, prefix_bits, mtu)
            return own(), tun
        finally:
            enter(before)
    finally:
        os.close(before)


def _device(address: str, prefix_bits: int, mtu: int) -> int:
    tun = os.open(TUN, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    name = DEVICE.encode()
    try:
        fcntl.ioctl(tun, _TUNSETIFF, struct.pack("16sH22x", name, _IFF_TUN_NO_PI))
        silence = Path(f"/proc/sys/net/ipv6/conf/{DEVICE}/disable_ipv6")
        if silence.exists():  # neighbours and routers would be asked for
            silence.write_text("1")
        mask = socket.inet_ntoa(struct.pack(">I", (0xFFFFFFFF << (32 - prefix_bits)) & 0xFFFFFFFF))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ask:
            fcntl.ioctl(ask, _SIOCSIFMTU, struct.pack("16si20x", name, mtu))
            fcntl.ioctl(ask, _SIOCSIFTXQLEN, struct.pack("16si20x", name, TUN_QUEUE_PACKETS))
            fcntl.ioctl(ask, _SIOCSIFADDR, _with_address(name, address))
            fcntl.ioctl(ask, _SIOCSIFNETMASK, _with_address(name, mask))
            for device in (b"lo", name):
                told = fcntl.ioctl(ask, _SIOCGIFFLAGS, struct.pack("16sH22x", device, 0))
                flags: int = struct.unpack("16sH22x", told)[1]
                fcntl.ioctl(ask, _SIOCSIFFLAGS, struct.pack("16sH22x", device, flags | _IFF_UP))
    except BaseException:
        os.close(tun)
        raise
    return tun


def _with_address(name: bytes, address: str) -> bytes:
    return struct.pack("16sHH4s16x", name, socket.AF_INET, 0, socket.inet_aton(address))


def listening(port: int) -> bool:
    """Whether something listens on a TCP port in this thread's namespace."""
    for table in ("tcp", "tcp6"):
        path = Path(f"/proc/thread-self/net/{table}")
        rows = path.read_text().splitlines()[1:] if path.exists() else []
        for row in rows:
            _, local, _, state, *_ = row.split()
            if state == "0A" and int(local.rpartition(":")[2], 16) == port:
                return True
    return False


def unavailable() -> str | None:
    """Why no link can be emulated on this machine; None where it can."""
    if os.geteuid():
        return "emulating a link needs root"
    try:
        os.close(os.open(TUN, os.O_RDWR | os.O_CLOEXEC))
        with ThreadPoolExecutor(1) as pool:
            pool.submit(unshare).result()
    except OSError as error:
        return f"emulating a link needs {TUN} and network namespaces ({error})"
    return None
