"""One direction of an emulated link: what it does to packets, as a pure function of the times it is told.

A packet first waits for the line (the queue; it is dropped at the tail where there is no room), then takes the line for
as long as its bits last, is perhaps lost on it, and arrives after the delay. Nothing here reads a clock or a socket.
"""

import heapq
import math
import random
from dataclasses import dataclass

UNQUEUED_BYTES = 64 << 20
"""What a line without a rate may hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What one direction of a link is like.

    Args:
        delay_s: From the end of a packet's transmission to its arrival.
        rate_bit_s: Bits of IP packets a second; None for a line that takes no time.
        loss: Share of packets, 0 to 1, that are lost on the line, after they took it.
        jitter_s: Each packet takes up to this much longer, evenly drawn.
        queue_bytes: Packets that may wait for the line; without a rate, that may be on it.
        reorder: Whether jitter may let a packet overtake another; otherwise it waits for those before it.
    """

    delay_s: float = 0.0
    rate_bit_s: float | None = None
    loss: float = 0.0
    jitter_s: float = 0.0
    queue_bytes: int = UNQUEUED_BYTES
    reorder: bool = False

    def __post_init__(self) -> None:
        for name, value in (("delay", self.delay_s), ("jitter", self.jitter_s)):
            if not 0 <= value < math.inf:
                raise ValueError(f"{name} is {value} s; it must be 0 or more")
        if self.rate_bit_s is not None and not 0 < self.rate_bit_s < math.inf:
            raise ValueError(f"rate is {self.rate_bit_s} bit/s; it must be more than 0 (cut the link for none at all)")
        if not 0 <= self.loss <= 1:
            raise ValueError(f"loss is {self.loss}; it must be from 0 to 1")
        if self.queue_bytes < 1:
            raise ValueError(f"queue is {self.queue_bytes} bytes; it must be 1 or more")


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """What one direction did with packets since it was made; every offered packet ends in one of the other counts.

    Args:
        at_s: When this was counted, on the monotonic clock: the difference of two counts gives rates.
        offered_packets: Packets that came to the link.
        offered_bytes: Their bytes, IP headers included.
        delivered_packets: Packets that arrived at the other end.
        delivered_bytes: Their bytes.
        lost_packets: Lost on the line, by chance.
        tail_dropped_packets: Found no room in the queue.
        cut_packets: Came to a cut link, or were on it when it was cut.
        held_packets: In the queue or on the line now.
        queue_peak_bytes: The longest that the queue was.
        late_s: The latest that a packet was delivered after it was due: how far the emulator itself lagged.
    """

    at_s: float
    offered_packets: int = 0
    offered_bytes: int = 0
    delivered_packets: int = 0
    delivered_bytes: int = 0
    lost_packets: int = 0
    tail_dropped_packets: int = 0
    cut_packets: int = 0
    held_packets: int = 0
    queue_peak_bytes: int = 0
    late_s: float = 0.0


class Pipe:
    """One direction of a link. Times are seconds on any clock that does not go back."""

    def __init__(self, shape: Shape, *, seed: int) -> None:
        self._shape = shape
        self._random = random.Random(seed)
        self._held: list[tuple[float, int, bytes]] = []
        self._held_bytes = 0
        self._free_at = -math.inf
        self._last_due = -math.inf
        self._cut_until = -math.inf
        self._offered = self._offered_bytes = self._delivered = self._delivered_bytes = 0
        self._lost = self._tail_dropped = self._cut = self._queue_peak = 0
        self._late = 0.0

    def offer(self, now: float, packet: bytes) -> None:
        """Take a packet that came to the link."""
        size = len(packet)
        self._offered += 1
        self._offered_bytes += size
        if now < self._cut_until:
            self._cut += 1
            return
        shape = self._shape
        if shape.rate_bit_s is None:
            if self._held_bytes + size > shape.queue_bytes:
                self._tail_dropped += 1
                return
            due = now
        else:
            waits = self._free_at - now
            if waits > 0:
                queue = int(waits * shape.rate_bit_s / 8) + size
                if queue > shape.queue_bytes:
                    self._tail_dropped += 1
                    return
                self._queue_peak = max(self._queue_peak, queue)
                due = self._free_at
            else:
                due = now
            due += size * 8 / shape.rate_bit_s
            self._free_at = due
        if shape.loss and self._random.random() < shape.loss:
            self._lost += 1
            return
        due += shape.delay_s
        if shape.jitter_s:
            due += self._random.random() * shape.jitter_s
        if not shape.reorder:
            due = self._last_due = max(due, self._last_due)
        self._held_bytes += size
        heapq.heappush(self._held, (due, self._offered, packet))

    def due(self) -> float:
        """When the next packet arrives; infinity where none is on its way."""
        return self._held[0][0] if self._held else math.inf

    def take(self, now: float, *, ahead_s: float = 0.0) -> list[bytes]:
        """Take the packets that have arrived by ``now``, and those that will within ``ahead_s``."""
        taken: list[bytes] = []
        held = self._held
        limit = now + ahead_s
        while held and held[0][0] <= limit:
            due, _, packet = heapq.heappop(held)
            taken.append(packet)
            self._delivered_bytes += len(packet)
            self._late = max(self._late, now - due)
        if taken:
            self._delivered += len(taken)
            self._held_bytes = self._held_bytes - sum(map(len, taken))
        return taken

    def cut(self, now: float, *, until: float = math.inf) -> None:
        """Lose what is on the line and in the queue, and all that comes before ``until``."""
        self._cut += len(self._held)
        self._held.clear()
        self._held_bytes = 0
        self._free_at = self._last_due = now
        self._cut_until = until

    def restore(self) -> None:
        """End a cut."""
        self._cut_until = -math.inf

    def reshape(self, shape: Shape) -> None:
        """Change what the line is like, for packets that come from now on; those on it keep their times."""
        self._shape = shape

    def counters(self, now: float) -> Counters:
        """What was done with packets up to now."""
        return Counters(
            at_s=now,
            offered_packets=self._offered,
            offered_bytes=self._offered_bytes,
            delivered_packets=self._delivered,
            delivered_bytes=self._delivered_bytes,
            lost_packets=self._lost,
            tail_dropped_packets=self._tail_dropped,
            cut_packets=self._cut,
            held_packets=len(self._held),
            queue_peak_bytes=self._queue_peak,
            late_s=self._late,
        )
