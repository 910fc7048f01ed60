"""The gate of HTTP: finds out who calls and whether they may, and hands the request to their tenant's site."""

import re
from collections.abc import Iterable
from contextlib import nullcontext
from http import HTTPStatus
from typing import Final, Protocol

from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.responses import RedirectResponse, Response
from starlette.routing import compile_path
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edge_gateway.access.caller import CALLER, Caller
from edge_gateway.access.doorman import Doorman
from edge_gateway.access.policy import ANYONE, HTTP_NEEDS, Need
from edge_gateway.web.answer import NO_STORE, refusal
from edge_gateway.web.http import ABORT
from edge_gateway.web.openapi import Operation
from edge_gateway.web.sign_in import COOKIE
from edge_gateway.web.sign_in import PATH as SIGN_IN
from edge_gateway.web.tus import PATH as UPLOADS
from edge_gateway.web.watch import OTHER, OnRequest
from shared.access import scope as scopes
from shared.errors import PermissionDeniedError, UnauthenticatedError, VisemeError

SHARED: Final = "/shared/"
"""Where results lie for whoever has a link."""
_SENDS: Final = frozenset({"POST", "PATCH"})


class SiteOf(Protocol):
    """Finds a tenant's site."""

    async def __call__(self, tenant: str, /) -> ASGIApp:
        """The site."""
        ...


class ResultOf(Protocol):
    """Finds a job's result."""

    async def __call__(self, tenant: str, job_id: str, /) -> str:
        """The id of the asset.

        Raises:
            NotFoundError: There is no such job, or no result.
        """
        ...


class WebGate:
    """The application before all sites.

    Args:
        doorman: Knows who may call.
        operations: What sites answer.
        site_of: Finds a tenant's site.
        result_of: Finds what a link leads to.
        everyone: Whose site answers what needs no caller.
        tell: Told of requests that were refused here.
    """

    def __init__(
        self,
        doorman: Doorman,
        operations: Iterable[Operation],
        *,
        site_of: SiteOf,
        result_of: ResultOf,
        everyone: str,
        tell: OnRequest,
    ) -> None:
        self._doorman = doorman
        self._known = [(op.method, compile_path(op.path)[0], need_of(op)) for op in operations]
        self._site_of = site_of
        self._result_of = result_of
        self._everyone = everyone
        self._tell = tell

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            raise RuntimeError("an edge speaks HTTP alone")
        headers, caller = Headers(scope=scope), None
        method, path = method_of(scope["method"], scope["path"], headers), scope["path"]
        need = self._need(method, path)
        what, peer = f"{method} {_plain(path)}", _peer(scope)
        try:
            if path.startswith(SHARED) and method in {"GET", "HEAD"}:
                await self._shared(scope, receive, send)
                return
            if need is ANYONE:
                await (await self._site_of(self._everyone))(scope, receive, send)
                return
            caller = await self._doorman.caller(bearer=_bearer(headers), session=_session(headers))
            if need is None:
                raise PermissionDeniedError(f"nobody may ask {what} here", field="path")
            self._doorman.check(caller, need)
            site = await self._site_of(caller.tenant)
            sends = self._doorman.asks and path.startswith(UPLOADS) and method in _SENDS
            with self._doorman.allowance(caller.tenant).upload() if sends else nullcontext():
                CALLER.set(caller)
                if not self._doorman.asks:
                    await site(scope, receive, send)
                elif need is scopes.Scope.READ:
                    await self._ending(site, caller)(scope, receive, send)
                else:
                    await self._noted(site, caller, what)(scope, receive, send)
        except VisemeError as error:
            self._doorman.note(caller, what, "", error, peer)
            answer = _refusal(error, headers, path)
            self._tell(scope["method"] if scope["method"] in _KNOWN else OTHER, OTHER, answer.status_code, 0.0)
            await answer(scope, receive, send)

    def _need(self, method: str, path: str) -> Need | None:
        asked = "GET" if method == "HEAD" else method
        path = UPLOADS if path == UPLOADS.rstrip("/") else path  # as some clients call it
        for known, pattern, need in self._known:
            if known in {method, asked} and pattern.match(path):
                return need
        # There is nothing there, which is told to callers alone; to those who may change nothing, when they look.
        return scopes.Scope.READ if asked in {"GET", "OPTIONS"} else scopes.Scope.DUB

    def _ending(self, site: ASGIApp, caller: Caller) -> ASGIApp:
        """The same site; a stream is cut when its caller is none any more."""

        async def serve(scope: Scope, receive: Receive, send: Send) -> None:
            async def checked(message: Message) -> None:
                if message["type"] == "http.response.body" and message.get("more_body"):
                    try:
                        self._doorman.check_still(caller)
                    except VisemeError as error:
                        self._doorman.note(caller, "stream", "", error, _peer(scope))
                        scope[ABORT]()
                        return
                await send(message)

            await site(scope, receive, checked)

        return serve

    def _noted(self, site: ASGIApp, caller: Caller, what: str) -> ASGIApp:
        """The same site; what it answers is written down."""

        async def serve(scope: Scope, receive: Receive, send: Send) -> None:
            status = 0

            async def noted(message: Message) -> None:
                nonlocal status
                if message["type"] == "http.response.start":
                    status = message["status"]
                await send(message)

            await site(scope, receive, noted)
            self._doorman.note_status(caller, what, status, _peer(scope))

        return serve

    async def _shared(self, scope: Scope, receive: Receive, send: Send) -> None:
        tenant, job_id = self._doorman.open_link(scope["path"].removeprefix(SHARED))
        asset_id = await self._result_of(tenant, job_id)
        path = f"/assets/{asset_id}/content"
        await (await self._site_of(tenant))({**scope, "path": path, "raw_path": path.encode()}, receive, send)


def need_of(operation: Operation) -> Need | None:
    """What an operation takes; None where nobody has said so, which is refused."""
    if operation.tag == "uploads" and operation.name not in HTTP_NEEDS:
        return scopes.Scope.DUB
    return HTTP_NEEDS.get(operation.name)


def method_of(method: str, path: str, headers: Headers) -> str:
    """The method that a request stands for: tus lets clients say it in a header, and acts by that."""
    if path.startswith(UPLOADS.rstrip("/")):
        return headers.get("x-http-method-override", method).upper()
    return method


_KNOWN: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def _bearer(headers: Headers) -> str:
    scheme, _, rest = headers.get("authorization", "").partition(" ")
    return rest.strip() if scheme.lower() == "bearer" else ""


def _session(headers: Headers) -> str:
    return cookie_parser(headers.get("cookie", "")).get(COOKIE, "")


def _peer(scope: Scope) -> str:
    client = scope.get("client")
    return f"{client[0]}:{client[1]}" if client else ""


def _plain(path: str) -> str:
    """A path for the audit log, without what opens anything."""
    return SHARED + "..." if path.startswith(SHARED) else re.sub(r"[^!-~]", "?", path)[:200]


def _refusal(error: VisemeError, headers: Headers, path: str) -> Response:
    if isinstance(error, UnauthenticatedError):
        if path == "/" and "text/html" in headers.get("accept", ""):
            return RedirectResponse(SIGN_IN, status_code=HTTPStatus.SEE_OTHER, headers=NO_STORE)
        # The rest of a body that nobody reads must not be taken for the next request.
        return refusal(error, headers={"WWW-Authenticate": "Bearer", "Connection": "close"})
    return refusal(error, headers={"Connection": "close"})
