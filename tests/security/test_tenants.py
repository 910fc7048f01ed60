"""Who may call what: strangers nothing, callers what their keys say, and no tenant learns what another has."""

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import jwt
import pytest
from aiohttp import web as web_of
from cryptography.hazmat.primitives.asymmetric import rsa
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from jwt.algorithms import RSAAlgorithm

import viseme
from edge_gateway.access.policy import ANYONE, RPC_NEEDS
from edge_gateway.app import Addresses, edge
from edge_gateway.web.gate import need_of
from edge_gateway.web.openapi import Answer, Operation
from edge_gateway.web.operations import OPERATIONS
from shared.access.key import ApiKey
from shared.access.keyring import Keyring
from shared.access.scope import EVERYTHING, Scope
from shared.errors import InvalidInputError, PermissionDeniedError, ResourceExhaustedError, UnauthenticatedError
from shared.pb.viseme.gateway.v1 import asset_pb2, job_pb2, network_pb2
from tests.caller import CLIP, SPEECH
from tests.integration.test_edge_gateway import EchoNode, running_node, settings_for

_DEADLINE_S = 30
NOWHERE = {
    "job_id": "job-" + "e" * 20,
    "asset_id": "e" * 64,
    "upload_id": "0" * 32,
    "number": "0",
    "name": "x",
    "token": "x",
}
"""What is in no tenant."""


class Provider:
    """An OpenID provider: it says where its keys are, and signs what it is asked to."""

    def __init__(self, issuer: str) -> None:
        self.issuer = issuer
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def token(self, **claims: Any) -> str:
        now = int(time.time())
        told = {"iss": self.issuer, "aud": "viseme", "sub": "anna", "iat": now, "exp": now + 60, **claims}
        return jwt.encode(told, self._key, algorithm="RS256", headers={"kid": "one"})

    async def about(self, _: web_of.Request) -> web_of.Response:
        return web_of.json_response({"issuer": self.issuer, "jwks_uri": f"{self.issuer}/keys"})

    async def keys(self, _: web_of.Request) -> web_of.Response:
        public = json.loads(RSAAlgorithm.to_jwk(self._key.public_key()))
        return web_of.json_response({"keys": [{**public, "kid": "one", "use": "sig", "alg": "RS256"}]})


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        made = Provider(f"http://127.0.0.1:{listening.getsockname()[1]}")
        application = web_of.Application()
        application.add_routes(
            [web_of.get("/.well-known/openid-configuration", made.about), web_of.get("/keys", made.keys)]
        )
        runner = web_of.AppRunner(application)
        await runner.setup()
        await web_of.SockSite(runner, listening).start()
        yield made
        await runner.cleanup()


def methods() -> Iterator[MethodDescriptor]:
    for file in (asset_pb2.DESCRIPTOR, job_pb2.DESCRIPTOR, network_pb2.DESCRIPTOR):
        for service in file.services_by_name.values():
            yield from service.methods


def path_of(method: MethodDescriptor) -> str:
    return f"/{method.containing_service.full_name}/{method.name}"


@dataclass(slots=True, kw_only=True)
class Doors:
    addresses: Addresses
    keys: dict[str, str]
    file: Path
    data: Path

    @property
    def rpc(self) -> str:
        return str(self.addresses.rpc)

    @property
    def web(self) -> str:
        return f"http://{self.addresses.web}"

    def connect(self, who: str) -> viseme.Edge:
        return viseme.connect(self.rpc, key=self.keys[who])

    def bearer(self, who: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.keys[who]}"}

    def audit(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.data / "audit.log").read_text().splitlines()]


@asynccontextmanager
async def doors(tmp_path: Path, limits: dict[str, Any] | None = None, **more: object) -> AsyncIterator[Doors]:
    ring, texts = Keyring(tenants={"beta": limits or {}}), {}
    for name, tenant, scopes in (
        ("alpha", "alpha", EVERYTHING),
        ("beta", "beta", EVERYTHING),
        ("reader", "alpha", frozenset({Scope.READ})),
        ("default", "default", EVERYTHING),
    ):
        key, texts[name] = ApiKey.make(name=name, tenant=tenant, scopes=scopes)
        ring = ring.with_key(key)
    file, data = tmp_path / "keys.json", tmp_path / "data"
    ring.write(file)
    async with (
        running_node(EchoNode()) as node,
        edge(settings_for(data, node, keys=file, **more)) as addresses,
    ):
        yield Doors(addresses=addresses, keys=texts, file=file, data=data)


