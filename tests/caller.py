"""A caller of an edge over HTTP: JSON, uploads by tus, and the stream of events."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from shared.rpc.address import Address

MEDIA = Path(__file__).resolve().parent / "media"
CLIP, SPEECH = MEDIA / "clip.mp4", MEDIA / "speech-papa.wav"
_TUS = {"Tus-Resumable": "1.0.0"}
_BYTES = {**_TUS, "Content-Type": "application/offset+octet-stream"}


@dataclass(slots=True)
class Caller:
    """One who calls."""

    http: aiohttp.ClientSession
    address: str
    """Of the edge, as a URL without a path."""

    async def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any, Any]:
        """Gives the status, what the JSON of the answer says (or its bytes), and the headers."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.http.request(method, path, json=body, headers=named) as answer:
            is_json = answer.content_type == "application/json"
            return answer.status, await answer.json() if is_json else await answer.read(), answer.headers

    async def get(self, path: str) -> Any:
        """What the answer says, which must be one."""
        status, told, _ = await self.ask("GET", path)
        assert status == 200, told
        return told

    async def begin_upload(self, size: int, name: str = "") -> str:
        """Open an upload; gives its id."""
        encoded = base64.b64encode(name.encode()).decode()
        headers = {**_TUS, "Upload-Length": str(size), "Upload-Metadata": f"filename {encoded}"}
        async with self.http.post("/files/", headers=headers) as answer:
            assert answer.status == 201, await answer.text()
            return answer.headers["Location"].removeprefix("/files/")

    async def append(self, upload_id: str, offset: int, data: bytes) -> tuple[int, str]:
        """Append to an upload; gives the status and the asset's id, empty while it is none."""
        headers = {**_BYTES, "Upload-Offset": str(offset)}
        async with self.http.patch(f"/files/{upload_id}", data=data, headers=headers) as answer:
            return answer.status, answer.headers.get("Viseme-Asset-Id", "")

    async def upload(self, path: Path, name: str = "") -> str:
        """Upload a file; gives the asset's id."""
        data = path.read_bytes()
        upload_id = await self.begin_upload(len(data), name or path.name)
        status, asset_id = await self.append(upload_id, 0, data)
        assert status == 204
        return asset_id

    async def submit(self, **ask: Any) -> Any:
        """Submit a job, on the committed clip and speech where no others are named; gives it."""
        ask.setdefault("video", "") or ask.update(video=await self.upload(CLIP))
        ask.setdefault("speech", "") or ask.update(speech=await self.upload(SPEECH))
        status, job, _ = await self.ask("POST", "/jobs", ask)
        assert status == 201, job
        return job

    @asynccontextmanager
    async def events(self, query: str = "", after: int | None = None) -> AsyncIterator["Events"]:
        """Follow what happens inside the block."""
        headers = {} if after is None else {"Last-Event-ID": str(after)}
        async with self.http.get(f"/events{query}", headers=headers) as answer:
            assert answer.status == 200, await answer.text()
            yield Events(answer)


@dataclass(slots=True)
class Events:
    """An open stream of events."""

    answer: aiohttp.ClientResponse
    told: list[dict[str, Any]] = field(default_factory=list)

    async def next(self) -> dict[str, Any]:
        """The next event, whatever it is: ``event``, ``id`` where it has one, and what ``data`` says."""
        one: dict[str, Any] = {}
        while line := (await self.answer.content.readline()).decode().rstrip("\n"):
            key, _, value = line.partition(": ")
            one[key] = json.loads(value) if key == "data" else value
        self.told.append(one)
        return one

    async def until(self, event: str, timeout_s: float = 60, **data: Any) -> dict[str, Any]:
        """The next event of a kind whose data has these values."""
        async with asyncio.timeout(timeout_s):
            while True:
                one = await self.next()
                if not one:
                    raise EOFError("the stream has ended")
                if one["event"] == event and data.items() <= one["data"].items():
                    return one


@asynccontextmanager
async def calling(web: Address | str) -> AsyncIterator[Caller]:
    """A caller inside the block."""
    address = f"http://{web}"
    async with aiohttp.ClientSession(address) as http:
        yield Caller(http, address)
