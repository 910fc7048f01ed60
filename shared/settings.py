"""Settings of a service: flags, then environment, then a TOML file, then defaults; all faults are told at once.

A service writes its settings down once, as fields with defaults and descriptions::

    class EdgeSettings(ServiceSettings):
        listen: str = Field("127.0.0.1:50051", description="where clients call")
        nodes: tuple[str, ...] = Field((), description="inference nodes")

    settings = load(EdgeSettings, program="viseme-edge", prefix="VISEME_EDGE_", argv=sys.argv[1:], environ=os.environ)

and each is there as a flag (``--listen``), a variable (``VISEME_EDGE_LISTEN``; lists are separated by commas) and a
key of the file named by ``--config`` (``listen = "..."``). Services only: the SDK and the CLI do without pydantic.
"""

import argparse
import tomllib
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

from shared.errors import InvalidInputError
from shared.telemetry.logging import LogFormat


class ServiceSettings(BaseModel):
    """What every service can be told."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tls_certificate: Path | None = Field(
        default=None, description="certificates in PEM, its own first; seen anew when they change (viseme certs)"
    )
    tls_key: Path | None = Field(default=None, description="the key that belongs to it, in PEM without a password")
    insecure: bool = Field(default=False, description="listen beyond this machine without TLS")
    log_format: LogFormat = Field(default=LogFormat.AUTO, description="how log lines look")
    log_level: typing.Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="the least grave lines to write"
    )
    otlp_endpoint: str = Field(
        default="", description="collector of traces, http://HOST:4317 (OTLP over gRPC); none by default"
    )
    otlp_share: float = Field(default=1.0, ge=0, le=1, description="share of the traces beginning here that are taken")
    grace_seconds: float = Field(default=5.0, ge=0, le=3600, description="time that running calls get at the end")
    ready_fd: int | None = Field(default=None, ge=0, description="descriptor on which to say that it is ready")


S = TypeVar("S", bound=ServiceSettings)


def load(kind: type[S], *, program: str, prefix: str, argv: Sequence[str], environ: Mapping[str, str]) -> S:
    """Gather the settings of a service.

    Args:
        kind: The settings.
        program: The program's name, for ``--help``.
        prefix: What its environment variables begin with.
        argv: Flags, without the program's name.
        environ: The environment.

    Raises:
        InvalidInputError: One message with every fault and where it came from.
    """
    flags = vars(_parser(kind, program=program, prefix=prefix).parse_args(argv))
    config = flags.pop("config", None) or environ.get(f"{prefix}CONFIG")
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    faults: list[str] = []
    layers = (
        _from_file(config, faults),
        _from_environment(kind, prefix, environ, faults),
        {name: (value, "--" + name.replace("_", "-")) for name, value in flags.items()},
    )
    for layer in layers:
        for name, (value, source) in layer.items():
            values[name] = value
            sources[name] = source
    try:
        settings = kind.model_validate(values)
    except ValidationError as error:
        for fault in error.errors(include_url=False):
            name = str(fault["loc"][0]) if fault["loc"] else ""
            # What may hold a password is declared with repr=False and not shown.
            is_shown = name not in kind.model_fields or kind.model_fields[name].repr
            given = f" (given: {fault['input']!r})" if is_shown else ""
            where = ".".join([sources.get(name, name) or "settings", *map(str, fault["loc"][1:])])
            faults.append(f"{where}: {fault['msg']}{given}")
    if faults:
        raise InvalidInputError("settings are not right:\n  " + "\n  ".join(faults), field="settings")
    return settings


def _from_file(config: str | None, faults: list[str]) -> dict[str, tuple[Any, str]]:
    if not config:
        return {}
    try:
        read = tomllib.loads(Path(config).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        faults.append(f"{config}: {error}")
        return {}
    return {name.replace("-", "_"): (value, f"{config}: {name}") for name, value in read.items()}


def _from_environment(
    kind: type[ServiceSettings], prefix: str, environ: Mapping[str, str], faults: list[str]
) -> dict[str, tuple[Any, str]]:
    found: dict[str, tuple[Any, str]] = {}
    for variable, text in environ.items():
        if not variable.startswith(prefix) or variable == f"{prefix}CONFIG":
            continue
        name = variable.removeprefix(prefix).lower()
        if name not in kind.model_fields:
            faults.append(f"{variable}: there is no such setting")
        elif _is_list(kind.model_fields[name]):
            found[name] = ([part.strip() for part in text.split(",") if part.strip()], variable)
        else:
            found[name] = (text, variable)
    return found


def _parser(kind: type[ServiceSettings], *, program: str, prefix: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=program,
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
        epilog=f"Each setting is also a variable ({prefix}LISTEN for --listen) and a key of the TOML file.",
    )
    parser.add_argument("--config", metavar="FILE", help="TOML file with settings")
    for name, field in kind.model_fields.items():
        flag = "--" + name.replace("_", "-")
        words = f"{field.description or ''} (default: {_default_words(field)})".strip().replace("%", "%%")
        if field.annotation is bool:
            parser.add_argument(flag, action=argparse.BooleanOptionalAction, help=words)
        elif _is_list(field):
            parser.add_argument(flag, action="append", metavar="VALUE", help=words + "; may be given several times")
        else:
            parser.add_argument(flag, metavar="VALUE", help=words)
    return parser


def _default_words(field: FieldInfo) -> str:
    default = field.get_default(call_default_factory=False)
    return "none" if default in (None, "", ()) else str(default)


def _is_list(field: FieldInfo) -> bool:
    annotation = field.annotation
    kinds = typing.get_args(annotation) if isinstance(annotation, types.UnionType) else (annotation,)
    return any(typing.get_origin(kind) in {tuple, list, frozenset} for kind in kinds)
