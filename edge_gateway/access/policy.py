"""What each call takes. What is not listed here is refused: a new call is nobody's until it is."""

from collections.abc import Mapping
from enum import Enum
from typing import Final

from shared.access.scope import Scope


class Anyone(Enum):
    """Needs no caller who is known."""

    ANYONE = "anyone"


ANYONE: Final = Anyone.ANYONE
Need = Scope | Anyone

_GATEWAY: Final = "/viseme.gateway.v1."

RPC_NEEDS: Final[Mapping[str, Need]] = {
    "/grpc.health.v1.Health/Check": ANYONE,
    "/grpc.health.v1.Health/Watch": ANYONE,
    "/grpc.health.v1.Health/List": ANYONE,
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": ANYONE,
    f"{_GATEWAY}AssetService/GetCapabilities": Scope.READ,
    f"{_GATEWAY}AssetService/Upload": Scope.DUB,
    f"{_GATEWAY}AssetService/GetAsset": Scope.READ,
    f"{_GATEWAY}AssetService/ListAssets": Scope.READ,
    f"{_GATEWAY}AssetService/DeleteAsset": Scope.DELETE,
    f"{_GATEWAY}AssetService/Download": Scope.READ,
    f"{_GATEWAY}AssetService/ListLibrary": Scope.READ,
    f"{_GATEWAY}AssetService/AddAsset": Scope.DUB,
    f"{_GATEWAY}AssetService/ListFaces": Scope.READ,
    f"{_GATEWAY}JobService/SubmitJob": Scope.DUB,
    f"{_GATEWAY}JobService/GetJob": Scope.READ,
    f"{_GATEWAY}JobService/ListJobs": Scope.READ,
    f"{_GATEWAY}JobService/CancelJob": Scope.DUB,
    f"{_GATEWAY}JobService/DeleteJob": Scope.DELETE,
    f"{_GATEWAY}JobService/Session": Scope.READ,  # what it cancels takes DUB, which the session looks at
    f"{_GATEWAY}JobService/Preview": Scope.READ,
    f"{_GATEWAY}JobService/ListWebhooks": Scope.READ,
    f"{_GATEWAY}JobService/ReplayWebhook": Scope.DUB,
    f"{_GATEWAY}JobService/CreateLink": Scope.DUB,
    f"{_GATEWAY}NetworkService/Probe": Scope.READ,
    f"{_GATEWAY}NetworkService/ListEdges": Scope.READ,
    f"{_GATEWAY}NetworkService/ListNodes": Scope.READ,
}
"""By the method's full name."""

HTTP_NEEDS: Final[Mapping[str, Need]] = {
    "page": Scope.READ,
    "pagePart": ANYONE,
    "signInPage": ANYONE,
    "signIn": ANYONE,
    "signOut": ANYONE,
    "openapi": ANYONE,
    "health": ANYONE,
    "ping": ANYONE,
    "sharedResult": ANYONE,  # whoever has the address, which nobody can guess
    "status": Scope.READ,
    "listEdges": Scope.READ,
    "probeDown": Scope.READ,
    "probeUp": Scope.READ,
    "listAssets": Scope.READ,
    "addAsset": Scope.DUB,
    "getAsset": Scope.READ,
    "deleteAsset": Scope.DELETE,
    "content": Scope.READ,
    "picture": Scope.READ,
    "listFaces": Scope.READ,
    "library": Scope.READ,
    "listJobs": Scope.READ,
    "submitJob": Scope.DUB,
    "deleteJobs": Scope.DELETE,
    "getJob": Scope.READ,
    "deleteJob": Scope.DELETE,
    "cancelJob": Scope.DUB,
    "retryJob": Scope.DUB,
    "createLink": Scope.DUB,
    "result": Scope.READ,
    "still": Scope.READ,
    "preview": Scope.READ,
    "previewInit": Scope.READ,
    "previewFragment": Scope.READ,
    "results": Scope.READ,
    "resultsOfMany": Scope.READ,
    "events": Scope.READ,
    "tusOptions": ANYONE,
    "tusOptionsOfUpload": ANYONE,
}
"""By the operation's name in the OpenAPI document; those of tus that are not listed take DUB (see the web's gate)."""
