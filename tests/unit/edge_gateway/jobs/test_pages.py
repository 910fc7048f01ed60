from typing import Any

from edge_gateway.face.speaker import MOST_PLACES, Place, Speaker
from edge_gateway.jobs.job import Job, JobOptions, JobState, Which
from edge_gateway.jobs.service import JobService
from shared.media.limits import MediaLimits

SPEAKER = Speaker(places=tuple(Place(time_us=index, x=1, y=1) for index in range(MOST_PLACES)))


class Kept:
    """A repository of so many jobs, each with as many places as there may be."""

    def __init__(self, count: int, speaker: Speaker) -> None:
        self._jobs = [
            Job(
                number=number,
                job_id=f"job-{number:020d}",
                state=JobState.SUCCEEDED,
                video_asset_id="v",
                speech_asset_id="s",
                options=JobOptions(speaker=speaker),
                created_us=1,
                updated_us=1,
            )
            for number in range(count, 0, -1)
        ]

    async def page(self, *, count: int, before: int | None, which: Which) -> list[Job]:
        assert which.is_all
        return [job for job in self._jobs if before is None or job.number < before][:count]


def service(repository: Any) -> JobService:
    nobody: Any = None
    limits = MediaLimits()
    return JobService(repository, nobody, nobody, nobody, limits=limits, queue_limit=9, engines=frozenset)


async def pages(jobs: JobService) -> list[list[int]]:
    told, token = [], ""
    while True:
        found, token = await jobs.page(500, token)
        told.append([job.number for job in found])
        if not token:
            return told


async def test_jobs_with_many_places_come_in_smaller_pages_and_none_is_left_out() -> None:
    assert await pages(service(Kept(45, SPEAKER))) == [[*range(45, 25, -1)], [*range(25, 5, -1)], [*range(5, 0, -1)]]


async def test_jobs_without_places_fill_a_page() -> None:
    assert [len(page) for page in await pages(service(Kept(600, Speaker())))] == [500, 100]
