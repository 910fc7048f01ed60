"""The libraries of ``FakeEdge``."""

from collections.abc import AsyncIterator
from typing import Any

from shared import errors
from shared.pb.viseme.gateway.v1 import asset_pb2
from shared.sdk.testing_assets import FakeAssets


class FakeLibraries(FakeAssets):
    """Files that lie at a fake edge. What is added is stored as if it had been uploaded."""

    library: dict[str, bytes]
    """Files by their names."""

    @property
    def libraries(self) -> list[str]:
        """What the libraries are called."""
        return sorted({name.removeprefix("lib:").partition("/")[0] for name in self.library})

    async def GetCapabilities(self, request: Any, context: Any) -> asset_pb2.GetCapabilitiesResponse:
        """Name one engine and the libraries."""
        answer = await super().GetCapabilities(request, context)
        answer.libraries.extend(self.libraries)
        return answer

    async def ListLibrary(self, request: Any, context: Any) -> asset_pb2.ListLibraryResponse:
        """List files, two a page."""
        if request.library not in self.libraries:
            raise errors.NotFoundError(f"there is no library {request.library}", field="library")
        folder = "/".join(["lib:" + request.library, *filter(None, [request.prefix.strip("/")])])
        below = [name for name in sorted(self.library) if name.startswith(f"{folder}/")]
        begin = int(request.page_token or 0)
        files = [
            asset_pb2.LibraryFile(name=name, size_bytes=len(self.library[name])) for name in below[begin : begin + 2]
        ]
        more = str(begin + 2) if begin + 2 < len(below) else ""
        return asset_pb2.ListLibraryResponse(files=files, next_page_token=more)

    async def AddAsset(self, request: Any, context: Any) -> AsyncIterator[asset_pb2.AddAssetResponse]:
        """Store a file after a little waiting."""
        data = self.library.get(request.name)
        if data is None:
            raise errors.NotFoundError(f"{request.name}: there is no such file in the library", field="name")
        waiting = asset_pb2.AddProgress(waiting_for="its turn")
        yield asset_pb2.AddAssetResponse(progress=waiting)
        yield asset_pb2.AddAssetResponse(progress=asset_pb2.AddProgress(done_bytes=len(data), size_bytes=len(data)))
        asset_id = self.store(data, request.name.rpartition("/")[2])
        yield asset_pb2.AddAssetResponse(asset=self.stored[asset_id].describe())
