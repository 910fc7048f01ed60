"""The edge's settings of what results say of themselves."""

from pathlib import Path

from edge_gateway.label.policy import OWN_FONT, TEXTS, Label
from edge_gateway.provenance.certificate import Certificate, now
from edge_gateway.provenance.marks import Marks
from edge_gateway.settings import EdgeSettings
from shared.errors import InvalidInputError
from shared.telemetry.logging import get_logger

_LOG = get_logger(__name__)


def marks_of(settings: EdgeSettings, folder: Path) -> Marks:
    """What results say of themselves.

    Args:
        settings: The edge's.
        folder: Where the edge keeps a certificate of its own.

    Raises:
        InvalidInputError: a setting of it is not right.
        DiskFullError: there is no room for a certificate.
    """
    chain, key = settings.sign_certificate, settings.sign_key
    if (chain is None) != (key is None):
        raise InvalidInputError("a certificate goes with its key: name both or neither", field="sign_key")
    certificate = None
    if settings.sign == "on" and chain is not None and key is not None:
        certificate = Certificate.read(chain, key, now=now())
    elif settings.sign == "on":
        certificate = Certificate.own_in(folder, settings.name, now=now())
    if certificate is not None:
        ends = f"{certificate.ends:%F}"
        _LOG.info("results are signed", signer=certificate.name, self_made=certificate.own, until=ends)
    return Marks(
        certificate=certificate,
        producer=(settings.aigc_producer or settings.name) if settings.aigc == "on" else "",
        label=_label(settings) if settings.label == "on" else None,
    )


def _label(settings: EdgeSettings) -> Label:
    label = Label(
        text=settings.label_text or TEXTS[settings.label_language],
        place=settings.label_place,
        length_us=round(settings.label_seconds * 1e6),
        font=OWN_FONT if settings.label_font is None else settings.label_font.resolve(),
    )
    return label.checked(settings.label_language)
