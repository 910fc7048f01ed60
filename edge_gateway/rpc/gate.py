"""The gate of gRPC: finds out who calls and whether they may, and hands the call to their tenant's servicers."""

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import aclosing, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Final, Protocol

import grpc

from edge_gateway.access.caller import CALLER, Caller
from edge_gateway.access.doorman import Doorman
from edge_gateway.access.policy import ANYONE, RPC_NEEDS, Need
from shared.access.scope import Scope
from shared.errors import PermissionDeniedError, VisemeError

if TYPE_CHECKING:
    Handler = grpc.RpcMethodHandler[Any, Any]
    Context = grpc.aio.ServicerContext[Any, Any]
    _Base = grpc.aio.ServerInterceptor[Any, Any]
else:  # generic in the stubs alone
    Handler = grpc.RpcMethodHandler
    Context = grpc.aio.ServicerContext
    _Base = grpc.aio.ServerInterceptor

_UPLOADS: Final = frozenset({"/viseme.gateway.v1.AssetService/Upload"})
_SUBJECTS: Final = ("job_id", "asset_id", "webhook_id", "name")


class Handlers:
    """Takes servicers as a server does, and gives their handlers by the names of methods."""

    def __init__(self) -> None:
        self.by_method: dict[str, Handler] = {}

    def add_generic_rpc_handlers(self, handlers: tuple[Any, ...]) -> None:
        """See grpc.aio.Server; what it brings comes by the other method, too."""

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Handler]) -> None:
        """See grpc.aio.Server."""
        self.by_method.update({f"/{service}/{name}": handler for name, handler in handlers.items()})


class HandlersOf(Protocol):
    """Finds a tenant's handlers."""

    async def __call__(self, tenant: str, /) -> Mapping[str, Handler]:
        """The handlers by the names of methods."""
        ...


class Gate(_Base):
    """The interceptor next to the servicers.

    Args:
        doorman: Knows who may call.
        handlers_of: Finds a tenant's handlers.
    """

    def __init__(self, doorman: Doorman, handlers_of: HandlersOf) -> None:
        self._doorman = doorman
        self._handlers_of = handlers_of

    async def intercept_service(
        self,
        continuation: "Callable[[grpc.HandlerCallDetails], Awaitable[Handler]]",
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "Handler":
        """Give the handler for whoever calls."""
        method = handler_call_details.method
        need, caller = RPC_NEEDS.get(method), None
        try:
            if need is ANYONE:
                return await continuation(handler_call_details)
            caller = await self._doorman.caller(bearer=_bearer(handler_call_details))
            if need is None:
                raise PermissionDeniedError(f"nobody may call {method} here", field="method")
            self._doorman.check(caller, need)
            handler = (await self._handlers_of(caller.tenant)).get(method)
        except VisemeError as error:
            return self._refusing(method, caller, error)
        if handler is None:  # the policy knows a call that this version does not serve
            return await continuation(handler_call_details)
        return self._watched(handler, method, need, caller)

    def _refusing(self, method: str, caller: Caller | None, error: VisemeError) -> "Handler":
        async def refuse(requests: Any, context: Context) -> None:
            del requests
            self._doorman.note(caller, method, "", error, _peer(context))
            raise error

        # To a client it is the same whether a call that answers nothing was meant to be a stream.
        return grpc.stream_stream_rpc_method_handler(refuse)

    def _watched(self, handler: "Handler", method: str, need: Need | None, caller: Caller) -> "Handler":
        """The same handler, for this caller, written down where it changes something."""
        changes = need is not Scope.READ and self._doorman.asks
        behaviour, make = _parts(handler)

        @contextmanager
        def around(request: Any, context: Context) -> Iterator[Callable[[Any], None]]:
            subject = "" if handler.request_streaming else _subject(request)

            def answered(answer: Any) -> None:
                nonlocal subject
                subject = subject or _subject(getattr(answer, "job", None))

            CALLER.set(caller)  # a call has a context of its own
            is_upload = method in _UPLOADS and self._doorman.asks
            try:
                with self._doorman.allowance(caller.tenant).upload() if is_upload else nullcontext():
                    yield answered
            except VisemeError as error:
                self._doorman.note(caller, method, subject, error, _peer(context))
                raise
            else:
                if changes:
                    self._doorman.note(caller, method, subject, None, _peer(context))

        if inspect.isasyncgenfunction(behaviour):

            async def stream(request: Any, context: Context) -> AsyncIterator[Any]:
                with around(request, context):
                    async with aclosing(behaviour(request, context)) as answers:
                        async for answer in answers:
                            self._doorman.check_still(caller)
                            yield answer

            return make(stream, handler.request_deserializer, handler.response_serializer)

        async def single(request: Any, context: Context) -> Any:
            with around(request, context) as answered:
                answer = await behaviour(request, context)
                answered(answer)
                return answer

        return make(single, handler.request_deserializer, handler.response_serializer)


def _bearer(details: grpc.HandlerCallDetails) -> str:
    for key, value in details.invocation_metadata:
        if key == "authorization":
            scheme, _, rest = str(value).partition(" ")
            return rest.strip() if scheme.lower() == "bearer" else ""
    return ""


def _peer(context: Context) -> str:
    return str(context.peer())


def _subject(message: Any) -> str:
    return next((str(found) for name in _SUBJECTS if (found := getattr(message, name, ""))), "")


def _parts(handler: "Handler") -> tuple[Any, Callable[..., "Handler"]]:
    if handler.request_streaming and handler.response_streaming:
        return handler.stream_stream, grpc.stream_stream_rpc_method_handler
    if handler.request_streaming:
        return handler.stream_unary, grpc.stream_unary_rpc_method_handler
    if handler.response_streaming:
        return handler.unary_stream, grpc.unary_stream_rpc_method_handler
    return handler.unary_unary, grpc.unary_unary_rpc_method_handler
