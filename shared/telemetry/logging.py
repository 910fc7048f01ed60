"""Logs of the services: one JSON object a line for machines, coloured lines for a terminal; always on stderr."""

import logging
import sys
from contextlib import AbstractContextManager
from enum import StrEnum

import structlog
from structlog.types import Processor

from shared.telemetry import tracing


class LogFormat(StrEnum):
    """How log lines look."""

    AUTO = "auto"
    """For people on a terminal, for machines elsewhere."""
    JSON = "json"
    CONSOLE = "console"


def configure_logging(*, part: str, log_format: LogFormat = LogFormat.AUTO, level: str = "info") -> None:
    """Set up structlog and the standard library's logging; call once, in ``__main__``.

    Args:
        part: Stands in every line: ``edge`` or ``node``.
        log_format: How lines look.
        level: The least grave level that is written.
    """
    console = log_format is LogFormat.CONSOLE or (log_format is LogFormat.AUTO and sys.stderr.isatty())

    def add_part(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        event["part"] = part
        if trace_id := tracing.trace_id():
            event["trace_id"] = trace_id
        return event

    before: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        add_part,
    ]
    last: list[Processor] = (
        [structlog.dev.ConsoleRenderer()]
        if console
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    )
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *before,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=before,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())


def of_job(job_id: str) -> AbstractContextManager[None]:
    """Inside the block every line, whoever writes it, says which job it is about."""
    return structlog.contextvars.bound_contextvars(job_id=job_id)


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """A logger whose lines carry keyword arguments: ``log.info("job accepted", job_id=...)``."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger
