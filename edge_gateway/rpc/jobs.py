"""``viseme.gateway.v1.JobService``."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Final

from edge_gateway.access.caller import CALLER
from edge_gateway.access.links import Links
from edge_gateway.jobs.preview import Previews
from edge_gateway.jobs.service import JobService
from edge_gateway.jobs.session import Sessions
from edge_gateway.rpc import convert, webhooks
from edge_gateway.rpc.context import Context
from edge_gateway.rpc.sessions import SessionAnswers, session_asks
from edge_gateway.webhooks.service import WebhookService
from shared.access.scope import Scope
from shared.pb.viseme.gateway.v1 import job_pb2 as pb
from shared.pb.viseme.gateway.v1.job_pb2_grpc import JobServiceServicer

DAY_S: Final = 86_400.0


class JobServicer(JobServiceServicer):
    """Translates calls about jobs."""

    def __init__(
        self, jobs: JobService, sessions: Sessions, previews: Previews, webhooks: WebhookService, links: Links
    ) -> None:
        self._jobs = jobs
        self._sessions = sessions
        self._answers = SessionAnswers()
        self._previews = previews
        self._webhooks = webhooks
        self._links = links

    async def SubmitJob(self, request: pb.SubmitJobRequest, context: Context) -> pb.SubmitJobResponse:
        """Accepts a job; answers at once."""
        del context
        job, _ = await self._jobs.submit(
            video=request.video_asset_id,
            speech=request.speech_asset_id,
            options=convert.options(request),
            key=request.idempotency_key,
            background=request.background_asset_id,
        )
        return pb.SubmitJobResponse(job=convert.job(job))

    async def GetJob(self, request: pb.GetJobRequest, context: Context) -> pb.GetJobResponse:
        """Describes one job."""
        del context
        return pb.GetJobResponse(job=convert.job(await self._jobs.get(request.job_id)))

    async def ListJobs(self, request: pb.ListJobsRequest, context: Context) -> pb.ListJobsResponse:
        """Lists jobs, newest first."""
        del context
        jobs, token = await self._jobs.page(request.page_size, request.page_token)
        return pb.ListJobsResponse(jobs=map(convert.job, jobs), next_page_token=token)

    async def CancelJob(self, request: pb.CancelJobRequest, context: Context) -> pb.CancelJobResponse:
        """Stops a job."""
        del context
        return pb.CancelJobResponse(job=convert.job(await self._jobs.cancel(request.job_id)))

    async def DeleteJob(self, request: pb.DeleteJobRequest, context: Context) -> pb.DeleteJobResponse:
        """Deletes a finished job."""
        del context
        await self._jobs.delete(request.job_id)
        return pb.DeleteJobResponse()

    async def Session(  # type: ignore[override]  # the bytes are messages that are serialised already
        self, request_iterator: AsyncIterator[pb.SessionRequest], context: Context
    ) -> AsyncIterator[pb.SessionResponse | bytes]:
        """Follows any number of jobs: replay, then live."""
        del context
        caller = CALLER.get()
        asks = session_asks(request_iterator)
        async with aclosing(self._sessions.serve(asks, lambda: caller.check(Scope.DUB))) as answers:
            async for answer in answers:
                yield self._answers.message(answer)

    async def Preview(self, request: pb.PreviewRequest, context: Context) -> AsyncIterator[pb.PreviewResponse]:
        """Sends a result while it is made."""
        del context
        async with aclosing(self._previews.watch(request.job_id, request.from_fragment)) as answers:
            async for answer in answers:
                yield convert.preview_answer(answer)

    async def ListWebhooks(self, request: pb.ListWebhooksRequest, context: Context) -> pb.ListWebhooksResponse:
        """Lists what was told of jobs' ends, newest first."""
        del context
        state = webhooks.state(request.state)
        found, token = await self._webhooks.page(request.page_size, request.page_token, state)
        return pb.ListWebhooksResponse(webhooks=map(webhooks.webhook, found), next_page_token=token)

    async def ReplayWebhook(self, request: pb.ReplayWebhookRequest, context: Context) -> pb.ReplayWebhookResponse:
        """Delivers one of them once more."""
        del context
        found = await self._webhooks.replay(request.webhook_id, request.idempotency_key)
        return pb.ReplayWebhookResponse(webhook=webhooks.webhook(found))

    async def CreateLink(self, request: pb.CreateLinkRequest, context: Context) -> pb.CreateLinkResponse:
        """Makes a link to a result."""
        del context
        link = await self._links.create(CALLER.get(), request.job_id, request.valid_seconds or DAY_S)
        return pb.CreateLinkResponse(url=link.url, expire_time=convert.timestamp(link.expires_us))