async def status_of(
    channel: grpc.aio.Channel, method: MethodDescriptor, request: bytes, key: str = ""
) -> tuple[str, str]:
    """How a call ends; one that goes on is well."""
    shown = (("authorization", f"Bearer {key}"),) if key else ()
    call = channel.stream_stream(path_of(method))(iter([request]), metadata=shown, timeout=2)
    try:
        async for _ in call:
            pass
    except grpc.aio.AioRpcError as error:
        known = error.code() is not grpc.StatusCode.DEADLINE_EXCEEDED
        return (error.code().name, error.details() or "") if known else ("OK", "")
    return "OK", ""


def test_every_call_and_every_request_has_a_policy() -> None:
    assert {path_of(method) for method in methods()} <= set(RPC_NEEDS)
    assert [op.name for op in OPERATIONS if need_of(op) is None] == []


def test_what_nobody_has_written_down_is_nobodys() -> None:
    new = Operation(method="GET", path="/new", name="new", tag="edge", words="", answers=[Answer(words="")])
    assert need_of(new) is None


async def test_a_stranger_gets_nothing(tmp_path: Path) -> None:
    async with doors(tmp_path) as here, grpc.aio.insecure_channel(here.rpc) as channel:
        for key in ("", "vis_000000000000_" + "A" * 43, here.keys["alpha"][:-1] + "!", "nonsense"):
            for method in methods():
                assert (await status_of(channel, method, b"", key))[0] == "UNAUTHENTICATED", path_of(method)
        async with aiohttp.ClientSession() as web:
            for op in OPERATIONS:
                path = op.path.format(**NOWHERE)
                async with web.request(op.method, here.web + path, allow_redirects=False) as answer:
                    is_open = need_of(op) is ANYONE and op.name not in {"sharedResult", "signIn"}
                    assert (answer.status == 401) is not is_open, (op.name, answer.status)
            async with web.get(here.web + "/no-such-thing") as answer:
                assert answer.status == 401
            async with web.get(here.web, headers={"Accept": "text/html"}, allow_redirects=False) as answer:
                assert (answer.status, answer.headers["Location"]) == (303, "/sign-in")
        assert {line["outcome"] for line in here.audit()} >= {"unauthenticated"}


async def test_a_key_does_what_its_scopes_say(tmp_path: Path) -> None:
    async with doors(tmp_path) as here, grpc.aio.insecure_channel(here.rpc) as channel:
        for method in methods():
            need = RPC_NEEDS[path_of(method)]
            code, _ = await status_of(channel, method, b"", here.keys["reader"])
            assert (code == "PERMISSION_DENIED") is (need is not Scope.READ), path_of(method)
        async with aiohttp.ClientSession(headers=here.bearer("reader")) as web:
            for op in OPERATIONS:
                path = op.path.format(**NOWHERE)
                if op.path == "/events":
                    continue
                async with web.request(op.method, here.web + path, allow_redirects=False) as answer:
                    refused = need_of(op) not in {Scope.READ, ANYONE}
                    assert (answer.status == 403) is refused, (op.name, answer.status)
            # tus lets a client say its method in a header: what is done is what counts.
            override = {"X-HTTP-Method-Override": "DELETE", "Tus-Resumable": "1.0.0"}
            for method in ("OPTIONS", "POST", "PATCH"):
                async with web.request(method, f"{here.web}/files/{'0' * 32}", headers=override) as answer:
                    assert answer.status == 403
            for path in ("/files", "/files/"):
                headers = {"Tus-Resumable": "1.0.0", "Upload-Length": "1"}
                async with web.post(here.web + path, headers=headers, allow_redirects=False) as answer:
                    assert answer.status == 403
        async with here.connect("alpha") as alpha:
            job = await alpha.dub(CLIP, SPEECH)
        async with here.connect("reader") as reader:
            with pytest.raises(PermissionDeniedError):
                await (await reader.job(job.id)).delete()
        # A session is for reading; what it cancels is not.
        ask = job_pb2.SessionRequest(cancel=job_pb2.Cancel(job_id=job.id))
        call = channel.stream_stream("/viseme.gateway.v1.JobService/Session")(
            iter([ask.SerializeToString()]), metadata=(("authorization", f"Bearer {here.keys['reader']}"),)
        )
        answer = job_pb2.SessionResponse.FromString(await call.read())
        assert answer.error.error.reason == "permission_denied"


