"""A real edge over real gRPC, with a node that paints nothing new: it gives back the patch of the crop."""

import asyncio
import hashlib
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from edge_gateway.app import Addresses, edge
from edge_gateway.settings import EdgeSettings
from shared.digest import CHUNK_BYTES, chunk_digest
from shared.errors import (
    ConflictError,
    EngineUnavailableError,
    InvalidInputError,
    InvalidMediaError,
    NotFoundError,
    QueueFullError,
    VisemeError,
)
from shared.media.encode import ColourTags, Encoding
from shared.media.planes import Planes
from shared.media.video import decode_video, encode_video
from shared.pb.viseme.gateway.v1 import asset_pb2, job_pb2, network_pb2
from shared.pb.viseme.gateway.v1.asset_pb2_grpc import AssetServiceStub
from shared.pb.viseme.gateway.v1.job_pb2_grpc import JobServiceStub
from shared.pb.viseme.gateway.v1.network_pb2_grpc import NetworkServiceStub
from shared.pb.viseme.inference.v1 import render_pb2 as pb
from shared.pb.viseme.inference.v1.render_pb2_grpc import RenderServiceServicer, add_RenderServiceServicer_to_server
from shared.rpc.address import Address
from shared.rpc.server import RpcServer
from shared.rpc.status import from_rpc_error
from tests.signing import same_signer

MEDIA = Path(__file__).resolve().parents[1] / "media"
PX = 160
PATCH = (32, 64, 96, 80)


@dataclass(slots=True)
class EchoNode(RenderServiceServicer):
    """Renders by cutting the patch out of the crop; fails as often as it is told to."""

    faults: list[tuple[int, VisemeError]] = field(default_factory=list)
    """What each call ends with, and after how many rendered segments."""
    orders: list[int] = field(default_factory=list)
    cached: dict[bytes, bytes] = field(default_factory=dict)
    acks: list[int] = field(default_factory=list)
    hold: asyncio.Event | None = None
    """When set, nothing is rendered before it is."""
    open_calls: int = 0

    async def GetStatus(self, request: pb.GetStatusRequest, context: object) -> pb.GetStatusResponse:
        del request, context
        engine = pb.EngineInfo(name="echo", summary="Gives back.", is_default=True, crop_px=PX, crop_scale=1.6)
        return pb.GetStatusResponse(version="0", node="echo", triton=pb.TRITON_STATE_READY, engines=[engine])

    async def Render(
        self, request_iterator: AsyncIterator[pb.RenderRequest], context: object
    ) -> AsyncIterator[pb.RenderResponse]:
        del context
        self.open_calls += 1
        limit, fault = self.faults.pop(0) if self.faults else (1 << 30, None)
        call, rendered = _Call(self), 0
        try:
            async for request in request_iterator:
                async for answer in call.take(request):
                    if fault is not None and rendered >= limit:
                        raise fault
                    rendered += answer.WhichOneof("message") == "rendered"
                    yield answer
                if fault is not None and rendered >= limit:
                    raise fault
        finally:
            self.open_calls -= 1


