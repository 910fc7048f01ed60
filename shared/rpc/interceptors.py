"""The server interceptor: our errors become statuses, unknown ones are logged and hidden, every call is measured."""

import asyncio
import inspect
import logging
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, Protocol

import grpc

from shared.errors import InternalError, VisemeError
from shared.rpc.status import DETAILS_KEY, statuses_of, to_status

_LOG: Final = logging.getLogger(__name__)

if TYPE_CHECKING:
    Context = grpc.aio.ServicerContext[Any, Any]
    _Base = grpc.aio.ServerInterceptor[Any, Any]
else:  # generic in the stubs alone
    Context = grpc.aio.ServicerContext
    _Base = grpc.aio.ServerInterceptor


class CallObserver(Protocol):
    """Told about every call once it has ended."""

    def __call__(self, method: str, code: str, seconds: float) -> None:
        """Take note of one call: its full method name, its gRPC status name, how long it took."""


def ignore_call(method: str, code: str, seconds: float) -> None:
    """Take no note."""


class ErrorInterceptor(_Base):
    """Maps errors to statuses for all four kinds of call.

    Cancellation passes through untouched. An error that is not of our tree becomes INTERNAL: the caller sees only a
    number under which the log has the rest.
    """

    def __init__(self, observe: CallObserver = ignore_call) -> None:
        self._observe = observe

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
        wrapped = self._wrap(behaviour, method=handler_call_details.method, streams=bool(handler.response_streaming))
        made: grpc.RpcMethodHandler[Any, Any] = make(
            wrapped,
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )
        return made

    def _wrap(self, behaviour: Callable[..., Any], *, method: str, streams: bool) -> Callable[..., Any]:
        if streams and inspect.isasyncgenfunction(behaviour):

            async def stream(request: Any, context: Context) -> AsyncIterator[Any]:
                async with self._guard(context, method), aclosing(behaviour(request, context)) as answers:
                    async for answer in answers:
                        yield answer

            return stream

        async def single(request: Any, context: Context) -> Any:
            async with self._guard(context, method):
                return await behaviour(request, context)

        return single

    @asynccontextmanager
    async def _guard(self, context: Context, method: str) -> AsyncIterator[None]:
        begun = time.perf_counter()
        code = grpc.StatusCode.OK
        try:
            yield
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
            self._observe(method, code.name, time.perf_counter() - begun)


async def _abort(context: Context, error: VisemeError) -> None:
    status = to_status(error)
    trailing = ((DETAILS_KEY, status.SerializeToString()),)
    await context.abort(statuses_of(error).grpc, status.message, trailing_metadata=trailing)


def _factory_and_behaviour(handler: "grpc.RpcMethodHandler[Any, Any]") -> tuple[Callable[..., Any], Any]:
    if handler.request_streaming and handler.response_streaming:
        return grpc.stream_stream_rpc_method_handler, handler.stream_stream
    if handler.request_streaming:
        return grpc.stream_unary_rpc_method_handler, handler.stream_unary
    if handler.response_streaming:
        return grpc.unary_stream_rpc_method_handler, handler.unary_stream
    return grpc.unary_unary_rpc_method_handler, handler.unary_unary
