"""The edge's page for a browser: whether its parts work, its engines, its recent jobs. One request, no scripts."""

import html
import time
from collections.abc import Callable
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from edge_gateway.identity import Identity
from edge_gateway.jobs.job import Job
from edge_gateway.jobs.service import JobService

_RECENT = 20
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1a1a1a;"
    "background:#fff}table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.3rem .6rem;"
    "border-bottom:1px solid #ccc}code{font-size:.9em}"
    "@media(prefers-color-scheme:dark){body{color:#eee;background:#161616}th,td{border-color:#444}}"
)


class StatusPage:
    """The page and the health check.

    Args:
        identity: Who this edge is.
        jobs: Its jobs.
        node: The node's address and whether it answers.
        ending: Whether the edge is shutting down.
    """

    def __init__(
        self,
        identity: Identity,
        jobs: JobService,
        node: Callable[[], tuple[str, bool]],
        ending: Callable[[], bool],
    ) -> None:
        self._identity = identity
        self._jobs = jobs
        self._node = node
        self._ending = ending

    def routes(self) -> list[Route]:
        """What the application answers here."""
        return [Route("/", self.page), Route("/healthz", self.health)]

    async def health(self, request: Request) -> Response:
        """Whether the edge serves; what the node does is told beside it."""
        del request
        ending = self._ending()
        body = {"status": "ending" if ending else "serving", "node": "up" if self._node()[1] else "down"}
        code = HTTPStatus.SERVICE_UNAVAILABLE if ending else HTTPStatus.OK
        return JSONResponse(body, status_code=code, headers=_HEADERS)

    async def page(self, request: Request) -> Response:
        """The status page."""
        del request
        identity = self._identity
        address, is_up = self._node()
        jobs, _ = await self._jobs.page(_RECENT, "")
        engines = "".join(
            f"<tr><td>{_text(engine.name)}{' (default)' if engine.is_default else ''}</td>"
            f"<td>{_text(engine.summary)}</td></tr>"
            for engine in identity.engines()
        )
        rows = "".join(map(_row, jobs)) or "<tr><td colspan=4>None yet.</td></tr>"
        return HTMLResponse(
            "<!doctype html><html lang=en><meta charset=utf-8>"
            "<meta name=viewport content='width=device-width,initial-scale=1'>"
            f"<title>viseme edge</title><style>{_STYLE}</style><main><h1>viseme edge {_text(identity.name)}</h1>"
            f"<p>Version {_text(identity.version)}. gRPC at <code>{_text(identity.address())}</code>. "
            f"The node at <code>{_text(address)}</code> {'answers' if is_up else 'does not answer'}.</p>"
            "<h2>Engines</h2><table><thead><tr><th>Name<th>What it is</thead>"
            f"<tbody>{engines or '<tr><td colspan=2>None known yet.</td></tr>'}</tbody></table>"
            "<h2>Recent jobs</h2><table><thead><tr><th>Job<th>State<th>Accepted<th>Remark</thead>"
            f"<tbody>{rows}</tbody></table></main></html>",
            headers=_HEADERS,
        )


def _row(job: Job) -> str:
    accepted = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(job.created_us / 1e6))
    remark = job.error.message if job.error else f"{job.report.frames} frames" if job.report else ""
    return f"<tr><td><code>{_text(job.job_id)}</code><td>{job.state.value}<td>{accepted} UTC<td>{_text(remark)}</tr>"


def _text(value: str) -> str:
    return html.escape(value, quote=True)
