"""Everything that an edge answers over HTTP, as :mod:`edge_gateway.web.openapi` writes it down."""

from http import HTTPStatus
from typing import Any, Final

from edge_gateway.assets.asset import AssetKind
from edge_gateway.jobs.job import JobState
from edge_gateway.paging import PAGE_LARGEST
from edge_gateway.web import about, asks, links, network, told
from edge_gateway.web.openapi import Answer, Body, Operation, Parameter
from edge_gateway.web.told_events import EVENTS
from edge_gateway.web.tus_operations import TUS_OPERATIONS

_BYTES: Final = "application/octet-stream"
_BINARY: Final = {"type": "string", "format": "binary"}
_NUMBER: Final = {"type": "integer", "minimum": 0, "maximum": 2**31 - 1}

_JOB: Final = Parameter(
    name="job_id", where="path", words="The job.", schema={"type": "string", "pattern": "^job-[0-9a-f]{20}$"}
)
_ASSET: Final = Parameter(
    name="asset_id", where="path", words="The asset.", schema={"type": "string", "pattern": "^[0-9a-f]{64}$"}
)
_KEY: Final = Parameter(
    name=asks.KEY_HEADER,
    where="header",
    words="The same key gives the same job; sent again after a cut, nothing is done twice.",
    schema={"type": "string", "maxLength": 128, "pattern": "^[!-~]*$"},
)
_PAGE: Final = (
    Parameter(
        name="page_size",
        where="query",
        words="Entries of a page; 0 for the edge's choice.",
        schema={"type": "integer", "minimum": 0, "maximum": PAGE_LARGEST},
    ),
    Parameter(name="page_token", where="query", words="The token that the page before gave; empty for the first."),
)
_TAG: Final = Parameter(name="If-None-Match", where="header", words="The tag of what the client has.")
_RANGE: Final = Parameter(name="Range", where="header", words="Bytes that are wanted (RFC 9110).")
_JOBS_IN_QUERY: Final = Parameter(
    name="job",
    where="query",
    words="A job; may stand there several times.",
    schema={"type": "array", "items": {"type": "string", "pattern": "^job-[0-9a-f]{20}$"}},
)

_PART: Final = Parameter(
    name="name",
    where="path",
    words="As the page names it.",
    schema={"type": "string", "pattern": r"^[a-z]+\.[0-9a-f]{12}\.js$"},
)


def _json(model: type[told.Told], words: str, status: int = HTTPStatus.OK, *headers: str) -> Answer:
    return Answer(words=words, status=status, body=Body(model=model), headers=headers)


def _file(media_type: str, words: str, status: int = HTTPStatus.OK, *headers: str) -> Answer:
    return Answer(words=words, status=status, body=Body(media_type=media_type, schema=_BINARY), headers=headers)


def _nothing(words: str, status: int = HTTPStatus.NO_CONTENT) -> Answer:
    return Answer(words=words, status=status)


def _operation(method: str, path: str, name: str, tag: str, words: str, *answers: Answer, **more: Any) -> Operation:
    return Operation(method=method, path=path, name=name, tag=tag, words=words, answers=answers, **more)


_UNCHANGED: Final = _nothing("The client has it.", HTTPStatus.NOT_MODIFIED)

_ABOUT: Final = (
    _operation(
        "GET",
        "/",
        "page",
        "edge",
        "The page for people.",
        Answer(words="HTML.", body=Body(media_type="text/html", schema={"type": "string"}), headers=("ETag",)),
        _UNCHANGED,
        parameters=[_TAG],
    ),
    _operation(
        "GET",
        "/page/{name}",
        "pagePart",
        "edge",
        "A part of the page, which it loads when that is first needed.",
        Answer(
            words="A script.", body=Body(media_type="text/javascript", schema={"type": "string"}), headers=("ETag",)
        ),
        _UNCHANGED,
        parameters=[_PART, _TAG],
    ),
    _operation(
        "GET",
        "/sign-in",
        "signInPage",
        "edge",
        "The form for signing in.",
        Answer(words="HTML.", body=Body(media_type="text/html", schema={"type": "string"})),
        Answer(words="Nobody is asked to sign in.", status=HTTPStatus.SEE_OTHER, headers=("Location",)),
    ),
    _operation(
        "POST",
        "/sign-in",
        "signIn",
        "edge",
        "Begins a session of the page for whoever sends a key or a token; the cookie is out of scripts' reach.",
        Answer(words="Signed in.", status=HTTPStatus.SEE_OTHER, headers=("Location", "Set-Cookie")),
        Answer(
            words="It was not taken.",
            status=HTTPStatus.UNAUTHORIZED,
            body=Body(media_type="text/html", schema={"type": "string"}),
        ),
        body=Body(
            media_type="application/x-www-form-urlencoded",
            schema={"type": "object", "properties": {"key": {"type": "string"}}, "required": ["key"]},
        ),
    ),
    _operation(
        "POST",
        "/sign-out",
        "signOut",
        "edge",
        "Ends the session.",
        Answer(words="Signed out.", status=HTTPStatus.SEE_OTHER, headers=("Location", "Set-Cookie")),
    ),
    _operation(
        "GET",
        "/openapi.json",
        "openapi",
        "edge",
        "This document.",
        Answer(words="The document.", body=Body(schema={"type": "object"})),
    ),
    _operation(
        "GET",
        "/healthz",
        "health",
        "edge",
        "Whether the edge serves.",
        _json(about.Health, "It serves."),
        _json(about.Health, "It is ending.", HTTPStatus.SERVICE_UNAVAILABLE),
    ),
    _operation(
        "GET",
        "/status",
        "status",
        "edge",
        "What the edge can do, what it refuses, and how it stands.",
        _json(about.Status, "The edge."),
    ),
    _operation(
        "GET",
        "/edges",
        "listEdges",
        "edge",
        "This edge and its peers.",
        _json(network.Edges, "The edges, this one first."),
    ),
    _operation("GET", "/ping", "ping", "edge", "Nothing, at once: to measure a round trip.", _nothing("Here.")),
    _operation(
        "GET",
        "/probe",
        "probeDown",
        "edge",
        "Bytes that nothing makes smaller: to measure the way down.",
        _file(_BYTES, "The bytes."),
        parameters=[
            Parameter(name="size_bytes", where="query", words="How many, at most `probe_bytes`.", schema=_NUMBER)
        ],
    ),
    _operation(
        "POST",
        "/probe",
        "probeUp",
        "edge",
        "Counts bytes and keeps none: to measure the way up.",
        _json(network.Received, "How many came."),
        body=Body(media_type=_BYTES, schema=_BINARY, required=False),
    ),
)