async def test_no_tenant_learns_what_another_has(tmp_path: Path) -> None:
    async with doors(tmp_path) as here, grpc.aio.insecure_channel(here.rpc) as channel:
        async with here.connect("alpha") as alpha:
            job = await alpha.dub(CLIP, SPEECH)
            await job.wait()
            video = (await alpha.upload(CLIP)).id
            theirs = {"job_id": job.id, "asset_id": video}

        for method in methods():
            told = [
                await status_of(channel, method, _filled(method, ids).SerializeToString(), here.keys["beta"])
                for ids in (theirs, NOWHERE)
            ]
            assert _plain(told[0], theirs) == _plain(told[1], NOWHERE), path_of(method)

        async with aiohttp.ClientSession(headers=here.bearer("beta")) as web:
            for op in OPERATIONS:
                if op.path in {"/events", "/shared/{token}", "/probe", "/status", "/sign-out"}:
                    continue
                answers = []
                for ids in (theirs, NOWHERE):
                    path = op.path.format(**{**NOWHERE, **ids})
                    body = json.dumps({"job_ids": [ids["job_id"]], "video": ids["asset_id"], "speech": ids["asset_id"]})
                    async with web.request(
                        op.method,
                        here.web + path,
                        params={"job": ids["job_id"]} if op.name == "results" else {},
                        data=body if op.method == "POST" else None,
                        headers={"Content-Type": "application/json"} if op.method == "POST" else {},
                        allow_redirects=False,
                    ) as answer:
                        answers.append(_plain((str(answer.status), await answer.text(errors="replace")), ids))
                assert answers[0] == answers[1], op.name

        async with here.connect("beta") as beta:
            assert [job async for job in beta.jobs()] == []
            assert [one async for one in beta.assets.list()] == []
            told: list[viseme.Transfer] = []
            again = await beta.upload(CLIP, on_progress=told.append)
            assert again.id == video, "a name by content is the same for everybody"
            assert told[-1].skipped_bytes == 0, "nothing is found of what another tenant has"
        async with here.connect("alpha") as alpha:
            await (await alpha.job(job.id)).delete()
            await alpha.assets.delete(video)
        async with here.connect("beta") as beta:
            assert (await beta.assets.get(video)).state == "ready", "what one deletes the other keeps"


async def test_tenants_outlive_a_restart_and_the_default_one_has_what_was_there(tmp_path: Path) -> None:
    async with (
        running_node(EchoNode()) as node,
        edge(settings_for(tmp_path / "data", node)) as addresses,
        viseme.connect(str(addresses.rpc)) as before,
    ):
        video = (await before.upload(CLIP)).id
    async with doors(tmp_path) as here:
        async with here.connect("default") as default:
            assert [one.id async for one in default.assets.list()] == [video]
        async with here.connect("alpha") as alpha:
            assert [one async for one in alpha.assets.list()] == []
            speech = (await alpha.upload(SPEECH)).id
    async with doors(tmp_path) as here, here.connect("alpha") as alpha:
        assert [one.id async for one in alpha.assets.list()] == [speech]


