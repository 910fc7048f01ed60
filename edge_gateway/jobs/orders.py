"""What is ordered of the node, and how much of it may be under way.

Nothing grows when a stage is slower than the one before it; each has a window of its own:

==============================  ==============================================================================
between                         what may wait there
==============================  ==============================================================================
tracking and sending            crops lie on disk (``face_cache_bytes``); one at a time is read to be sent
orders and the node             ``node_window`` segments and ``node_window_bytes`` of crops and expected patches
the link                        what gRPC's flow control lets through: either end reads on when it has room
the node's intake               ``max_open_bytes`` of crops that arrive; whole ones lie on disk (``cache_bytes``)
queue, rendering, outbox        ``stream_segments`` of a job, ``queue_segments`` of all; nothing more is rendered
                                once ``outbox_bytes`` of a job wait to be sent; ``max_streams`` jobs
the edge's intake               ``node_segment_bytes`` that arrive; whole segments go to disk before more is read
disk and compositor             two segments are with the child; the others lie on disk
compositor and disk             one segment; the child waits until it is on disk
==============================  ==============================================================================
"""

import asyncio

from edge_gateway.jobs.node import SegmentOrder


class Orders:
    """The segments that the node must render, added while the face is still being made."""

    def __init__(self, frames_in_all: int) -> None:
        self.missing: dict[int, SegmentOrder] = {}
        """Ordered by segment; a segment leaves when it is on disk."""
        self.frames_in_all = frames_in_all
        """Frames of the whole result, as far as known."""
        self.frames_done = 0
        self.is_whole = False
        """Whether every order has been added."""
        self.change = asyncio.Condition()

    async def add(self, order: SegmentOrder) -> None:
        """One more segment is wanted."""
        async with self.change:
            self.missing[order.segment] = order
            self.change.notify_all()

    async def close(self) -> None:
        """No more will be wanted."""
        async with self.change:
            self.is_whole = True
            self.change.notify_all()

    @property
    def is_done(self) -> bool:
        """Whether nothing is missing and nothing will be."""
        return self.is_whole and not self.missing


class Window:
    """What is on its way to the node and back, in segments and in bytes; one segment always may be.

    A rendered segment is expected to weigh as much as the largest crop or rendered segment so far.

    Args:
        segments: Segments that may be ordered and not yet be on disk.
        size_bytes: Bytes of crops that are yet to be sent, and of rendered segments that are yet to come.
    """

    def __init__(self, *, segments: int, size_bytes: int) -> None:
        self._segments = segments
        self._size_bytes = size_bytes
        self._crops: dict[int, int] = {}
        self._largest = 0

    def has_room(self, under_way: int, crop_bytes: int) -> bool:
        """Whether one more segment, with so many bytes of crops, may be ordered beside those under way."""
        if not under_way:
            return True
        coming = (under_way + 1) * max(self._largest, crop_bytes)
        return under_way < self._segments and sum(self._crops.values()) + crop_bytes + coming <= self._size_bytes

    def offered(self, crop: int, size_bytes: int) -> None:
        """A crop may have to be sent."""
        self._crops[crop] = size_bytes
        self._largest = max(self._largest, size_bytes)

    def settled(self, crop: int) -> None:
        """It was sent, or need not be."""
        self._crops.pop(crop, None)

    def rendered(self, size_bytes: int) -> None:
        """A rendered segment has come."""
        self._largest = max(self._largest, size_bytes)
