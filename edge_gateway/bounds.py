"""What the settings mean for the parts."""

from edge_gateway.assets.asset import AssetLimits
from edge_gateway.assets.stream import StreamLimits
from edge_gateway.jobs.children import ChildSettings
from edge_gateway.jobs.render import RenderSettings
from edge_gateway.jobs.work import PipelineSettings
from edge_gateway.library.service import LibraryLimits
from edge_gateway.settings import EdgeSettings
from edge_gateway.web.limits import WebLimits
from shared.media.limits import MediaLimits
from shared.media.profile import PROFILES, LinkProfile


def media_limits(settings: EdgeSettings) -> MediaLimits:
    """What is refused of media."""
    return MediaLimits(
        frame_pixels=settings.frame_pixels,
        photo_pixels=settings.photo_pixels,
        duration_seconds=settings.duration_seconds,
        min_speech_seconds=settings.min_speech_seconds,
        decoded_pixels=settings.decoded_pixels,
    )


def asset_limits(settings: EdgeSettings) -> AssetLimits:
    """What is refused of uploads."""
    return AssetLimits(
        asset_bytes=settings.asset_bytes,
        manifest_chunks=settings.manifest_chunks,
        piece_bytes=settings.piece_bytes,
        buffer_bytes=settings.upload_buffer_bytes,
        total_bytes=settings.uploads_buffer_bytes,
        idle_s=settings.upload_idle_s,
        progress_bytes=settings.upload_progress_bytes,
        progress_s=settings.upload_progress_s,
    )


def library_limits(settings: EdgeSettings) -> LibraryLimits:
    """How much is brought of libraries."""
    return LibraryLimits(
        at_once=settings.library_at_once,
        queue=settings.library_queue,
        settle_s=settings.library_settle_s,
        patience_s=settings.library_patience_s,
    )


def stream_limits(settings: EdgeSettings) -> StreamLimits:
    """What is refused of uploads by tus."""
    return StreamLimits(
        asset_bytes=settings.asset_bytes,
        manifest_chunks=settings.manifest_chunks,
        open_uploads=settings.tus_uploads,
        metadata_bytes=settings.tus_metadata_bytes,
        parts=settings.tus_parts,
        idle_s=settings.upload_idle_s,
        expire_s=settings.tus_expire_s,
        progress_bytes=settings.upload_progress_bytes,
        progress_s=settings.upload_progress_s,
    )


def child_settings(settings: EdgeSettings, media: MediaLimits) -> ChildSettings:
    """How media processes work."""
    return ChildSettings(
        media=media,
        memory_bytes=settings.child_memory_bytes,
        cpu_s=settings.child_cpu_seconds,
        file_bytes=settings.child_file_bytes,
        probe_s=settings.probe_seconds,
        speech_s=settings.speech_seconds,
        finish_s=settings.finish_seconds,
        result_crf=settings.result_crf,
        result_preset=settings.result_preset,
    )


def _profiles(settings: EdgeSettings) -> tuple[LinkProfile, ...]:
    """The link profiles that a job may have, the best first."""
    if settings.link_profile != "auto":
        return (PROFILES[settings.link_profile],)
    known = list(PROFILES.values())
    return tuple(known[known.index(PROFILES[settings.link_profile_best]) :])


def pipeline_settings(settings: EdgeSettings) -> PipelineSettings:
    """How jobs are done."""
    return PipelineSettings(
        segment_s=settings.segment_seconds,
        profiles=_profiles(settings),
        frame_pixels=settings.frame_pixels,
        stall_s=settings.upload_stall_s,
        render=RenderSettings(
            window=settings.node_window,
            window_bytes=settings.node_window_bytes,
            piece_bytes=settings.node_piece_bytes,
            segment_bytes=settings.node_segment_bytes,
            patience_s=settings.node_patience_s,
            outage_s=settings.node_outage_s,
            silence_s=settings.node_silence_s,
        ),
    )


def web_limits(settings: EdgeSettings) -> WebLimits:
    """What is refused of requests."""
    return WebLimits(
        body_bytes=settings.request_body_bytes,
        body_s=settings.request_body_s,
        stall_s=settings.event_stall_s,
        probe_bytes=settings.probe_bytes,
        job_list=settings.job_list,
    )
