"""Jobs over HTTP: submit, look, list, cancel, try again, delete."""

from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from edge_gateway.jobs.cards import Cards
from edge_gateway.jobs.job import Job, JobState, Which
from edge_gateway.jobs.service import JobService
from edge_gateway.web import told
from edge_gateway.web.answer import NO_STORE, answered, reading, writing
from edge_gateway.web.asks import JobAsk, JobIdsAsk, read_json, read_key, read_page
from edge_gateway.web.limits import WebLimits
from shared.errors import InvalidInputError


class JobPages:
    """Answers for jobs.

    Args:
        jobs: The jobs.
        cards: What lists show beside them.
        limits: What is refused of requests.
    """

    def __init__(self, jobs: JobService, cards: Cards, limits: WebLimits) -> None:
        self._jobs = jobs
        self._cards = cards
        self._limits = limits

    def routes(self) -> list[Route]:
        """What the application answers here."""
        return [
            Route("/jobs", reading(self.page), methods=["GET"]),
            Route("/jobs", writing(self.submit), methods=["POST"]),
            Route("/jobs/delete", writing(self.delete_many), methods=["POST"]),
            Route("/jobs/{job_id}", reading(self.get), methods=["GET"]),
            Route("/jobs/{job_id}", writing(self.delete), methods=["DELETE"]),
            Route("/jobs/{job_id}/cancel", writing(self.cancel), methods=["POST"]),
            Route("/jobs/{job_id}/retry", writing(self.retry), methods=["POST"]),
        ]

    async def submit(self, request: Request) -> Response:
        """Accept a job; answers at once."""
        ask = await read_json(request, JobAsk, self._limits)
        job, is_new = await self._jobs.submit(
            video=ask.video,
            speech=ask.speech,
            background=ask.background,
            options=ask.read(),
            key=read_key(request),
        )
        return await self._accepted(job, is_new=is_new)

    async def page(self, request: Request) -> Response:
        """Jobs, newest first."""
        size, token = read_page(request)
        which = Which(query=request.query_params.get("query", ""), states=_states(request))
        jobs, token = await self._jobs.page(size, token, which)
        return answered(told.Jobs.of(await self._cards.of(jobs), token))

    async def get(self, request: Request) -> Response:
        """One job."""
        return await self._job(await self._jobs.get(request.path_params["job_id"]))

    async def cancel(self, request: Request) -> Response:
        """Stop a job; one that has ended stays as it is."""
        return await self._job(await self._jobs.cancel(request.path_params["job_id"]))

    async def retry(self, request: Request) -> Response:
        """Accept a new job on the files and with the options of one that has ended."""
        job, is_new = await self._jobs.retry(request.path_params["job_id"], read_key(request))
        return await self._accepted(job, is_new=is_new)

    async def delete(self, request: Request) -> Response:
        """Delete a job that has ended, with its result."""
        await self._jobs.delete(request.path_params["job_id"])
        return Response(status_code=HTTPStatus.NO_CONTENT, headers=NO_STORE)

    async def delete_many(self, request: Request) -> Response:
        """Delete jobs that have ended; tells of each that could not be."""
        ask = await read_json(request, JobIdsAsk, self._limits)
        done = await self._jobs.delete_many(ask.job_ids)
        refused = [
            told.NotDeleted(job_id=job_id, error=told.Problem.of(error)) for job_id, error in done if error is not None
        ]
        return answered(told.Deleted(deleted=[job_id for job_id, error in done if error is None], refused=refused))

    async def _accepted(self, job: Job, *, is_new: bool) -> Response:
        status = HTTPStatus.CREATED if is_new else HTTPStatus.OK
        return await self._job(job, status, {"Location": f"/jobs/{job.job_id}"})

    async def _job(self, job: Job, status: int = HTTPStatus.OK, headers: dict[str, str] | None = None) -> Response:
        (card,) = await self._cards.of([job])
        return answered(told.Job.of(card), status, headers)


def _states(request: Request) -> frozenset[JobState]:
    names = [name for text in request.query_params.getlist("state") for name in text.split(",")]
    try:
        return frozenset(map(JobState, names))
    except ValueError:
        known = ", ".join(state.value for state in JobState)
        raise InvalidInputError(f"a state is one of {known}", field="state") from None
