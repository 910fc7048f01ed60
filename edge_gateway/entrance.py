"""How an edge is entered, as its settings say."""

from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import datetime

from edge_gateway.access.audit import Audit
from edge_gateway.access.doorman import Doorman
from edge_gateway.access.oidc import Oidc, OidcSettings
from edge_gateway.access.seal import Seal, own_seal
from edge_gateway.metrics import EdgeMetrics
from edge_gateway.settings import EdgeSettings
from shared.access.keyring import KeyFile
from shared.access.quota import Quota
from shared.errors import InvalidInputError
from shared.rpc.address import Address
from shared.rpc.tls import Trust
from shared.telemetry.logging import get_logger
from shared.tls.files import TlsFiles

_LOG = get_logger(__name__)


def open_doorman(stack: AsyncExitStack, settings: EdgeSettings, metrics: EdgeMetrics) -> Doorman:
    """Who lets callers in; what must be closed at the end goes onto the stack.

    Raises:
        InvalidInputError: the keys cannot be read, or the provider's address is none.
    """
    keys = KeyFile(settings.keys, _bad_keys) if settings.keys else None
    oidc = None
    if settings.oidc_issuer:
        oidc = Oidc(
            OidcSettings(
                issuer=settings.oidc_issuer,
                audience=settings.oidc_audience,
                tenant_claim=settings.oidc_tenant_claim,
                scope_claim=settings.oidc_scope_claim,
            )
        )
    audit = None
    if keys is not None or oidc is not None:
        audit = Audit(settings.data.resolve() / "audit.log", limit_bytes=settings.audit_bytes)
        stack.callback(audit.close)
    return Doorman(
        keys=keys,
        oidc=oidc,
        seal=Seal(own_seal(settings.data.resolve())),
        audit=audit,
        quota=Quota(
            requests_s=settings.tenant_requests_s,
            requests_burst=settings.tenant_requests_burst,
            uploads_at_once=settings.tenant_uploads,
            stored_bytes=settings.tenant_stored_bytes,
            decoded_pixels=settings.tenant_decoded_pixels,
            jobs_at_once=settings.tenant_jobs,
        ),
        session_s=settings.session_s,
        on_refused=metrics.refused,
    )


def tls_of(settings: EdgeSettings) -> tuple[TlsFiles | None, Trust | None]:
    """The certificate that clients see, and how nodes are taken; None where that is without TLS.

    Raises:
        InvalidInputError: a file cannot be read or used, or a certificate lacks its key.
    """
    files = TlsFiles.of(settings.tls_certificate, settings.tls_key, None, field="tls_certificate")
    if settings.node_ca is settings.node_certificate is settings.node_key is None:
        return files, None
    trust = Trust(authority=settings.node_ca, certificate=settings.node_certificate, key=settings.node_key)
    if settings.node_certificate is not None and settings.node_key is not None:
        TlsFiles(settings.node_certificate, settings.node_key, settings.node_ca, field="node_certificate")
    trust.credentials()
    return files, trust


def tls_ends(files: TlsFiles | None, trust: Trust | None) -> dict[str, Callable[[], datetime]]:
    """When the certificates of an edge run out, by what they are used for."""
    ends: dict[str, Callable[[], datetime]] = {}
    if files is not None:
        ends["server"] = files.ends
    if trust is not None and trust.certificate is not None and trust.key is not None:
        ends["node"] = TlsFiles(trust.certificate, trust.key, None, field="node_certificate").ends
    return ends


def check_doors(doorman: Doorman, **listens: Address) -> None:
    """Refuse to be reached by others where nobody is asked who they are."""
    for field, address in listens.items():
        if not doorman.asks and not address.is_loopback:
            message = (
                f"{address} is reachable from other machines and nobody would be asked who calls; make keys with "
                "`viseme keys create NAME` and give their file with --keys (VISEME_EDGE_KEYS), "
                "or name a provider with --oidc-issuer"
            )
            raise InvalidInputError(message, field=field)


def _bad_keys(why: str) -> None:
    _LOG.error("the file of keys cannot be used; the keys stay as they were", why=why)
