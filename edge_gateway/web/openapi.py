"""The OpenAPI document of an edge: made of the table of operations and of the models that answers are made with."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final, Literal

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from edge_gateway.web.answer import NO_STORE
from edge_gateway.web.told import Refusal

JSON: Final = "application/json"
_REFERENCE: Final = "#/components/schemas/{model}"
_ABOUT: Final = """The HTTP interface of a viseme edge gateway: the same jobs and files as over gRPC.

Times end in `_s` (seconds) or `_time` (RFC 3339, UTC), sizes in `_bytes`. Lists come in pages: `page_size` and
`page_token`, and the token of the next page in `next_page_token`, empty on the last. Whatever is refused is answered
with `error`, which names the field at fault and the limit that was exceeded; with `Retry-After` where trying again
helps. Requests that change something are refused when a page of another host makes a browser send them (403).
Uploads are tus 1.0 below `/files/`."""


def _reference(model: type[BaseModel]) -> str:
    return _REFERENCE.format(model=model.__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """Something that an address or a header says."""

    name: str
    where: str
    """path, query or header."""
    words: str
    schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "string"})
    required: bool = False

    def to_json(self) -> dict[str, Any]:
        """As the document has it."""
        return {
            "name": self.name,
            "in": self.where,
            "description": self.words,
            "schema": self.schema,
            "required": self.required or self.where == "path",
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """What comes with a request, or an answer: JSON of a model, or something else of a type."""

    model: type[BaseModel] | None = None
    media_type: str = JSON
    schema: Mapping[str, Any] = field(default_factory=dict)
    required: bool = True

    @property
    def content(self) -> dict[str, Any]:
        """As the document has it."""
        return {self.media_type: {"schema": self.schema if self.model is None else {"$ref": _reference(self.model)}}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a request may be answered with."""

    words: str
    status: int = HTTPStatus.OK
    body: Body | None = None
    headers: Sequence[str] = ()
    events: Mapping[str, type[BaseModel]] = field(default_factory=dict)
    """Of a stream of server-sent events: the data of each, by its name."""

    @property
    def models(self) -> list[type[BaseModel]]:
        """What it is made with."""
        return [*self.events.values(), *([self.body.model] if self.body and self.body.model else [])]

    def to_json(self) -> dict[str, Any]:
        """As the document has it."""
        told: dict[str, Any] = {"description": self.words}
        if self.events:
            told["x-events"] = {name: {"$ref": _reference(model)} for name, model in self.events.items()}
        if self.body is not None:
            told["content"] = self.body.content
        if self.headers:
            told["headers"] = {name: {"schema": {"type": "string"}} for name in self.headers}
        return told


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """A method of a path; refusals need not be named."""

    method: str
    path: str
    name: str
    """Of the operation, for generated clients."""
    tag: str
    words: str
    parameters: Sequence[Parameter] = ()
    body: Body | None = None
    answers: Sequence[Answer]

    def to_json(self) -> dict[str, Any]:
        """As the document has it."""
        told: dict[str, Any] = {
            "operationId": self.name,
            "tags": [self.tag],
            "summary": self.words,
            "parameters": [parameter.to_json() for parameter in self.parameters],
            "responses": {str(int(answer.status)): answer.to_json() for answer in self.answers},
        }
        refused: dict[str, Any] = {"description": "Refused."}
        if self.method != "HEAD":
            refused |= {"content": Body(model=Refusal).content}
        told["responses"]["default"] = refused
        if self.body is not None:
            told["requestBody"] = {"required": self.body.required, "content": self.body.content}
        return told


def document(operations: Iterable[Operation], version: str) -> dict[str, Any]:
    """The whole document."""
    operations = list(operations)
    models: list[tuple[type[BaseModel], Literal["validation", "serialization"]]] = [(Refusal, "serialization")]
    for op in operations:
        if op.body is not None and op.body.model is not None:
            models.append((op.body.model, "validation"))
        models += [(model, "serialization") for answer in op.answers for model in answer.models]
    models = list(dict.fromkeys(models))
    models.sort(key=lambda one: one[0].__name__)
    _, schemas = models_json_schema(models, ref_template=_REFERENCE)
    paths: dict[str, Any] = {}
    for op in operations:
        paths.setdefault(op.path, {})[op.method.lower()] = op.to_json()
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "viseme edge",
            "version": version,
            "description": _ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {"schemas": schemas.get("$defs", {})},
    }


class OpenApiPages:
    """Answers for the document.

    Args:
        operations: What the edge answers.
        version: Of the edge.
    """

    def __init__(self, operations: Iterable[Operation], version: str) -> None:
        self._data = json.dumps(document(operations, version)).encode()

    def routes(self) -> list[Route]:
        """What the application answers here."""
        return [Route("/openapi.json", self.document, methods=["GET"])]

    async def document(self, request: Request) -> Response:
        """The document."""
        del request
        return Response(self._data, headers=NO_STORE, media_type=JSON)
