"""What an operator can tell the edge: flags, ``VISEME_EDGE_*`` variables, or a TOML file."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from edge_gateway.label.policy import MOST_CHARACTERS, Language, Place
from edge_gateway.library.setting import LibrarySettings
from edge_gateway.node_setting import NodesSetting
from edge_gateway.webhooks.hosts import HostsSetting
from edge_gateway.webhooks.secret import SecretSetting
from shared.settings import ServiceSettings


class EdgeSettings(ServiceSettings):
    """Settings of ``viseme-edge``."""

    listen: str = Field(default="127.0.0.1:50051", description="where clients call by gRPC")
    web: str = Field(default="127.0.0.1:7860", description="where browsers call")
    metrics: str = Field(default="127.0.0.1:9464", description="where Prometheus calls")
    node: NodesSetting = Field(
        default=("127.0.0.1:50061",),
        description="the inference nodes; a job goes to the one where it waits least, and on from one that fails",
    )
    node_ca: Path | None = Field(default=None, description="who vouches for nodes, in PEM; they are called by TLS")
    node_certificate: Path | None = Field(default=None, description="what this edge shows to nodes, in PEM")
    node_key: Path | None = Field(default=None, description="the key that belongs to it")
    data: Path = Field(default=Path("viseme-edge-data"), description="the directory that keeps everything")
    name: str = Field(default="edge", min_length=1, max_length=64, description="this edge's name")
    region: str = Field(default="", max_length=64, description="where this edge stands")

    keys: Path | None = Field(default=None, description="the file of keys (viseme keys); seen anew when it changes")
    oidc_issuer: str = Field(default="", description="the OpenID provider whose bearer tokens are taken, https://...")
    oidc_audience: str = Field(default="", description="whom its tokens are for: this service's name there")
    oidc_tenant_claim: str = Field(default="tenant", min_length=1, description="what in a token names the tenant")
    oidc_scope_claim: str = Field(default="scope", min_length=1, description="what in it names read, dub and delete")
    session_s: float = Field(default=43_200.0, gt=0, description="time after which the page asks to sign in again")
    public_url: str = Field(
        default="", pattern="^(https?://[^/]+)?$", description="how browsers reach this edge, for links; https://HOST"
    )
    link_most_s: float = Field(default=2_592_000.0, gt=0, description="time for which a link to a result may be good")
    audit_bytes: int = Field(default=64 << 20, ge=1 << 10, description="bytes of one file of the audit log; ten stay")
    tenants: int = Field(default=64, ge=1, le=4096, description="tenants that may be open at once")
    tenant_requests_s: float = Field(default=200.0, ge=0, description="requests of a tenant a second; 0: any number")
    tenant_requests_burst: float = Field(default=2000.0, ge=1, description="how many of them may come at once")
    tenant_uploads: int = Field(default=64, ge=0, description="uploads of a tenant that send at once; 0: any number")
    tenant_stored_bytes: int = Field(default=0, ge=0, description="bytes of a tenant's uploads; 0: any number")
    tenant_decoded_pixels: int = Field(
        default=0, ge=0, description="pixels of the videos of a tenant's jobs within 24 hours, over all frames; 0: any"
    )
    tenant_jobs: int = Field(default=0, ge=0, description="jobs of a tenant that run at once; 0: as jobs_at_once says")

    peers: str = Field(
        default="", description="the other edges: a TOML or JSON file, or dns:NAME:PORT; clients are told of them"
    )

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
    node_patience_s: float = Field(
        default=120.0, ge=0, description="time without progress after which a job fails, though a node answers"
    )
    node_outage_s: float = Field(
        default=86_400.0, ge=0, description="time for which jobs wait while no node answers at all"
    )
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
    asset_keep_s: float = Field(
        default=0.0, ge=0, description="time after its last use after which a file goes; 0: it stays"
    )
    result_keep_s: float = Field(
        default=0.0, ge=0, description="time after its last use after which a finished video goes; 0: it stays"
    )
    job_keep_s: float = Field(
        default=0.0, ge=0, description="time after its end after which a job goes, with events and result; 0: it stays"
    )
    face_keep_s: float = Field(
        default=0.0, ge=0, description="time after its last use after which a face goes that was cut; 0: it stays"
    )
    web_head_bytes: int = Field(default=64 << 10, ge=4 << 10, description="bytes in the head of a request")
    web_head_s: float = Field(default=30.0, gt=0, description="time within which the head of a request comes")
    request_body_bytes: int = Field(default=1 << 20, ge=1 << 10, description="bytes in the JSON or form of a request")
    request_body_s: float = Field(default=60.0, gt=0, description="time within which that comes")
    zip_jobs: int = Field(default=1000, ge=1, le=65_535, description="results in one ZIP")
    job_list: int = Field(default=500, ge=1, description="jobs that one request may name to be deleted")
    event_streams: int = Field(default=2000, ge=1, description="streams of events that browsers may have open at once")
    event_stall_s: float = Field(default=60.0, gt=0, description="time for which one of them may take nothing")
    probe_bytes: int = Field(default=1 << 20, ge=1, le=64 << 20, description="bytes of one measurement of a connection")
    tus_uploads: int = Field(default=256, ge=1, description="uploads by tus that may be unfinished at once")
    tus_expire_s: float = Field(default=86_400.0, gt=0, description="time after which one that nothing came for goes")
    tus_metadata_bytes: int = Field(default=4096, ge=0, le=32 << 10, description="metadata of an upload by tus")
    tus_parts: int = Field(default=200, ge=1, description="uploads that tus may put together to one")
    download_piece_bytes: int = Field(
        default=256 << 10, ge=1 << 10, le=1 << 20, description="bytes in one message down"
    )
    sessions: int = Field(default=16_384, ge=1, description="sessions of watchers that may be open at once")
    preview_watchers: int = Field(default=256, ge=1, description="previews that may be watched at once")
    picture_cache_bytes: int = Field(default=256 << 20, ge=0, description="bytes of small pictures kept of files")
    pictures_at_once: int = Field(default=2, ge=1, le=64, description="small pictures that are made at once")
    disk_reserve_bytes: int = Field(default=64 << 20, ge=0, description="room on the disk that uploads leave free")
    disk_watermark: float = Field(
        default=0.05, ge=0, lt=1, description="share of the disk that must be free for new uploads and jobs"
    )
    disk_watermark_bytes: int = Field(
        default=2 << 30, ge=0, description="more than this need not be free for them, however large the disk"
    )

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
    webhook_hosts: HostsSetting = Field(
        default=(), description="hosts to which jobs' ends may be told, as HOST, HOST:PORT or *.DOMAIN"
    )
    webhook_secret: SecretSetting = Field(
        default=(),
        description="what webhooks are signed with (whsec_...), in place of the secret that the edge makes for itself",
        repr=False,
    )
    webhook_answer_s: float = Field(default=15.0, gt=0, le=600, description="time within which a webhook is answered")
    webhook_patience_s: float = Field(
        default=259_200.0, ge=0, description="time after which a webhook that nobody takes is given up"
    )
    webhook_at_once: int = Field(default=8, ge=1, le=256, description="webhooks that are delivered at once")
    webhook_keep_s: float = Field(
        default=2_592_000.0, ge=0, description="time for which webhooks stay that were delivered or given up"
    )
    disk_patience_s: float = Field(default=600.0, ge=0, description="time that a job waits for room on the disk")

    face_cache_bytes: int = Field(default=20 << 30, ge=0, description="bytes of faces kept for later jobs")

    frame_pixels: int = Field(default=9_437_184, ge=1, description="largest frame")
    photo_pixels: int = Field(default=64_000_000, ge=1, description="largest photo; beyond a frame it is reduced")
    duration_seconds: float = Field(default=1200.0, gt=0, description="longest video or speech")
    min_speech_seconds: float = Field(default=0.25, ge=0, description="shortest speech")
    decoded_pixels: int = Field(default=80_000_000_000, ge=1, description="pixels of one video over all frames")

    sandbox: Literal["walls", "limits"] = Field(
        default="walls",
        description="media is opened behind walls (Landlock, seccomp); limits: only memory, time and files are bounded",
    )
    child_memory_bytes: int = Field(default=4 << 30, ge=1 << 30, description="address space of a media process")
    child_cpu_seconds: int = Field(default=14_400, ge=1, description="processor time of a media process")
    child_file_bytes: int = Field(default=16 << 30, ge=1 << 20, description="largest file that a media process writes")
    sign: Literal["on", "off"] = Field(
        default="on", description="whether results bear a signed C2PA manifest which says that they were generated"
    )
    sign_certificate: Path | None = Field(
        default=None, description="certificates in PEM, the signer's first; else the edge makes one for itself"
    )
    sign_key: Path | None = Field(default=None, description="the key that belongs to it, in PEM without a password")
    aigc: Literal["on", "off"] = Field(
        default="on", description="whether results bear the metadata AIGC of GB 45438-2025"
    )
    aigc_producer: str = Field(
        default="", max_length=256, description="who generates, for AIGC: a name or the code; else this edge's name"
    )
    label: Literal["on", "off"] = Field(default="off", description="whether viewers see a label at the beginning")
    label_language: Language = Field(default=Language.EN, description="in which language, en or zh")
    label_text: str = Field(default="", max_length=MOST_CHARACTERS, description="in which words, if not the usual ones")
    label_place: Place = Field(
        default=Place.TOP_LEFT, description="where: top-left, top, top-right, bottom-left, bottom or bottom-right"
    )
    label_seconds: float = Field(
        default=2.0, ge=2, le=86_400, description="for how long; no less than 2 by law in China"
    )
    label_font: Path | None = Field(default=None, description="TrueType font that has the letters, if not viseme's own")

    probe_seconds: float = Field(default=60.0, gt=0, description="time that looking at a file may take")
    speech_seconds: float = Field(default=300.0, gt=0, description="time that encoding the speech may take")
    finish_seconds: float = Field(default=900.0, gt=0, description="time that joining the result may take")
