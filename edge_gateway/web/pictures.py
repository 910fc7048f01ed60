"""Pictures over HTTP: of files, and of jobs while they run."""

from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from edge_gateway.assets.pictures import Pictures
from edge_gateway.jobs.stills import Stills
from edge_gateway.web.answer import SAFE, matches, reading

_JPEG = "image/jpeg"


class PicturePages:
    """Answers for pictures.

    Args:
        pictures: Of files.
        stills: Of jobs.
    """

    def __init__(self, pictures: Pictures, stills: Stills) -> None:
        self._pictures = pictures
        self._stills = stills

    def routes(self) -> list[Route]:
        """What the application answers here."""
        return [
            Route("/assets/{asset_id}/picture.jpg", reading(self.picture), methods=["GET"]),
            Route("/jobs/{job_id}/still.jpg", reading(self.still), methods=["GET"]),
        ]

    async def picture(self, request: Request) -> Response:
        """A picture of a file, which never changes."""
        asset_id = request.path_params["asset_id"]
        data = await self._pictures.of(asset_id)
        return _picture(request, data, asset_id, "private, max-age=31536000, immutable")

    async def still(self, request: Request) -> Response:
        """A picture of a job: of its newest frame, or of its result."""
        still = await self._stills.of(request.path_params["job_id"])
        return _picture(request, still.data, still.tag, "private, no-cache")


def _picture(request: Request, data: bytes, tag: str, kept: str) -> Response:
    headers = {**SAFE, "ETag": f'"{tag}"', "Cache-Control": kept}
    if matches(request.headers.get("if-none-match", ""), headers["ETag"]):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return Response(data, headers=headers, media_type=_JPEG)