@dataclass(slots=True)
class _Call:
    node: EchoNode
    speech: int = 0
    offers: dict[int, pb.CropOffer] = field(default_factory=dict)
    crops: dict[int, bytearray] = field(default_factory=dict)
    waiting: list[pb.SegmentOrder] = field(default_factory=list)

    async def take(self, request: pb.RenderRequest) -> AsyncIterator[pb.RenderResponse]:
        match request.WhichOneof("message"):
            case "spec":
                self.speech = request.spec.speech_bytes
                yield pb.RenderResponse(accepted=pb.RenderAccepted(engine="echo", node="echo", need_speech=True))
            case "speech":
                self.speech -= len(request.speech.data)
            case "offer":
                self.offers[request.offer.crop_index] = request.offer
                needed = request.offer.digest not in self.node.cached
                yield pb.RenderResponse(need=pb.CropNeed(crop_index=request.offer.crop_index, needed=needed))
            case "crop":
                self._take_crop(request.crop)
            case "order":
                self.node.orders.append(request.order.segment_index)
                self.waiting.append(request.order)
            case "ack":
                self.node.acks.append(request.ack.segment_index)
        for order in [order for order in self.waiting if self._can(order)]:
            self.waiting.remove(order)
            if self.node.hold is not None:
                await self.node.hold.wait()
            yield pb.RenderResponse(progress=pb.SegmentProgress(segment_index=order.segment_index, done_frames=1))
            for piece in self._render(order):
                yield pb.RenderResponse(rendered=piece)

    def _take_crop(self, piece: pb.CropPiece) -> None:
        data = self.crops.setdefault(piece.crop_index, bytearray())
        assert piece.offset_bytes == len(data)
        data += piece.data
        offer = self.offers[piece.crop_index]
        if len(data) == offer.size_bytes:
            assert hashlib.sha256(data).digest() == offer.digest
            self.node.cached[offer.digest] = bytes(data)

    def _can(self, order: pb.SegmentOrder) -> bool:
        assert all(index in self.offers for index in order.reference_crops)
        return self.speech == 0 and all(offer.digest in self.node.cached for offer in self.offers.values())

    def _render(self, order: pb.SegmentOrder) -> list[pb.RenderedPiece]:
        frames: dict[int, Planes] = {}
        for offer in self.offers.values():
            data = self.node.cached[offer.digest]
            held = decode_video(data, max_frames=1000, max_pixels=PX * PX)
            own = held[offer.lead_frames : offer.lead_frames + offer.frame_count]
            frames |= {offer.first_frame + at: planes for at, planes in enumerate(own)}
        x, y, width, height = PATCH
        patches = [
            Planes(
                y=frames[source].y[y : y + height, x : x + width],
                u=frames[source].u[y // 2 : (y + height) // 2, x // 2 : (x + width) // 2],
                v=frames[source].v[y // 2 : (y + height) // 2, x // 2 : (x + width) // 2],
            )
            for source in order.source_frames
        ]
        encoding = Encoding(rate=Fraction(25), crf=20, colour=ColourTags())
        data = encode_video(patches, [40_000 * at for at in range(len(patches))], encoding)
        mask = pb.PaintMask(center_x=0.5, center_y=0.65, radius_x=0.2, radius_y=0.15, feather=0.3)
        card = pb.RenderedSegment(
            digest=hashlib.sha256(data).digest(),
            size_bytes=len(data),
            patch=pb.PatchBox(x=x, y=y, width=width, height=height),
            masks=[mask] * len(patches),
        )
        half = len(data) // 2
        index = order.segment_index
        return [
            pb.RenderedPiece(segment_index=index, offset_bytes=0, data=data[:half]),
            pb.RenderedPiece(segment_index=index, offset_bytes=half, data=data[half:], complete=card),
        ]


@dataclass(slots=True)
class Client:
    """A caller of one edge."""

    channel: grpc.aio.Channel

    @property
    def assets(self) -> AssetServiceStub:
        return AssetServiceStub(self.channel)

    @property
    def jobs(self) -> JobServiceStub:
        return JobServiceStub(self.channel)

    async def upload(self, data: bytes, name: str) -> asset_pb2.Asset:
        chunks = [data[at : at + CHUNK_BYTES] for at in range(0, len(data), CHUNK_BYTES)]
        manifest = asset_pb2.Manifest(
            size_bytes=len(data),
            chunk_bytes=CHUNK_BYTES,
            chunk_digests=map(chunk_digest, chunks),
            display_name=name,
        )
        requests = [asset_pb2.UploadRequest(manifest=manifest)]
        for index, chunk in enumerate(chunks):
            requests.append(asset_pb2.UploadRequest(piece=asset_pb2.ChunkPiece(chunk_index=index, data=chunk)))
        answers = [answer async for answer in self.assets.Upload(iter(requests))]
        return answers[-1].complete.asset

    async def submit(self, *, engine: str = "", key: str = "") -> job_pb2.Job:
        video = await self.upload((MEDIA / "clip.mp4").read_bytes(), "clip.mp4")
        speech = await self.upload((MEDIA / "speech-papa.wav").read_bytes(), "speech.wav")
        request = job_pb2.SubmitJobRequest(
            video_asset_id=video.asset_id,
            speech_asset_id=speech.asset_id,
            options=job_pb2.JobOptions(engine=engine),
            idempotency_key=key,
        )
        return (await self.jobs.SubmitJob(request)).job

    async def events(self, job_id: str, after: int = 0) -> list[job_pb2.Event]:
        """Every event until the job's end."""
        subscribe = job_pb2.SessionRequest(subscribe=job_pb2.Subscribe(job_id=job_id, after_sequence=after))
        return [answer.event async for answer in self.jobs.Session(iter([subscribe]))]

    async def job(self, job_id: str) -> job_pb2.Job:
        return (await self.jobs.GetJob(job_pb2.GetJobRequest(job_id=job_id))).job

    async def download(self, asset_id: str, offset: int = 0) -> bytes:
        request = asset_pb2.DownloadRequest(asset_id=asset_id, offset_bytes=offset)
        return b"".join([piece.data async for piece in self.assets.Download(request)])


def settings_for(data: Path, node: Address | str, **more: object) -> EdgeSettings:
    return EdgeSettings.model_validate(
        {
            "listen": "127.0.0.1:0",
            "web": "127.0.0.1:0",
            "metrics": "127.0.0.1:0",
            "node": str(node),
            "data": data,
            "grace_seconds": 0.5,
            "segment_seconds": 0.5,
            "node_patience_s": 20.0,
            "link_profile": "balanced",
            **same_signer(),
            **more,
        }
    )


@asynccontextmanager
async def running_node(node: EchoNode) -> AsyncIterator[Address]:
    rpc = RpcServer(Address(host="127.0.0.1", port=0), services=["viseme.inference.v1.RenderService"], grace_s=0.1)
    add_RenderServiceServicer_to_server(node, rpc.server)
    async with rpc.serving() as address:
        yield address


@asynccontextmanager
async def client_of(addresses: Addresses) -> AsyncIterator[Client]:
    async with grpc.aio.insecure_channel(str(addresses.rpc)) as channel:
        yield Client(channel)


@asynccontextmanager
async def running_edge(data: Path, node: Address | str, **more: object) -> AsyncIterator[Client]:
    async with edge(settings_for(data, node, **more)) as addresses, client_of(addresses) as client:
        yield client


def states(events: list[job_pb2.Event]) -> list[int]:
    return [event.state_changed.state for event in events if event.WhichOneof("body") == "state_changed"]


def reasons(events: list[job_pb2.Event]) -> list[str]:
    return [event.notice.reason for event in events if event.WhichOneof("body") == "notice"]


async def error_of(call: object) -> VisemeError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call  # type: ignore[misc] # any awaitable
    return from_rpc_error(caught.value)


async def test_a_second_edge_on_the_same_folder_is_refused_and_harms_nothing(tmp_path: Path) -> None:
    node = EchoNode()
    async with running_node(node) as address, running_edge(tmp_path, address) as client:
        with pytest.raises(ConflictError) as caught:
            async with edge(settings_for(tmp_path, address)):
                pass
        assert caught.value.field == "data"
        job = await client.submit()
        assert states(await client.events(job.job_id)) == [1, 2, 3, 4, 5]


async def test_a_session_that_comes_back_after_the_end_ends(tmp_path: Path) -> None:
    node = EchoNode()
    async with running_node(node) as address, running_edge(tmp_path, address) as client:
        job = await client.submit()
        await client.events(job.job_id)
        last = (await client.job(job.job_id)).last_sequence
        async with asyncio.timeout(10):
            assert await client.events(job.job_id, last) == []


async def test_a_job_from_its_files_to_a_result_that_plays(tmp_path: Path) -> None:
    node = EchoNode()
    async with running_node(node) as address, running_edge(tmp_path, address) as client:
        job = await client.submit()
        events = await client.events(job.job_id)
        assert [event.sequence for event in events] == list(range(1, len(events) + 1))
        assert states(events) == [1, 2, 3, 4, 5]
        done = await client.job(job.job_id)
        report = done.report
        assert done.last_sequence == len(events)
        assert sorted(node.orders) == list(range(report.segments)) == sorted(node.acks)
        assert report.engine == "echo"
        assert report.wan.up_bytes > sum(map(len, node.cached.values()))
        assert {stage.stage for stage in report.stages} >= {job_pb2.STAGE_PREPARE, job_pb2.STAGE_COMPOSITE}
        result = await client.download(done.result_asset_id)
        assert result[len(result) // 2 :] == await client.download(done.result_asset_id, len(result) // 2)
        with av.open(io.BytesIO(result)) as played:
            assert sum(1 for _ in played.decode(video=0)) == report.frames
            assert played.streams.audio[0].codec_context.name == "aac"
        assert not list((tmp_path / "jobs").iterdir())

        again = await client.submit()
        assert again.job_id != job.job_id
        await client.events(again.job_id)
        second = await client.job(again.job_id)
        assert second.result_asset_id == done.result_asset_id
        assert second.report.wan.up_bytes < report.wan.up_bytes / 2
        await client.jobs.DeleteJob(job_pb2.DeleteJobRequest(job_id=job.job_id))
        assert await client.download(done.result_asset_id)
        await client.jobs.DeleteJob(job_pb2.DeleteJobRequest(job_id=again.job_id))
        assert isinstance(await error_of(client.download(done.result_asset_id)), NotFoundError)


async def test_after_a_cut_only_missing_segments_are_ordered_again_and_the_result_is_the_same(tmp_path: Path) -> None:
    steady, shaky = EchoNode(), EchoNode()
    busy = QueueFullError("full", retry_after_s=0.05)
    shaky.faults = [(2, EngineUnavailableError("Triton is gone")), (0, busy), (1, busy)]
    results = []
    for node in (steady, shaky):
        data = tmp_path / str(len(results))
        async with running_node(node) as address, running_edge(data, address, node_window=2) as client:
            job = await client.submit()
            events = await client.events(job.job_id)
            done = await client.job(job.job_id)
            assert done.state == job_pb2.JOB_STATE_SUCCEEDED, done.error
            results.append(done.result_asset_id)
    assert results[0] == results[1]
    assert "engine_unavailable" in reasons(events)
    assert "node_resumed" in reasons(events)
    for segment in shaky.acks:
        assert shaky.orders.count(segment) <= 3
    assert len(shaky.orders) <= len(steady.orders) + 6


async def test_a_job_goes_on_after_the_edge_was_stopped_in_the_middle(tmp_path: Path) -> None:
    node = EchoNode()
    async with running_node(node) as address:
        async with running_edge(tmp_path / "whole", address) as client:
            job = await client.submit()
            await client.events(job.job_id)
            whole = (await client.job(job.job_id)).result_asset_id
        node.hold = asyncio.Event()
        async with running_edge(tmp_path / "cut", address) as client:
            job = await client.submit()
            subscribe = job_pb2.SessionRequest(subscribe=job_pb2.Subscribe(job_id=job.job_id))
            session = client.jobs.Session(iter([subscribe]))
            async for answer in session:
                if answer.event.state_changed.state == job_pb2.JOB_STATE_RENDERING:
                    break
            session.cancel()
        node.hold.set()
        async with running_edge(tmp_path / "cut", address) as client:
            events = await client.events(job.job_id)
            done = await client.job(job.job_id)
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert "resumed" in reasons(events)
    assert states(events)[-4:] == [2, 3, 4, 5]
    assert done.result_asset_id == whole


async def test_cancelling_ends_the_stream_and_frees_everything(tmp_path: Path) -> None:
    node = EchoNode(hold=asyncio.Event())
    async with running_node(node) as address, running_edge(tmp_path, address) as client:
        job = await client.submit()

        async def asks() -> AsyncIterator[job_pb2.SessionRequest]:
            yield job_pb2.SessionRequest(subscribe=job_pb2.Subscribe(job_id=job.job_id))
            await rendering.wait()
            yield job_pb2.SessionRequest(cancel=job_pb2.Cancel(job_id=job.job_id))

        rendering, seen = asyncio.Event(), []
        async for answer in client.jobs.Session(asks()):
            seen.append(answer.event)
            if answer.event.state_changed.state == job_pb2.JOB_STATE_RENDERING:
                rendering.set()
        assert states(seen)[-1] == job_pb2.JOB_STATE_CANCELLED
        assert not (tmp_path / "jobs" / job.job_id).exists()
        cancelled = await client.jobs.CancelJob(job_pb2.CancelJobRequest(job_id=job.job_id))
        assert cancelled.job.state == job_pb2.JOB_STATE_CANCELLED
        assert cancelled.job.last_sequence == seen[-1].sequence


async def test_a_node_that_is_not_there_fails_the_job_with_its_address(tmp_path: Path) -> None:
    async with running_edge(tmp_path, "127.0.0.1:1", node_outage_s=0.3) as client:
        job = await client.submit()
        events = await client.events(job.job_id)
        error = (await client.job(job.job_id)).error
        assert error.reason == "node_unavailable"
        assert "127.0.0.1:1" in error.message
        assert "node_unavailable" in reasons(events)
        health = health_pb2_grpc.HealthStub(client.channel)
        told = await health.Check(health_pb2.HealthCheckRequest(service="viseme.gateway.v1.JobService"))
        assert told.status == health_pb2.HealthCheckResponse.SERVING


async def test_an_error_that_does_not_pass_fails_the_job_at_once(tmp_path: Path) -> None:
    node = EchoNode(faults=[(0, InvalidInputError("this engine wants another face", field="video"))])
    async with running_node(node) as address, running_edge(tmp_path, address) as client:
        job = await client.submit()
        await client.events(job.job_id)
        error = (await client.job(job.job_id)).error
        assert (error.reason, error.field) == ("invalid_input", "video")
        assert len(node.orders) <= 6


async def test_what_is_asked_wrongly_is_refused_with_the_field(tmp_path: Path) -> None:
    async with running_node(EchoNode()) as address, running_edge(tmp_path, address) as client:
        job = await client.submit(key="once")
        assert (await client.submit(key="once")).job_id == job.job_id
        await client.events(job.job_id)
        fault = await error_of(client.submit(engine="nobody"))
        assert (fault.reason, fault.field) == ("invalid_input", "options.engine")
        fault = await error_of(client.upload(b"this is no video at all", "movie.mp4"))
        assert isinstance(fault, InvalidMediaError)
        assert fault.field == "asset"
        fault = await error_of(client.upload(b"", "empty.mp4"))
        assert isinstance(fault, InvalidMediaError)
        sound = await client.upload((MEDIA / "speech-papa.wav").read_bytes(), "speech.wav")
        swapped = job_pb2.SubmitJobRequest(video_asset_id=sound.asset_id, speech_asset_id=sound.asset_id)
        assert (await error_of(client.jobs.SubmitJob(swapped))).field == "video"
        missing = job_pb2.SubmitJobRequest(video_asset_id="0" * 64, speech_asset_id=sound.asset_id)
        fault = await error_of(client.jobs.SubmitJob(missing))
        assert isinstance(fault, NotFoundError)
        assert fault.field == "video"
        fault = await error_of(client.jobs.GetJob(job_pb2.GetJobRequest(job_id="../x")))
        assert fault.field == "job_id"


async def test_a_background_that_cannot_be_is_refused_with_the_field(tmp_path: Path) -> None:
    async with running_node(EchoNode()) as address, running_edge(tmp_path, address) as client:
        photo = await client.upload((MEDIA.parents[1] / "deploy" / "demo" / "portrait.jpg").read_bytes(), "p.jpg")
        speech = await client.upload((MEDIA / "speech-papa.wav").read_bytes(), "speech.wav")

        async def fault(background: str = "", **options: object) -> VisemeError:
            request = job_pb2.SubmitJobRequest(
                video_asset_id=photo.asset_id,
                speech_asset_id=speech.asset_id,
                background_asset_id=background,
                options=job_pb2.JobOptions(**options),
            )
            return await error_of(client.jobs.SubmitJob(request))

        assert (await fault(speech.asset_id, keep_sound=True)).field == "background"
        silent = await fault(photo.asset_id)
        assert isinstance(silent, InvalidMediaError)
        assert silent.field == "background"
        assert "own" in (await fault(keep_sound=True)).message
        for volume in (-0.1, float("nan"), 2.1):
            assert (await fault(speech.asset_id, background_volume=volume)).field == "options.background_volume"
        assert (await fault(speech.asset_id, background_volume=2.1)).limit == "background_volume"


async def test_a_job_with_background_begins_anew_where_it_was(tmp_path: Path) -> None:
    node = EchoNode(hold=asyncio.Event())
    async with running_node(node) as address:
        async with running_edge(tmp_path, address) as client:
            plain = await client.submit()
            request = job_pb2.SubmitJobRequest(
                video_asset_id=plain.video_asset_id,
                speech_asset_id=plain.speech_asset_id,
                background_asset_id=plain.speech_asset_id,
                options=job_pb2.JobOptions(background_volume=0.5),
            )
            job = (await client.jobs.SubmitJob(request)).job
            assert (job.background_asset_id, job.options.background_volume) == (plain.speech_asset_id, 0.5)
        node.hold.set()
        async with running_edge(tmp_path, address) as client:
            for one in (plain, job):
                await client.events(one.job_id)
            ended = [await client.job(one.job_id) for one in (plain, job)]
            assert [one.state for one in ended] == [job_pb2.JOB_STATE_SUCCEEDED] * 2
            assert ended[0].result_asset_id != ended[1].result_asset_id


async def test_assets_in_use_stay_and_unfinished_jobs_are_not_deleted(tmp_path: Path) -> None:
    node = EchoNode(hold=asyncio.Event())
    async with running_node(node) as address, running_edge(tmp_path, address) as client:
        job = await client.submit()
        for call in (
            client.assets.DeleteAsset(asset_pb2.DeleteAssetRequest(asset_id=job.video_asset_id)),
            client.jobs.DeleteJob(job_pb2.DeleteJobRequest(job_id=job.job_id)),
        ):
            assert isinstance(await error_of(call), ConflictError)
        await client.jobs.CancelJob(job_pb2.CancelJobRequest(job_id=job.job_id))
        await client.assets.DeleteAsset(asset_pb2.DeleteAssetRequest(asset_id=job.video_asset_id))
        assert not list((tmp_path / "faces").iterdir())


async def test_a_session_answers_pings_refuses_unknown_jobs_and_goes_on(tmp_path: Path) -> None:
    async with running_edge(tmp_path, "127.0.0.1:1") as client:
        asks = [
            job_pb2.SessionRequest(subscribe=job_pb2.Subscribe(job_id="job-" + "0" * 20)),
            job_pb2.SessionRequest(cancel=job_pb2.Cancel(job_id="nonsense")),
            job_pb2.SessionRequest(ping=job_pb2.Ping(nonce=7)),
        ]
        answers = [answer async for answer in client.jobs.Session(iter(asks))]
        errors = {answer.error.job_id: answer.error.error.reason for answer in answers if answer.HasField("error")}
        assert errors == {"job-" + "0" * 20: "not_found", "nonsense": "invalid_input"}
        assert [answer.pong.nonce for answer in answers if answer.HasField("pong")] == [7]


async def test_the_edge_says_what_it_can_and_how_far_away_it_is(tmp_path: Path) -> None:
    peers = tmp_path / "edges.toml"
    peers.write_text(
        '[[edges]]\nname = "there"\nregion = "asia"\naddress = "10.9.8.7:50051"\n'
        '[[edges]]\nname = "here"\naddress = "edge.example.org:50051"\nweb = "https://edge.example.org"\n'
    )
    async with (
        running_node(EchoNode()) as address,
        running_edge(tmp_path / "edge", address, name="here", peers=str(peers)) as client,
    ):
        job = await client.submit()
        await client.events(job.job_id)
        told = await client.assets.GetCapabilities(asset_pb2.GetCapabilitiesRequest())
        assert [(engine.name, engine.is_default) for engine in told.engines] == [("echo", True)]
        assert told.limits.chunk_bytes == CHUNK_BYTES
        network = NetworkServiceStub(client.channel)
        probes = [network_pb2.ProbeRequest(nonce=n, payload=b"x" * 10, answer_bytes=100) for n in range(3)]
        answers = [answer async for answer in network.Probe(iter(probes))]
        assert [(answer.nonce, len(answer.payload), answer.received_bytes) for answer in answers] == [
            (0, 100, 10),
            (1, 100, 20),
            (2, 100, 30),
        ]
        here, there = (await network.ListEdges(network_pb2.ListEdgesRequest())).edges
        assert (here.name, here.address, here.web) == ("here", "edge.example.org:50051", "https://edge.example.org")
        assert (there.name, there.region, there.address) == ("there", "asia", "10.9.8.7:50051")


async def test_faces_beyond_the_limit_go_when_their_job_is_over(tmp_path: Path) -> None:
    async with running_node(EchoNode()) as address, running_edge(tmp_path, address, face_cache_bytes=0) as client:
        for _ in range(2):
            job = await client.submit()
            assert states(await client.events(job.job_id))[-1] == job_pb2.JOB_STATE_SUCCEEDED
            async with asyncio.timeout(10):
                while any((tmp_path / "faces").iterdir()):  # noqa: ASYNC110 only the disk tells
                    await asyncio.sleep(0.02)
