"""What an operator can tell the edge: flags, ``VISEME_EDGE_*`` variables, or a TOML file."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from edge_gateway.library.setting import LibrarySettings
from shared.settings import ServiceSettings


class EdgeSettings(ServiceSettings):
    """Settings of ``viseme-edge``."""

    listen: str = Field(default="127.0.0.1:50051", description="where clients call by gRPC")
    web: str = Field(default="127.0.0.1:7860", description="where browsers call")
    metrics: str = Field(default="127.0.0.1:9464", description="where Prometheus calls")
    node: str = Field(default="127.0.0.1:50061", description="the inference node")
    data: Path = Field(default=Path("viseme-edge-data"), description="the directory that keeps everything")
    name: str = Field(default="edge", min_length=1, max_length=64, description="this edge's name")
    region: str = Field(default="", max_length=64, description="where this edge stands")

    jobs_at_once: int = Field(default=2, ge=1, le=64, description="jobs that run at once")
    queue_limit: int = Field(default=1000, ge=1, description="jobs that may wait")
    segment_seconds: float = Field(default=2.0, ge=0.5, le=10, description="length of a segment")
    link_profile: Literal["auto", "fast-link", "balanced", "thin"] = Field(
        default="auto", description="how good what crosses the link to the node is; auto measures the link"
    )
    link_profile_best: Literal["fast-link", "balanced", "thin"] = Field(
        default="balanced", description="the best that auto takes; fast-link sends three times the bytes of balanced"
    )
    result_crf: float = Field(
        default=18.0, ge=0, le=51, description="quality of the result; lower is better and larger"
    )
    result_preset: str = Field(default="veryfast", pattern="^[a-z]+$", description="x264 preset of the result")

    node_window: int = Field(default=6, ge=1, le=256, description="segments in flight to the node")
    node_window_bytes: int = Field(
        default=8 << 20, ge=1, description="bytes of crops and rendered segments in flight to and from the node"
    )
    node_piece_bytes: int = Field(default=64 << 10, ge=1 << 10, le=1 << 20, description="bytes in one message to it")
    node_segment_bytes: int = Field(default=16 << 20, ge=1 << 16, description="largest segment that it may return")
    node_patience_s: float = Field(default=120.0, ge=0, description="time without progress after which a job fails")
    node_silence_s: float = Field(default=60.0, gt=0, description="time of silence after which a stream is given up")
    node_poll_s: float = Field(default=5.0, gt=0, description="time between two questions for its state")

    asset_bytes: int = Field(default=8 << 30, ge=1, description="largest file")
    manifest_chunks: int = Field(default=16384, ge=1, description="chunks in a manifest")
    piece_bytes: int = Field(default=1 << 20, ge=1, le=1 << 20, description="bytes in one message of an upload")
    upload_buffer_bytes: int = Field(default=16 << 20, ge=8 << 20, description="bytes of one upload held in memory")
    uploads_buffer_bytes: int = Field(default=256 << 20, ge=8 << 20, description="bytes of all of them in memory")
    upload_idle_s: float = Field(default=120.0, gt=0, description="time that an upload may be silent")
    upload_progress_s: float = Field(default=300.0, gt=0, description="time within which one comes further at least")
    upload_progress_bytes: int = Field(default=64 << 10, ge=1, description="by how much it does")
    upload_stall_s: float = Field(
        default=15.0, gt=0, description="time without a byte after which a job that waits for one lets others go first"
    )
    upload_expire_s: float = Field(default=604_800.0, gt=0, description="time after which an unfinished one goes")
    asset_lease_s: float = Field(
        default=604_800.0, ge=0, description="time after its last use for which a file stays, even if room is needed"
    )
    web_head_bytes: int = Field(default=64 << 10, ge=4 << 10, description="bytes in the head of a request")
    web_head_s: float = Field(default=30.0, gt=0, description="time within which the head of a request comes")
    tus_uploads: int = Field(default=256, ge=1, description="uploads by tus that may be unfinished at once")
    tus_expire_s: float = Field(default=86_400.0, gt=0, description="time after which one that nothing came for goes")
    tus_metadata_bytes: int = Field(default=4096, ge=0, le=32 << 10, description="metadata of an upload by tus")
    tus_parts: int = Field(default=200, ge=1, description="uploads that tus may put together to one")
    download_piece_bytes: int = Field(
        default=256 << 10, ge=1 << 10, le=1 << 20, description="bytes in one message down"
    )
    preview_watchers: int = Field(default=256, ge=1, description="previews that may be watched at once")
    disk_reserve_bytes: int = Field(default=64 << 20, ge=0, description="room on the disk that uploads leave free")

    library: LibrarySettings = Field(
        default=(),
        description="files that lie here already, as NAME=FOLDER or NAME=s3://BUCKET/PREFIX",
        repr=False,
    )
    library_folder_entries: int = Field(
        default=100_000, ge=1, description="entries of one folder of a library that are looked through"
    )
    library_at_once: int = Field(default=2, ge=1, le=64, description="files of libraries that are brought at once")
    library_queue: int = Field(default=256, ge=1, description="files of libraries that are brought or wait for it")
    library_settle_s: float = Field(
        default=2.0, ge=0, le=60, description="time for which a file in a folder must have been left alone"
    )
    library_answer_s: float = Field(
        default=30.0, gt=0, le=600, description="time within which a folder or a store must answer"
    )
    library_patience_s: float = Field(default=20.0, ge=0, description="time for which that is waited for")
    disk_patience_s: float = Field(default=600.0, ge=0, description="time that a job waits for room on the disk")

    face_cache_bytes: int = Field(default=20 << 30, ge=0, description="bytes of faces kept for later jobs")

    frame_pixels: int = Field(default=9_437_184, ge=1, description="largest frame")
    photo_pixels: int = Field(default=64_000_000, ge=1, description="largest photo; beyond a frame it is reduced")
    duration_seconds: float = Field(default=1200.0, gt=0, description="longest video or speech")
    min_speech_seconds: float = Field(default=0.25, ge=0, description="shortest speech")
    decoded_pixels: int = Field(default=80_000_000_000, ge=1, description="pixels of one video over all frames")

    child_memory_bytes: int = Field(default=4 << 30, ge=1 << 30, description="address space of a media process")
    child_cpu_seconds: int = Field(default=14_400, ge=1, description="processor time of a media process")
    child_file_bytes: int = Field(default=16 << 30, ge=1 << 20, description="largest file that a media process writes")
    probe_seconds: float = Field(default=60.0, gt=0, description="time that looking at a file may take")
    speech_seconds: float = Field(default=300.0, gt=0, description="time that encoding the speech may take")
    finish_seconds: float = Field(default=900.0, gt=0, description="time that joining the result may take")
