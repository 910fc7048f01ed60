"""Assets over HTTP: look, list, delete; and the videos among them that jobs used."""

from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from edge_gateway.assets.asset import AssetKind
from edge_gateway.assets.service import AssetService
from edge_gateway.jobs.gallery import Gallery
from edge_gateway.web import told
from edge_gateway.web.answer import NO_STORE, answered, reading, writing
from edge_gateway.web.asks import read_page
from shared.errors import InvalidInputError


class AssetPages:
    """Answers for assets.

    Args:
        assets: The assets.
        gallery: The videos that jobs used.
    """

    def __init__(self, assets: AssetService, gallery: Gallery) -> None:
        self._assets = assets
        self._gallery = gallery

    def routes(self) -> list[Route]:
        """What the application answers here."""
        return [
            Route("/assets", reading(self.page), methods=["GET"]),
            Route("/assets/{asset_id}", reading(self.get), methods=["GET"]),
            Route("/assets/{asset_id}", writing(self.delete), methods=["DELETE"]),
            Route("/faces", reading(self.faces), methods=["GET"]),
        ]

    async def page(self, request: Request) -> Response:
        """Assets, newest first."""
        size, token = read_page(request)
        found, token = await self._assets.page(size, token, _kind(request.query_params.get("kind")))
        return answered(told.Assets(assets=[told.Asset.of(asset) for asset in found], next_page_token=token))

    async def get(self, request: Request) -> Response:
        """One asset."""
        return answered(told.Asset.of(await self._assets.get(request.path_params["asset_id"])))

    async def delete(self, request: Request) -> Response:
        """Delete an asset that no unfinished job needs."""
        await self._assets.delete(request.path_params["asset_id"])
        return Response(status_code=HTTPStatus.NO_CONTENT, headers=NO_STORE)

    async def faces(self, request: Request) -> Response:
        """Videos and photos that jobs used, the one first that was used last."""
        size, token = read_page(request)
        found, token = await self._gallery.page(size, token)
        faces = [
            told.Face(asset=told.Asset.of(used.asset), used_time=told.rfc3339(used.used_us), jobs=used.jobs)
            for used in found
        ]
        return answered(told.Faces(faces=faces, next_page_token=token))


def _kind(text: str | None) -> AssetKind | None:
    try:
        return None if text is None else AssetKind(text)
    except ValueError:
        raise InvalidInputError(
            f"a kind is one of {', '.join(kind.value for kind in AssetKind)}", field="kind"
        ) from None
