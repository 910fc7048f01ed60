"""A result while it is made: fragments in order, whatever becomes of the link meanwhile."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

import grpc

from shared.errors import DeadlineError, EdgeUnavailableError
from shared.pb.viseme.gateway.v1 import job_pb2
from shared.rpc.channel import END
from shared.sdk import model
from shared.sdk.link import Attempts, Link, read_within
from shared.telemetry import tracing


class Preview:
    """The preview of one job.

    Args:
        link: To its edge.
        job_id: The job.
        from_fragment: The first fragment wanted.
    """

    def __init__(self, link: Link, job_id: str, from_fragment: int) -> None:
        self._link = link
        self._job_id = job_id
        self._next = from_fragment
        self._has_init = False
        self._attempts = Attempts(link)

    async def parts(self) -> AsyncGenerator[model.PreviewPart, None]:
        """The init segment, then every fragment whole and once, over as many connections as it takes."""
        while True:
            try:
                async with aclosing(self._attempt()) as parts:
                    async for part in parts:
                        yield part
            except grpc.RpcError as error:
                failed = self._link.error(error)
                if not isinstance(failed, EdgeUnavailableError | DeadlineError):
                    raise failed from error
                await self._pause(failed)
            except EdgeUnavailableError as error:
                await self._pause(error)
            else:
                return

    async def _pause(self, error: EdgeUnavailableError | DeadlineError) -> None:
        await self._attempts.pause(error)
        # A job may have nothing to show for long; an edge that answers is no reason to lose patience.
        await self._link.call(self._link.jobs.GetJob, job_pb2.GetJobRequest(job_id=self._job_id))
        self._attempts.progress()

    async def _attempt(self) -> AsyncGenerator[model.PreviewPart, None]:
        request = job_pb2.PreviewRequest(job_id=self._job_id, from_fragment=self._next)
        call = self._link.previews.Preview(request, metadata=tracing.metadata())
        begun = bytearray()
        try:
            while (answer := await read_within(call, self._link, lambda: 0.0)) is not END:
                self._attempts.progress()
                if answer.HasField("init"):
                    if not self._has_init:
                        self._has_init = True
                        yield model.PreviewInit(mime_type=answer.init.mime_type, data=answer.init.data)
                elif answer.HasField("piece"):
                    piece = answer.piece
                    if piece.fragment != self._next or piece.offset_bytes != len(begun):
                        raise EdgeUnavailableError("the edge sent another piece than the one that follows")
                    begun += piece.data
                    if len(begun) == piece.size_bytes:
                        self._next += 1
                        yield _fragment(piece, bytes(begun))
                        begun.clear()
        finally:
            call.cancel()


def _fragment(piece: job_pb2.PreviewPiece, data: bytes) -> model.PreviewFragment:
    return model.PreviewFragment(
        index=piece.fragment,
        start_seconds=piece.start.ToNanoseconds() / 1e9,
        end_seconds=piece.end.ToNanoseconds() / 1e9,
        data=data,
    )
