"""Every error survives the way over a real server and back."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import pytest

from shared import errors
from shared.pb.viseme.gateway.v1 import job_pb2, job_pb2_grpc
from shared.rpc.address import parse_listen
from shared.rpc.channel import open_channel
from shared.rpc.server import RpcServer
from shared.rpc.status import MESSAGE_CHARACTERS, TABLE, from_rpc_error, from_status, statuses_of, to_status


def every_class(kind: type[errors.VisemeError] = errors.VisemeError) -> Iterator[type[errors.VisemeError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from every_class(child)


ALL = sorted(set(every_class()), key=lambda kind: kind.__name__)


def example(kind: type[errors.VisemeError]) -> errors.VisemeError:
    if issubclass(kind, errors.JobFailedError):
        return kind("it fell over", field="video", cause_reason="no_face")
    return kind("größer als erlaubt", field="video", limit="frame_pixels", retry_after_s=1.25)


class Raising(job_pb2_grpc.JobServiceServicer):
    """Raises in all the kinds of call that the service has."""

    def __init__(self) -> None:
        self.error: Exception = errors.InternalError("unset")

    async def GetJob(self, request: Any, context: Any) -> Any:
        raise self.error

    async def Session(self, request_iterator: Any, context: Any) -> AsyncIterator[Any]:
        yield job_pb2.SessionResponse()
        raise self.error


@pytest.fixture
async def raising() -> AsyncIterator[tuple[Raising, Any, asyncio.Queue[tuple[str, str]]]]:
    seen: asyncio.Queue[tuple[str, str]] = asyncio.Queue()

    def observe(method: str, code: str, seconds: float, trace_id: str) -> None:
        assert seconds >= 0
        assert not trace_id
        seen.put_nowait((method, code))

    servicer = Raising()
    rpc = RpcServer(parse_listen("127.0.0.1:0"), services=["viseme.gateway.v1.JobService"], observe=observe, grace_s=0)
    job_pb2_grpc.add_JobServiceServicer_to_server(servicer, rpc.server)
    async with rpc.serving() as address, open_channel(address) as channel:
        yield servicer, job_pb2_grpc.JobServiceStub(channel), seen


def assert_same(back: errors.VisemeError, sent: errors.VisemeError) -> None:
    assert type(back) is type(sent)
    assert (back.message, back.field, back.limit, back.retry_after_s) == (
        sent.message,
        sent.field,
        sent.limit,
        sent.retry_after_s,
    )
    if isinstance(sent, errors.JobFailedError):
        assert isinstance(back, errors.JobFailedError)
        assert back.cause_reason == sent.cause_reason


def test_reasons_are_unique() -> None:
    assert len({kind.reason for kind in ALL}) == len(ALL)


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_an_error_survives_being_written_as_a_status(kind: type[errors.VisemeError]) -> None:
    sent = example(kind)
    back = from_status(to_status(sent))
    assert back is not None
    assert_same(back, sent)
    assert 400 <= statuses_of(sent).http < 600


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
async def test_an_error_survives_a_real_server(kind: type[errors.VisemeError], raising: Any) -> None:
    servicer, stub, seen = raising
    servicer.error = example(kind)
    with pytest.raises(grpc.aio.AioRpcError) as unary:
        await stub.GetJob(job_pb2.GetJobRequest())
    assert_same(from_rpc_error(unary.value), servicer.error)
    call = stub.Session()
    assert isinstance(await call.read(), job_pb2.SessionResponse)
    with pytest.raises(grpc.aio.AioRpcError) as stream:
        await call.read()
    assert_same(from_rpc_error(stream.value), servicer.error)
    code = statuses_of(servicer.error).grpc
    assert (unary.value.code(), stream.value.code()) == (code, code)
    assert [await seen.get(), await seen.get()] == [
        ("/viseme.gateway.v1.JobService/GetJob", code.name),
        ("/viseme.gateway.v1.JobService/Session", code.name),
    ]


async def test_an_unknown_error_is_logged_and_hidden(raising: Any, caplog: pytest.LogCaptureFixture) -> None:
    servicer, stub, _seen = raising
    servicer.error = RuntimeError("password=hunter2")
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await stub.GetJob(job_pb2.GetJobRequest())
    back = from_rpc_error(raised.value)
    assert isinstance(back, errors.InternalError)
    assert "hunter2" not in str(raised.value)
    number = back.message.rsplit(" ", 1)[-1]
    assert number in caplog.text
    assert "hunter2" in caplog.text


async def test_a_call_that_nobody_serves_says_so(raising: Any) -> None:
    _servicer, stub, _seen = raising
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await stub.SubmitJob(job_pb2.SubmitJobRequest())
    assert "another version" in str(from_rpc_error(raised.value))


async def test_a_peer_that_is_not_there_is_unavailable_by_name() -> None:
    address = parse_listen("127.0.0.1:1")
    async with open_channel(address) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await job_pb2_grpc.JobServiceStub(channel).GetJob(job_pb2.GetJobRequest())
    edge = from_rpc_error(raised.value, address=str(address))
    assert type(edge) is errors.EdgeUnavailableError
    assert "127.0.0.1:1 does not answer" in str(edge)
    node = from_rpc_error(raised.value, unavailable=errors.NodeUnavailableError)
    assert type(node) is errors.NodeUnavailableError


def test_a_long_message_is_cut_so_that_the_trailer_fits() -> None:
    status = to_status(errors.InvalidMediaError("x" * 100_000, field="video"))
    assert len(status.message) == MESSAGE_CHARACTERS
    assert status.ByteSize() < 8192


def test_the_table_lists_only_classes_of_the_tree() -> None:
    assert set(TABLE) <= set(ALL)
