"""The server interceptor: our errors become statuses, unknown ones are logged and hidden, every call is measured."""

import asyncio
import inspect
import logging
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager, aclosing, asynccontextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Final, Protocol

import grpc
from google.protobuf.message import DecodeError

from shared.errors import InternalError, InvalidInputError, VisemeError
from shared.rpc.status import DETAILS_KEY, statuses_of, to_status
from shared.telemetry import tracing

_LOG: Final = logging.getLogger(__name__)

if TYPE_CHECKING:
    Context = grpc.aio.ServicerContext[Any, Any]
    _Base = grpc.aio.ServerInterceptor[Any, Any]
    ServerInterceptor = _Base
else:  # generic in the stubs alone
    Context = grpc.aio.ServicerContext
    _Base = grpc.aio.ServerInterceptor
    ServerInterceptor = _Base


class CallObserver(Protocol):
    """Told about every call once it has ended."""

    def __call__(self, method: str, code: str, seconds: float, trace_id: str) -> None:
        """Take note of one call: its full method name, its gRPC status name, how long it took, its trace or ""."""


def admit_all(context: "Context") -> None:
    """Let every caller in."""


def ignore_call(method: str, code: str, seconds: float, trace_id: str) -> None:
    """Take no note."""


class ErrorInterceptor(_Base):
    """Maps errors to statuses for all four kinds of call.

    Cancellation passes through untouched. An error that is not of our tree becomes INTERNAL: the caller sees only a
    number under which the log has the rest.

    Args:
        observe: Told about every call that ended.
        begins_traces: Whether a call that brings no trace begins one; others are part of the caller's alone.
        admit: Raises where a caller may not be served at all.
    """

    def __init__(
        self,
        observe: CallObserver = ignore_call,
        *,
        begins_traces: bool = False,
        admit: Callable[[Context], None] = admit_all,
    ) -> None:
        self._admit = admit
        self._observe = observe
        self._begins_traces = begins_traces

    async def intercept_service(
        self,
        continuation: "Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any]]]",
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "grpc.RpcMethodHandler[Any, Any]":
        """Wrap the handler of one call."""
        handler = await continuation(handler_call_details)
        if handler is None:  # nobody serves this call; the stubs do not know
            return handler  # type: ignore[unreachable]  # see above
        make, behaviour = _factory_and_behaviour(handler)
        checked = _checking(behaviour, is_stream=bool(handler.request_streaming))
        parent = _traceparent(handler_call_details) if tracing.is_on() else None
        wrapped = self._wrap(
            checked, method=handler_call_details.method, parent=parent, streams=bool(handler.response_streaming)
        )
        made: grpc.RpcMethodHandler[Any, Any] = make(
            wrapped,
            request_deserializer=_reading(handler.request_deserializer),
            response_serializer=_serializer(handler.response_serializer),
        )
        return made

    def _wrap(
        self, behaviour: Callable[..., Any], *, method: str, parent: str | None, streams: bool
    ) -> Callable[..., Any]:
        if streams and inspect.isasyncgenfunction(behaviour):

            async def stream(request: Any, context: Context) -> AsyncIterator[Any]:
                async with self._guard(context, method, parent), aclosing(behaviour(request, context)) as answers:
                    async for answer in answers:
                        yield answer

            return stream

        async def single(request: Any, context: Context) -> Any:
            async with self._guard(context, method, parent):
                return await behaviour(request, context)

        return single

    @asynccontextmanager
    async def _guard(self, context: Context, method: str, parent: str | None) -> AsyncIterator[None]:
        begun = time.perf_counter()
        code, trace_id = grpc.StatusCode.OK, ""
        try:
            # The tracing stands inside: whatever is aborted here was an error to the servicer, too.
            with self._span(method, parent):
                try:
                    self._admit(context)
                    yield
                finally:
                    trace_id = tracing.trace_id()
        except VisemeError as error:
            code = statuses_of(error).grpc
            await _abort(context, error)
        except (asyncio.CancelledError, GeneratorExit):
            code = grpc.StatusCode.CANCELLED
            raise
        except NotImplementedError:  # what generated servicers raise for calls that nobody wrote
            code = grpc.StatusCode.UNIMPLEMENTED
            await context.abort(code, f"{method} is not served here")
        except grpc.aio.AbortError:
            code = grpc.StatusCode.UNKNOWN
            raise
        except Exception:  # noqa: BLE001 - the last boundary: whatever a servicer raised must not leave with details
            code = grpc.StatusCode.INTERNAL
            number = secrets.token_hex(4)
            _LOG.exception("unexpected error %s in %s", number, method)
            await _abort(context, InternalError(f"a fault of ours; the log has it under {number}"))
        finally:
            self._observe(method, code.name, time.perf_counter() - begun, trace_id)

    def _span(self, method: str, parent: str | None) -> AbstractContextManager[None]:
        if parent or (parent is not None and self._begins_traces and not method.startswith("/grpc.")):
            return tracing.span(method.removeprefix("/"), kind=tracing.Kind.SERVER, parent=parent)
        return nullcontext()


def _traceparent(details: grpc.HandlerCallDetails) -> str:
    return next((str(value) for key, value in details.invocation_metadata if key == tracing.TRACEPARENT), "")


_UNREADABLE: Final = object()
"""Stands for bytes that are no message: what is raised while grpc reads them ends in its log, as a fault of ours."""


def _reading(deserialize: Callable[[bytes], Any] | None) -> Callable[[bytes], Any] | None:
    if deserialize is None:  # the handler takes bytes
        return None

    def read(data: bytes) -> Any:
        try:
            return deserialize(data)
        except DecodeError:
            return _UNREADABLE

    return read


def _checking(behaviour: Callable[..., Any], *, is_stream: bool) -> Callable[..., Any]:
    """The same behaviour, which refuses what could not be read."""
    check = _all_readable if is_stream else _readable
    if inspect.isasyncgenfunction(behaviour):

        async def stream(request: Any, context: Context) -> AsyncIterator[Any]:
            async with aclosing(behaviour(check(request), context)) as answers:
                async for answer in answers:
                    yield answer

        return stream

    async def single(request: Any, context: Context) -> Any:
        return await behaviour(check(request), context)

    return single


def _readable(request: Any) -> Any:
    if request is _UNREADABLE:
        raise InvalidInputError("these bytes are no message of this call", field="request")
    return request


async def _all_readable(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
    async for request in requests:
        yield _readable(request)


async def _abort(context: Context, error: VisemeError) -> None:
    status = to_status(error)
    trailing = ((DETAILS_KEY, status.SerializeToString()),)
    await context.abort(statuses_of(error).grpc, status.message, trailing_metadata=trailing)


def _serializer(serialize: Callable[[Any], bytes] | None) -> Callable[[Any], Any]:
    """Let a servicer answer with bytes, too: a message to many callers is serialised once."""

    def serialized(answer: Any) -> Any:
        return answer if serialize is None or isinstance(answer, bytes) else serialize(answer)

    return serialized


def _factory_and_behaviour(handler: "grpc.RpcMethodHandler[Any, Any]") -> tuple[Callable[..., Any], Any]:
    if handler.request_streaming and handler.response_streaming:
        return grpc.stream_stream_rpc_method_handler, handler.stream_stream
    if handler.request_streaming:
        return grpc.stream_unary_rpc_method_handler, handler.stream_unary
    if handler.response_streaming:
        return grpc.unary_stream_rpc_method_handler, handler.unary_stream
    return grpc.unary_unary_rpc_method_handler, handler.unary_unary
