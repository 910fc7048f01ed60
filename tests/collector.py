"""An OTLP collector: a real gRPC server, in a process of its own, that hands on every span that programs export to it.

It does not run in the tests' process: gRPC's servers of both kinds do not go together in one, nor with its forks.
"""

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as pb
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One span."""

    name: str
    service: str
    span_id: str
    parent_id: str
    trace_id: str
    attributes: dict[str, str]
    seconds: float


@dataclass(slots=True)
class Collector:
    """Spans in the order in which they came, and where to send them."""

    endpoint: str
    spans: list[Seen] = field(default_factory=list)
    came: threading.Condition = field(default_factory=threading.Condition)

    def read(self, lines: IO[str]) -> None:
        """Take what the server hands on until it ends."""
        for line in lines:
            with self.came:
                self.spans.append(Seen(**json.loads(line)))
                self.came.notify_all()

    def wait(self, enough: Callable[[list[Seen]], bool], timeout_s: float = 30.0) -> list[Seen]:
        """The spans, once they are enough."""
        with self.came:
            assert self.came.wait_for(lambda: enough(self.spans), timeout_s), sorted({one.name for one in self.spans})
            return list(self.spans)


@contextmanager
def collector() -> Iterator[Collector]:
    """Collect inside the block."""
    root = Path(__file__).resolve().parent.parent
    server = subprocess.Popen([sys.executable, "-m", "tests.collector"], cwd=root, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    keeps = Collector(server.stdout.readline().strip())
    reading = threading.Thread(target=keeps.read, args=[server.stdout])
    reading.start()
    try:
        yield keeps
    finally:
        server.kill()
        server.wait()
        reading.join()
        server.stdout.close()


class _Servicer(TraceServiceServicer):
    def Export(
        self, request: pb.ExportTraceServiceRequest, context: grpc.ServicerContext
    ) -> pb.ExportTraceServiceResponse:
        for resource in request.resource_spans:
            told = {one.key: one.value.string_value for one in resource.resource.attributes}
            for span in (span for scope in resource.scope_spans for span in scope.spans):
                own = {one.key: one.value.string_value for one in span.attributes}
                seen = Seen(
                    name=span.name,
                    service=told["service.name"],
                    span_id=span.span_id.hex(),
                    parent_id=span.parent_span_id.hex(),
                    trace_id=span.trace_id.hex(),
                    attributes=told | own,
                    seconds=(span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
                )
                sys.stdout.write(json.dumps(asdict(seen)) + "\n")
        sys.stdout.flush()
        return pb.ExportTraceServiceResponse()


def _serve() -> None:
    server = grpc.server(ThreadPoolExecutor(1))
    add_TraceServiceServicer_to_server(_Servicer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    sys.stdout.write(f"http://127.0.0.1:{port}\n")
    sys.stdout.flush()
    server.wait_for_termination()


if __name__ == "__main__":
    _serve()
