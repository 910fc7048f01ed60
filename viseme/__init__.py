"""viseme: make the face in a video or photo speak a recording.

::

    async with viseme.connect("127.0.0.1:50051") as edge:
        job = await edge.dub("clip.mp4", "speech.wav", fit="loop")
        async for event in job.events():
            print(event)
        await job.save("out.mp4")
"""

from shared.errors import (
    CancelledByUserError,
    ConflictError,
    DeadlineError,
    DiskFullError,
    EdgeUnavailableError,
    EngineUnavailableError,
    InternalError,
    InvalidInputError,
    InvalidMediaError,
    JobFailedError,
    LimitExceededError,
    MissingChunksError,
    NodeUnavailableError,
    NoFaceError,
    NotFoundError,
    QueueFullError,
    ResourceExhaustedError,
    UnavailableError,
    VisemeError,
)
from shared.sdk.client import Edge, connect
from shared.sdk.jobs import Job
from shared.sdk.link import Patience
from shared.sdk.model import (
    Asset,
    AssetKind,
    AssetState,
    Capabilities,
    Engine,
    Event,
    FitMode,
    JobFailure,
    JobReport,
    JobState,
    JobStatus,
    Limits,
    Media,
    Notice,
    Progress,
    Severity,
    Stage,
    StateChanged,
    Transfer,
)
from shared.version import version

__version__ = version()

__all__ = [
    "Asset",
    "AssetKind",
    "AssetState",
    "CancelledByUserError",
    "Capabilities",
    "ConflictError",
    "DeadlineError",
    "DiskFullError",
    "Edge",
    "EdgeUnavailableError",
    "Engine",
    "EngineUnavailableError",
    "Event",
    "FitMode",
    "InternalError",
    "InvalidInputError",
    "InvalidMediaError",
    "Job",
    "JobFailedError",
    "JobFailure",
    "JobReport",
    "JobState",
    "JobStatus",
    "LimitExceededError",
    "Limits",
    "Media",
    "MissingChunksError",
    "NoFaceError",
    "NodeUnavailableError",
    "NotFoundError",
    "Notice",
    "Patience",
    "Progress",
    "QueueFullError",
    "ResourceExhaustedError",
    "Severity",
    "Stage",
    "StateChanged",
    "Transfer",
    "UnavailableError",
    "VisemeError",
    "__version__",
    "connect",
]
