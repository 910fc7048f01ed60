"""Signing in to the page: a key or a token once, and a cookie of a session for it, which no script can read."""

import base64
import hashlib
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from edge_gateway.access.doorman import Doorman
from edge_gateway.web.answer import NO_STORE, writing
from edge_gateway.web.asks import read_body
from edge_gateway.web.limits import WebLimits
from shared.errors import UnauthenticatedError, UnavailableError

PATH: Final = "/sign-in"
COOKIE: Final = "viseme-session"

_STYLE: Final = (
    "*{box-sizing:border-box}body{font:1rem/1.5 system-ui,sans-serif;margin:0;min-height:100vh;display:grid;"
    "place-items:center;color-scheme:light dark;background:Canvas;color:CanvasText}"
    "main{width:min(26rem,90vw)}h1{font-size:1.5rem;color:#0a7569}label{display:block;margin:.5rem 0}"
    "input,button{font:inherit;width:100%;padding:.6rem;border-radius:.4rem;border:1px solid GrayText}"
    "button{margin-top:.8rem;background:#0a7569;color:#fff;border:0;cursor:pointer}"
    ":focus-visible{outline:3px solid #d97706;outline-offset:2px}"
    "[role=alert]{border-left:4px solid #b3261e;padding-left:.6rem}"
    "@media(prefers-color-scheme:dark){h1{color:#4fc3b3}}"
)
_PAGE: Final = """<!doctype html>
<html lang="{lang}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1">
<title>{title} · viseme</title>
<style>{style}</style>
</head>
<body>
<main>
<h1 translate="no">viseme</h1>
{problem}<form method="post" action="/sign-in">
<label for="key">{label}</label>
<input id="key" name="key" type="password" autocomplete="current-password" required autofocus>
<button>{button}</button>
</form>
<p>{help}</p>
<form method="post" action="/sign-out"><button>{out}</button></form>
</main>
</body>
</html>
"""
_WORDS: Final = {
    "en": {
        "title": "Sign in",
        "label": "Your key, or a token of your organisation",
        "button": "Sign in",
        "help": "Whoever runs this edge gives you a key. It is kept in no script's reach, until the session ends.",
        "out": "Sign out",
        "bad": "This was not taken. Look whether it was copied whole, or ask for another: it may have expired.",
        "away": "Your organisation's sign-in does not answer; try again in a while.",
    },
    "zh": {
        "title": "登录",
        "label": "您的密钥，或所在机构的令牌",
        "button": "登录",
        "help": "密钥由此边缘节点的管理员提供。会话结束之前，任何脚本都无法读取它。",
        "out": "退出登录",
        "bad": "未被接受。请确认复制完整；也可能已过期，请索取新的密钥。",
        "away": "所在机构的登录服务没有应答，请稍后再试。",
    },
}
_CSP: Final = "; ".join(
    (
        "default-src 'none'",
        f"style-src 'sha256-{base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()}'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
# With no-referrer the form would come from nowhere, and be refused like a strange one.
_HEADERS: Final = {**NO_STORE, "Content-Security-Policy": _CSP, "Referrer-Policy": "same-origin"}


class SignInPages:
    """Answers for signing in and out.

    Args:
        doorman: Makes sessions.
        limits: What is refused of requests.
    """

    def __init__(self, doorman: Doorman, limits: WebLimits) -> None:
        self._doorman = doorman
        self._limits = limits

    def routes(self) -> list[Route]:
        """What the application answers here."""
        return [
            Route(PATH, self.page, methods=["GET"]),
            Route(PATH, writing(self.sign_in), methods=["POST"]),
            Route("/sign-out", writing(self.sign_out), methods=["POST"]),
        ]

    async def page(self, request: Request) -> Response:
        """The form; where nobody is asked who they are, the page itself."""
        if not self._doorman.asks:
            return RedirectResponse("/", status_code=HTTPStatus.SEE_OTHER, headers=NO_STORE)
        return _page(request, "", HTTPStatus.OK)

    async def sign_in(self, request: Request) -> Response:
        """A session for whoever sends a key."""
        fields = parse_qs((await read_body(request, self._limits)).decode("ascii", errors="replace"))
        try:
            session, lasts_s = await self._doorman.sign_in(fields.get("key", [""])[0].strip())
        except UnauthenticatedError as error:
            self._doorman.note(None, "POST /sign-in", "", error, request.client.host if request.client else "")
            return _page(request, "bad", HTTPStatus.UNAUTHORIZED)
        except UnavailableError:
            return _page(request, "away", HTTPStatus.SERVICE_UNAVAILABLE)
        answer = RedirectResponse("/", status_code=HTTPStatus.SEE_OTHER, headers=NO_STORE)
        answer.set_cookie(
            COOKIE, session, max_age=int(lasts_s), httponly=True, samesite="lax", secure=_is_encrypted(request)
        )
        return answer

    async def sign_out(self, request: Request) -> Response:
        """No session any more."""
        answer = RedirectResponse(PATH, status_code=HTTPStatus.SEE_OTHER, headers=NO_STORE)
        answer.delete_cookie(COOKIE, httponly=True, samesite="lax", secure=_is_encrypted(request))
        return answer


def _is_encrypted(request: Request) -> bool:
    """Whether the browser came by TLS, to us or to what stands before us."""
    return request.url.scheme == "https" or request.headers.get("x-forwarded-proto", "") == "https"


def _page(request: Request, problem: str, status: int) -> Response:
    lang = "zh" if request.headers.get("accept-language", "").lower().startswith("zh") else "en"
    words = _WORDS[lang]
    told = f'<p role="alert">{words[problem]}</p>\n' if problem else ""
    page = _PAGE.format(lang=lang, style=_STYLE, problem=told, **words)
    return HTMLResponse(page, status_code=status, headers=_HEADERS)
