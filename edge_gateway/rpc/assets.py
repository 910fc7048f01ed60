"""``viseme.gateway.v1.AssetService``."""

import time
from collections.abc import AsyncIterator
from contextlib import aclosing

from edge_gateway.assets.service import AssetService
from edge_gateway.identity import Identity
from edge_gateway.jobs.gallery import Gallery
from edge_gateway.library.service import Libraries
from edge_gateway.rpc import convert
from edge_gateway.rpc.context import Context
from shared.digest import CHUNK_BYTES
from shared.media.limits import MediaLimits
from shared.pb.viseme.gateway.v1 import asset_pb2 as pb
from shared.pb.viseme.gateway.v1.asset_pb2_grpc import AssetServiceServicer


class AssetServicer(AssetServiceServicer):
    """Translates calls about assets."""

    def __init__(
        self,
        assets: AssetService,
        libraries: Libraries,
        gallery: Gallery,
        identity: Identity,
        media_limits: MediaLimits,
    ) -> None:
        self._assets = assets
        self._libraries = libraries
        self._gallery = gallery
        self._identity = identity
        self._media_limits = media_limits

    async def GetCapabilities(self, request: pb.GetCapabilitiesRequest, context: Context) -> pb.GetCapabilitiesResponse:
        """Says what this edge can do and what it refuses."""
        del request, context
        return pb.GetCapabilitiesResponse(
            version=self._identity.version,
            edge=self._identity.name,
            region=self._identity.region,
            engines=[
                pb.Engine(name=engine.name, summary=engine.summary, is_default=engine.is_default)
                for engine in self._identity.engines()
            ],
            limits=convert.limits(self._assets.limits, self._media_limits, CHUNK_BYTES),
            libraries=self._libraries.names,
        )

    async def Upload(
        self, request_iterator: AsyncIterator[pb.UploadRequest], context: Context
    ) -> AsyncIterator[pb.UploadResponse]:
        """Takes one asset in chunks."""
        del context
        pace = self._assets.limits.pace(time.monotonic)
        manifest, pieces = await convert.upload(aiter(request_iterator), pace)
        async with aclosing(self._assets.upload(manifest, pieces)) as answers:
            async for answer in answers:
                yield convert.upload_answer(answer)

    async def GetAsset(self, request: pb.GetAssetRequest, context: Context) -> pb.GetAssetResponse:
        """Describes one asset."""
        del context
        asset = await self._assets.get(request.asset_id)
        held = await self._assets.held(asset)
        return pb.GetAssetResponse(asset=convert.asset(asset), held=convert.chunk_ranges(held))

    async def ListAssets(self, request: pb.ListAssetsRequest, context: Context) -> pb.ListAssetsResponse:
        """Lists assets, newest first."""
        del context
        kind = convert.asset_kind(request.kind)
        assets, token = await self._assets.page(request.page_size, request.page_token, kind)
        return pb.ListAssetsResponse(assets=map(convert.asset, assets), next_page_token=token)

    async def DeleteAsset(self, request: pb.DeleteAssetRequest, context: Context) -> pb.DeleteAssetResponse:
        """Deletes an asset that no unfinished job needs."""
        del context
        await self._assets.delete(request.asset_id)
        return pb.DeleteAssetResponse()

    async def Download(self, request: pb.DownloadRequest, context: Context) -> AsyncIterator[pb.DownloadResponse]:
        """Sends an asset's bytes from an offset."""
        del context
        asset, pieces = await self._assets.download(request.asset_id, request.offset_bytes, request.length_bytes)
        yield pb.DownloadResponse(offset_bytes=request.offset_bytes, size_bytes=asset.size_bytes, sha256=asset.sha256)
        async with aclosing(pieces):
            async for offset, data in pieces:
                yield pb.DownloadResponse(offset_bytes=offset, data=data)

    async def ListLibrary(self, request: pb.ListLibraryRequest, context: Context) -> pb.ListLibraryResponse:
        """Lists what lies in a library."""
        del context
        files, token = await self._libraries.page(
            request.library, request.prefix, request.page_size, request.page_token
        )
        return pb.ListLibraryResponse(files=map(convert.library_file, files), next_page_token=token)

    async def AddAsset(self, request: pb.AddAssetRequest, context: Context) -> AsyncIterator[pb.AddAssetResponse]:
        """Makes a file of a library an asset."""
        del context
        async with aclosing(self._libraries.add(request.name)) as answers:
            async for answer in answers:
                yield convert.add_answer(answer)

    async def ListFaces(self, request: pb.ListFacesRequest, context: Context) -> pb.ListFacesResponse:
        """Lists the videos and photos that jobs used."""
        del context
        found, token = await self._gallery.page(request.page_size, request.page_token)
        faces = [
            pb.Face(asset=convert.asset(used.asset), use_time=convert.timestamp(used.used_us), jobs=used.jobs)
            for used in found
        ]
        return pb.ListFacesResponse(faces=faces, next_page_token=token)