async def test_a_key_that_is_revoked_opens_nothing_any_more(tmp_path: Path) -> None:
    async with doors(tmp_path) as here, aiohttp.ClientSession() as web:
        async with web.post(here.web + "/sign-in", data={"key": here.keys["alpha"]}, allow_redirects=False) as answer:
            assert answer.status == 303
            cookie = answer.headers["Set-Cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=lax" in cookie
        session = {"Cookie": cookie.partition(";")[0]}
        async with web.get(here.web + "/status", headers=session) as answer:
            assert (await answer.json())["tenant"] == "alpha"
        # A page elsewhere has the browser send the cookie along with what it asks.
        async with web.post(here.web + "/jobs", headers={**session, "Origin": "https://evil.example"}) as answer:
            assert answer.status == 403
        following = await web.get(here.web + "/events", headers=here.bearer("alpha"))
        assert following.status == 200
        ring = Keyring.read(here.file)
        key_id = next(key.key_id for key in ring.keys.values() if key.name == "alpha")
        ring.revoked(key_id).write(here.file)
        async with asyncio.timeout(_DEADLINE_S), here.connect("alpha") as alpha:
            with pytest.raises(UnauthenticatedError, match="revoked"):
                await _until_refused(alpha)
        async with web.get(here.web + "/status", headers=session) as answer:
            assert answer.status == 401
        with pytest.raises(aiohttp.ClientPayloadError):  # what was being told is told no further
            async with asyncio.timeout(_DEADLINE_S):
                await following.read()
        # A file that is none changes nothing.
        here.file.write_text("{")
        async with here.connect("beta") as beta:
            await beta.capabilities()


async def test_a_link_leads_to_one_result_until_its_time_is_over(tmp_path: Path) -> None:
    async with doors(tmp_path) as here, here.connect("alpha") as alpha, aiohttp.ClientSession() as web:
        job = await alpha.dub(CLIP, SPEECH)
        await job.wait()
        link = await job.link(valid_s=60)
        async with web.get(link.url, headers={"Range": "bytes=0-99"}) as answer:
            assert answer.status == 206
            assert (await answer.read())[4:8] == b"ftyp"
        async with web.get(link.url[:-2]) as answer:
            assert answer.status == 401
        with pytest.raises(InvalidInputError):
            await job.link(valid_s=1e9)
        async with web.post(f"{here.web}/jobs/{job.id}/link", json={}, headers=here.bearer("alpha")) as answer:
            assert answer.status == 201
        await job.delete()
        async with web.get(link.url) as answer:
            assert answer.status == 404
        changed = {(line["what"].rpartition("/")[2], line["subject"], line["outcome"]) for line in here.audit()}
        assert {("SubmitJob", job.id, "ok"), ("CreateLink", job.id, "ok"), ("DeleteJob", job.id, "ok")} <= changed
        assert not any(text in (here.data / "audit.log").read_text() for text in here.keys.values())


@pytest.mark.parametrize(
    ("limits", "name"),
    [
        ({"stored_bytes": 1000}, "stored_bytes"),
        ({"decoded_pixels": 1000}, "decoded_pixels"),
        ({"requests_s": 0.1, "requests_burst": 1}, "requests_s"),
    ],
)
async def test_a_tenant_has_limits_of_its_own(tmp_path: Path, limits: dict[str, float], name: str) -> None:
    async with doors(tmp_path, limits) as here:
        async with here.connect("alpha") as alpha:
            await (await alpha.dub(CLIP, SPEECH)).wait()
        async with here.connect("beta") as beta:
            with pytest.raises(ResourceExhaustedError) as refused:
                await _dub_some(beta)
            assert refused.value.limit == name
            assert refused.value.retry_after_s is not None


async def test_tokens_of_a_provider_name_tenant_and_scopes(tmp_path: Path, provider: Provider) -> None:
    told = {"oidc_issuer": provider.issuer, "oidc_audience": "viseme"}
    async with running_node(EchoNode()) as node, edge(settings_for(tmp_path, node, **told)) as addresses:
        rpc = str(addresses.rpc)
        async with viseme.connect(rpc, key=provider.token(tenant="alpha", scope="openid read viseme:dub")) as alpha:
            job = await alpha.dub(CLIP, SPEECH)
            await job.wait()
            with pytest.raises(PermissionDeniedError, match="delete"):
                await job.delete()
        async with viseme.connect(rpc, key=provider.token(tenant="beta", scope="read")) as beta:
            assert [one async for one in beta.jobs()] == []
        for wrong in (
            {"aud": "another"},
            {"iss": "https://another.example"},
            {"exp": 1},
            {"tenant": "../up"},
            {"tenant": None},
        ):
            async with viseme.connect(rpc, key=provider.token(**{"tenant": "alpha", "scope": "read", **wrong})) as who:
                with pytest.raises(UnauthenticatedError):
                    await who.capabilities()
        forged = jwt.encode({"sub": "x", "tenant": "alpha"}, "a secret that is no secret at all", algorithm="HS256")
        async with viseme.connect(rpc, key=forged) as who:
            with pytest.raises(UnauthenticatedError):
                await who.capabilities()
        async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as web:
            form = {"key": provider.token(tenant="alpha", scope="read")}
            async with web.post(f"http://{addresses.web}/sign-in", data=form) as answer:  # follows to the page
                assert (answer.status, answer.url.path) == (200, "/")


async def test_without_keys_others_do_not_reach_an_edge(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="keys"):
        async with edge(settings_for(tmp_path, "127.0.0.1:1", listen="0.0.0.0:0", insecure=True)):
            pass


async def _until_refused(edge: viseme.Edge) -> None:
    while True:
        await edge.capabilities()


async def _dub_some(edge: viseme.Edge) -> None:
    for _ in range(3):  # of a video that is not there yet nobody knows how large it is
        await (await edge.dub(CLIP, SPEECH)).wait()


def _filled(method: MethodDescriptor, ids: dict[str, str]) -> Message:
    """A request that names what another tenant has wherever it names anything."""
    message = GetMessageClass(method.input_type)()
    _fill(message, ids)
    return message


def _fill(message: Message, ids: dict[str, str]) -> None:
    for field in message.DESCRIPTOR.fields:
        if field.name.endswith("job_id"):
            setattr(message, field.name, ids["job_id"])
        elif field.name.endswith("asset_id"):
            setattr(message, field.name, ids["asset_id"])
        elif field.name in {"subscribe", "cancel"}:
            _fill(getattr(message, field.name), ids)


def _plain(told: tuple[str, str], ids: dict[str, str]) -> tuple[str, str]:
    words = told[1]
    for name, one in [(name, ids[name]) for name in ("job_id", "asset_id")]:
        words = words.replace(one, name)
    return told[0], words
