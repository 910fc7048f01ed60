"""Jobs that wait for uploads: what they are told, and what is found out again after a restart."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from edge_gateway.assets.stream import Stream
from edge_gateway.jobs.job import Job, JobOptions, JobState
from edge_gateway.jobs.uploads import UploadedInputs
from shared.errors import DeadlineError, InvalidInputError, InvalidMediaError, NotFoundError, VisemeError

ONE, TWO, THREE, FOUR = (str(number) * 32 for number in range(1, 5))
ASSET = "a" * 64


def stream(upload_id: str, *, asset_id: str = "", is_part: bool = False) -> Stream:
    return Stream(
        upload_id=upload_id,
        size_bytes=9,
        offset_bytes=0,
        display_name="",
        metadata="",
        is_part=is_part,
        parts=(),
        asset_id=asset_id,
        error=None,
        touched_us=0,
    )


@dataclass(slots=True)
class World:
    """Uploads, jobs and whoever does them."""

    uploads: dict[str, Stream | VisemeError] = field(default_factory=dict)
    jobs: list[Job] = field(default_factory=list)
    told: list[tuple[str, ...]] = field(default_factory=list)

    def inputs(self) -> UploadedInputs:
        this: Any = self
        inputs = UploadedInputs(this)
        inputs.open(this, this)
        return inputs

    async def find(self, upload_id: str) -> Stream:
        found = self.uploads.get(upload_id, NotFoundError("this edge has no such upload", field="upload_id"))
        if isinstance(found, VisemeError):
            raise found
        return found

    status = find

    async def in_states(self, states: list[JobState]) -> list[Job]:
        assert states == [JobState.QUEUED]
        return self.jobs

    async def replace_upload(self, upload_id: str, asset_id: str) -> None:
        self.told.append(("replace", upload_id, asset_id))

    async def lose(self, asset_id: str, error: VisemeError) -> None:
        self.told.append(("lose", asset_id, error.reason))

    def wake(self) -> None:
        self.told.append(("wake",))

    def waits(self, video: str, speech: str = ASSET) -> None:
        self.jobs.append(
            Job(
                job_id="job-1",
                state=JobState.QUEUED,
                video_asset_id=video,
                speech_asset_id=speech,
                options=JobOptions(),
                created_us=1,
                updated_us=1,
            )
        )


async def test_an_upload_is_known_by_its_name_until_it_is_an_asset() -> None:
    world = World({ONE: stream(ONE), TWO: stream(TWO, asset_id=ASSET)})
    assert await world.inputs().known(f"upload:{ONE}", "video") == f"upload:{ONE}"
    assert await world.inputs().known(f"upload:{TWO}", "video") == ASSET


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        (f"upload:{ONE}", InvalidInputError, "part of another"),
        (f"upload:{TWO}", InvalidMediaError, "no media"),
        (f"upload:{THREE}", NotFoundError, "no such upload"),
        ("upload:../x", InvalidInputError, "named upload:"),
    ],
)
async def test_what_can_become_no_asset_is_refused_by_the_field(
    name: str, error: type[VisemeError], words: str
) -> None:
    world = World({ONE: stream(ONE, is_part=True), TWO: InvalidMediaError("no media", field="asset")})
    with pytest.raises(error, match=words) as refused:
        await world.inputs().known(name, "speech")
    assert refused.value.field == "speech"


async def test_what_became_of_uploads_while_the_edge_was_down_is_found_out() -> None:
    world = World(
        {
            ONE: stream(ONE, asset_id=ASSET),
            TWO: InvalidMediaError("no media", field="asset"),
            FOUR: stream(FOUR),
        }
    )
    for upload in (ONE, TWO, THREE, FOUR):
        world.waits(f"upload:{upload}")
    world.waits(ASSET)
    await world.inputs().settle()
    assert world.told == [
        ("replace", ONE, ASSET),
        ("wake",),
        ("lose", f"upload:{TWO}", "invalid_media"),
        ("lose", f"upload:{THREE}", "not_found"),
    ]


async def test_an_upload_that_cannot_be_looked_at_now_is_looked_at_later() -> None:
    world = World({ONE: DeadlineError("too slow"), TWO: stream(TWO, asset_id=ASSET)})
    world.waits(f"upload:{ONE}", f"upload:{TWO}")
    await world.inputs().settle()
    assert world.told == [("replace", TWO, ASSET), ("wake",)]