_FILES: Final = (
    _operation(
        "GET",
        "/assets",
        "listAssets",
        "assets",
        "Assets, newest first.",
        _json(told.Assets, "A page."),
        parameters=[
            *_PAGE,
            Parameter(
                name="kind",
                where="query",
                words="Those of a kind alone.",
                schema={"type": "string", "enum": [kind.value for kind in AssetKind]},
            ),
        ],
    ),
    _operation(
        "POST",
        "/assets",
        "addAsset",
        "assets",
        "Makes a file of a library an asset.",
        Answer(words="The asset.", body=Body(model=told.Added)),
        body=Body(model=asks.NameAsk),
    ),
    _operation(
        "GET",
        "/assets/{asset_id}",
        "getAsset",
        "assets",
        "One asset.",
        _json(told.Asset, "The asset."),
        parameters=[_ASSET],
    ),
    _operation(
        "DELETE",
        "/assets/{asset_id}",
        "deleteAsset",
        "assets",
        "Deletes an asset that no unfinished job needs.",
        _nothing("It is gone."),
        parameters=[_ASSET],
    ),
    _operation(
        "GET",
        "/assets/{asset_id}/content",
        "content",
        "assets",
        "The file, whole or in ranges.",
        _file("*/*", "The file.", HTTPStatus.OK, "ETag", "Repr-Digest"),
        _file("*/*", "Parts of it.", HTTPStatus.PARTIAL_CONTENT, "ETag"),
        _UNCHANGED,
        parameters=[_ASSET, _RANGE, _TAG],
    ),
    _operation(
        "GET",
        "/assets/{asset_id}/picture.jpg",
        "picture",
        "assets",
        "A small picture of a video or photo.",
        _file("image/jpeg", "A JPEG of at most 480 pixels.", HTTPStatus.OK, "ETag"),
        _UNCHANGED,
        parameters=[_ASSET, _TAG],
    ),
    _operation(
        "GET",
        "/faces",
        "listFaces",
        "assets",
        "Videos and photos that jobs used, the one first that was used last.",
        _json(told.Faces, "A page."),
        parameters=_PAGE,
    ),
    _operation(
        "GET",
        "/library",
        "library",
        "assets",
        "The libraries, or a page of the files of one.",
        Answer(words="Libraries or files.", body=Body(schema={"type": "object"})),
        parameters=[
            Parameter(name="library", where="query", words="The library; without it the libraries are listed."),
            Parameter(name="prefix", where="query", words="The folder."),
            *_PAGE,
        ],
    ),
)

