"""The document that an edge serves of its HTTP interface: complete, right, and nothing that it allows breaks it."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from edge_gateway.web.operations import OPERATIONS
from tests.caller import Caller
from tests.integration.test_edge_gateway import EchoNode
from tests.integration.test_http_jobs import ended, serving

_FOLDER = Path(__file__).resolve().parents[1] / "openapi"
_OPEN_ENDED = ("/events",)
"""Streams without an end: schemathesis waits for that."""


async def test_every_route_stands_in_the_document_and_every_operation_is_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    routes: list[Any] = []
    monkeypatch.setattr("edge_gateway.services.Starlette", _watched(routes))
    async with serving(tmp_path) as caller:
        told = await caller.get("/openapi.json")
    assert told["openapi"] == "3.1.0"
    written = {(method.upper(), path) for path, methods in told["paths"].items() for method in methods}
    served = {("GET", "/shared/{token}")}  # by the gate, which finds out whose it is
    for route in routes:
        path = route.path if route.path != "/files" else "/files/"  # as some clients call it
        methods = set(route.methods) - ({"HEAD"} if "GET" in route.methods else set())
        if path.startswith("/files/"):
            methods &= {op.method for op in OPERATIONS if op.path == path}  # the others are refused by the handler
        served |= {(method, path) for method in methods}
    assert served == written
    names = [op["operationId"] for methods in told["paths"].values() for op in methods.values()]
    assert len(set(names)) == len(names)


def _watched(routes: list[Any]) -> Any:
    from starlette.applications import Starlette  # noqa: PLC0415 - the one that is replaced

    def make(**arguments: Any) -> Starlette:
        routes.extend(arguments["routes"])
        return Starlette(**arguments)

    return make


async def test_the_document_is_openapi_and_answers_are_what_it_says(tmp_path: Path) -> None:
    async with serving(tmp_path, EchoNode()) as caller:
        told = await caller.get("/openapi.json")
        async with caller.events() as events:
            job_id = (await caller.submit())["job_id"]
            await events.until("state", job_id=job_id, state="succeeded")
            if not any(one["event"] == "edge" for one in events.told):  # they come at times of their own
                await events.until("edge")
        written = told["paths"]["/events"]["get"]["responses"]["200"]["x-events"]
        for one in events.told:
            jsonschema_rs.validate({**written[one["event"]], "components": told["components"]}, one["data"])
        assert {one["event"] for one in events.told} >= {"hello", "state", "progress", "edge"}
        for path, name in (("/jobs", "Jobs"), (f"/jobs/{job_id}", "Job"), ("/assets", "Assets"), ("/faces", "Faces")):
            schema = {"$ref": f"#/components/schemas/{name}", "components": told["components"]}
            jsonschema_rs.validate(schema, await caller.get(path))


@pytest.mark.slow
async def test_schemathesis_finds_no_fault_in_an_empty_edge(tmp_path: Path) -> None:
    async with serving(tmp_path / "data") as caller:
        await _ask_everything(caller, tmp_path, "--max-examples", "5")


async def test_schemathesis_finds_no_fault_in_an_edge_with_jobs(tmp_path: Path) -> None:
    async with serving(tmp_path / "data", EchoNode()) as caller:
        job = await caller.submit()
        await ended(caller, job["job_id"])
        ids = {"job_id": job["job_id"], "asset_id": job["video"]["asset_id"], "upload_id": await caller.begin_upload(9)}
        # Only what leaves the job there for the next question, and asks for what is there.
        more = ("--include-method", "GET", "--include-method", "HEAD", "--max-examples", "5", "--mode", "positive")
        await _ask_everything(caller, tmp_path, *more, **ids)
        assert (await caller.get(f"/jobs/{job['job_id']}"))["state"] == "succeeded"


async def _ask_everything(caller: Caller, folder: Path, *more: str, **parameters: str) -> None:
    """Let schemathesis ask an edge whatever its document allows, and what it does not."""
    given = "\n".join(f'"path.{name}" = "{value}"' for name, value in parameters.items())
    config = folder / "schemathesis.toml"
    config.write_text(f"[parameters]\n{given}\n" + (_FOLDER / "schemathesis.toml").read_text())
    command = [
        *(str(Path(sys.executable).with_name("schemathesis")), "--config-file", str(config), "run"),
        *(f"{caller.address}/openapi.json", "--continue-on-failure", "--request-timeout", "20", "--seed", "1"),
        *(flag for path in _OPEN_ENDED for flag in ("--exclude-path", path)),
        *more,
    ]
    environ = {
        **os.environ,
        "PYTHONPATH": str(_FOLDER.parents[1]),
        "SCHEMATHESIS_HOOKS": "tests.openapi.hooks",
    }
    process = await asyncio.create_subprocess_exec(
        *command, cwd=folder, env=environ, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()[-8000:]
