"""Files that lie at an edge already: listed, and used by name without an upload."""

from collections.abc import AsyncIterator
from typing import Final, TypeGuard

from shared.errors import EdgeUnavailableError, VisemeError
from shared.pb.viseme.gateway.v1 import asset_pb2
from shared.rpc.channel import END
from shared.sdk import model
from shared.sdk.convert import asset_from, library_file_from
from shared.sdk.link import Attempts, Link, read_within
from shared.sdk.upload import ProgressCallback

SCHEME: Final = "lib:"
"""What the name of a library's file begins with."""


ASSET_SCHEME: Final = "asset:"
"""What the name of an asset begins with; its id, or a beginning of that, follows."""


def is_edge_name(given: object) -> TypeGuard[str]:
    """Whether this names something at the edge: a string that begins with ``lib:`` or ``asset:``. A path never does."""
    return isinstance(given, str) and given.startswith((SCHEME, ASSET_SCHEME))


class Adding:
    """One file on its way from a library to an asset.

    Args:
        link: To the edge.
        name: ``lib:LIBRARY/path/in/it``.
        field: What to name in errors.
        on_progress: Told how far it is.
    """

    def __init__(self, link: Link, name: str, *, field: str, on_progress: ProgressCallback | None) -> None:
        self._link = link
        self._name = name
        self._field = field
        self._on_progress = on_progress
        self._attempts = Attempts(link)

    async def run(self) -> model.Asset:
        """Add it; where the link breaks, ask again: what was brought by then is.

        Raises:
            VisemeError: What the edge said, or that it stayed silent for too long.
        """
        try:
            return await self._link.persist(self._attempt, self._attempts)
        except VisemeError as error:
            if error.field != "name":
                raise
            raise type(error)(
                error.message, field=self._field, limit=error.limit, retry_after_s=error.retry_after_s
            ) from error

    async def _attempt(self) -> model.Asset:
        call = self._link.assets.AddAsset(asset_pb2.AddAssetRequest(name=self._name))
        try:
            while (answer := await read_within(call, self._link, lambda: 0.0)) is not END:
                self._attempts.progress()
                if answer.WhichOneof("message") == "asset":
                    return asset_from(answer.asset)
                self._tell(answer.progress)
        finally:
            call.cancel()
        raise EdgeUnavailableError(f"the edge at {self._link.address} ended before {self._name} was added")

    def _tell(self, progress: asset_pb2.AddProgress) -> None:
        if self._on_progress is not None:
            self._on_progress(
                model.Transfer(
                    name=self._name,
                    done_bytes=progress.done_bytes,
                    size_bytes=progress.size_bytes,
                    waiting_for=progress.waiting_for,
                )
            )


async def list_library(link: Link, library: str, folder: str) -> AsyncIterator[model.LibraryFile]:
    """The files of a library, those below a folder alone."""
    token = ""
    while True:
        request = asset_pb2.ListLibraryRequest(library=library, prefix=folder, page_token=token)
        page = await link.call(link.assets.ListLibrary, request)
        for file in page.files:
            yield library_file_from(file)
        token = page.next_page_token
        if not token:
            return
