"""One route a path, whoever answers its methods: so that a refusal names all of them."""

from collections.abc import Iterable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


def merged(routes: Iterable[Route]) -> list[Route]:
    """The same routes, those of one path as one."""
    by_path: dict[str, dict[str, Any]] = {}
    for route in routes:
        by_path.setdefault(route.path, {}).update(dict.fromkeys(route.methods or (), route.endpoint))
    return [Route(path, _by_method(handlers), methods=list(handlers)) for path, handlers in by_path.items()]


def _by_method(handlers: Mapping[str, Any]) -> Any:
    if len(set(handlers.values())) == 1:
        return next(iter(handlers.values()))

    async def answer(request: Request) -> Response:
        response: Response = await handlers[request.method](request)
        return response

    return answer