_JOBS: Final = (
    _operation(
        "GET",
        "/jobs",
        "listJobs",
        "jobs",
        "Jobs, newest first.",
        _json(told.Jobs, "A page."),
        parameters=[
            *_PAGE,
            Parameter(
                name="query",
                where="query",
                words="A part of a file's name, however written, or of the job's id.",
                schema={"type": "string", "maxLength": 200},
            ),
            Parameter(
                name="state",
                where="query",
                words="Where they stand; several with commas, or several times.",
                schema={"type": "array", "items": {"type": "string", "enum": [state.value for state in JobState]}},
            ),
        ],
    ),
    _operation(
        "POST",
        "/jobs",
        "submitJob",
        "jobs",
        "Accepts a job, even before its uploads have ended; answers at once.",
        _json(told.Job, "The job, which is new.", HTTPStatus.CREATED, "Location"),
        _json(told.Job, "The job that the key belongs to.", HTTPStatus.OK, "Location"),
        parameters=[_KEY],
        body=Body(model=asks.JobAsk),
    ),
    _operation(
        "POST",
        "/jobs/delete",
        "deleteJobs",
        "jobs",
        "Deletes jobs that have ended; tells of each that could not be.",
        _json(told.Deleted, "What became of each."),
        body=Body(model=asks.JobIdsAsk),
    ),
    _operation("GET", "/jobs/{job_id}", "getJob", "jobs", "One job.", _json(told.Job, "The job."), parameters=[_JOB]),
    _operation(
        "DELETE",
        "/jobs/{job_id}",
        "deleteJob",
        "jobs",
        "Deletes a job that has ended, with its result.",
        _nothing("It is gone."),
        parameters=[_JOB],
    ),
    _operation(
        "POST",
        "/jobs/{job_id}/cancel",
        "cancelJob",
        "jobs",
        "Stops a job; one that has ended stays as it is.",
        _json(told.Job, "The job."),
        parameters=[_JOB],
    ),
    _operation(
        "POST",
        "/jobs/{job_id}/retry",
        "retryJob",
        "jobs",
        "Accepts a new job like one that has ended.",
        _json(told.Job, "The job, which is new.", HTTPStatus.CREATED, "Location"),
        _json(told.Job, "The job that the key belongs to.", HTTPStatus.OK, "Location"),
        parameters=[_JOB, _KEY],
    ),
    _operation(
        "GET",
        "/jobs/{job_id}/result",
        "result",
        "jobs",
        "Where the result of a job is.",
        Answer(words="There.", status=HTTPStatus.TEMPORARY_REDIRECT, headers=("Location",)),
        parameters=[_JOB],
    ),
    _operation(
        "POST",
        "/jobs/{job_id}/link",
        "createLink",
        "jobs",
        "Makes a link by which anybody may fetch the result until a time.",
        _json(links.SharedLink, "The link.", HTTPStatus.CREATED),
        parameters=[_JOB],
        body=Body(model=links.LinkAsk),
    ),
    _operation(
        "GET",
        "/shared/{token}",
        "sharedResult",
        "jobs",
        "The result that a link leads to, whole or in ranges.",
        _file("*/*", "The file.", HTTPStatus.OK, "ETag", "Repr-Digest"),
        _file("*/*", "Parts of it.", HTTPStatus.PARTIAL_CONTENT, "ETag"),
        _UNCHANGED,
        parameters=[
            Parameter(name="token", where="path", words="As the link has it."),
            _RANGE,
            _TAG,
        ],
    ),
    _operation(
        "GET",
        "/jobs/{job_id}/still.jpg",
        "still",
        "jobs",
        "The newest frame of a job, or one of its result.",
        _file("image/jpeg", "A JPEG of at most 480 pixels.", HTTPStatus.OK, "ETag"),
        _UNCHANGED,
        parameters=[_JOB, _TAG],
    ),
    _operation(
        "GET",
        "/jobs/{job_id}/preview.mp4",
        "preview",
        "jobs",
        "The result while it is made, as one stream.",
        _file("video/mp4", "Fragmented MP4."),
        parameters=[_JOB],
    ),
    _operation(
        "GET",
        "/jobs/{job_id}/preview/init.mp4",
        "previewInit",
        "jobs",
        "What Media Source needs first.",
        _file("video/mp4", "The init segment; its type names the codecs."),
        parameters=[_JOB],
    ),
    _operation(
        "GET",
        "/jobs/{job_id}/preview/{number}.m4s",
        "previewFragment",
        "jobs",
        "One fragment, waited for.",
        _file("video/mp4", "The fragment."),
        parameters=[_JOB, Parameter(name="number", where="path", words="From 0.", schema=_NUMBER)],
    ),
    _operation(
        "GET",
        "/results.zip",
        "results",
        "jobs",
        "The results of jobs as one ZIP, sent as it is made.",
        _file("application/zip", "The ZIP."),
        parameters=[_JOBS_IN_QUERY],
    ),
    _operation(
        "POST",
        "/results.zip",
        "resultsOfMany",
        "jobs",
        "The same for more jobs than an address has room for.",
        _file("application/zip", "The ZIP."),
        body=Body(
            media_type="application/x-www-form-urlencoded",
            schema={
                "type": "object",
                "properties": {"job": {"type": "array", "items": _JOB.schema, "minItems": 1}},
                "required": ["job"],
            },
        ),
    ),
    _operation(
        "GET",
        "/events",
        "events",
        "jobs",
        "What happens to jobs, as server-sent events.",
        Answer(
            words="`hello`, then `state`, `progress`, `notice`, `deleted` and `skipped` of jobs, and `edge` every 2 s.",
            body=Body(media_type="text/event-stream", schema={"type": "string"}),
            events=EVENTS,
        ),
        parameters=[
            _JOBS_IN_QUERY,
            Parameter(name="Last-Event-ID", where="header", words="The number to go on after.", schema=_NUMBER),
            Parameter(name="after", where="query", words="The same, for whoever cannot set headers.", schema=_NUMBER),
        ],
    ),
)

OPERATIONS: Final = (*_ABOUT, *_FILES, *_JOBS, *TUS_OPERATIONS)
"""All of them."""
