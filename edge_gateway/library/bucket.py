"""A bucket of an S3 store as a library, by obstore."""

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from obstore.exceptions import BaseError
from obstore.store import S3Store

from edge_gateway.library.name import is_visible
from edge_gateway.library.place import ChangedError, Entry
from shared.errors import LimitExceededError, NotFoundError, UnavailableError
from shared.telemetry.logging import get_logger

if TYPE_CHECKING:  # obstore has these for type checkers alone
    from obstore import ObjectMeta
    from obstore.store import ClientConfig, RetryConfig, S3Config

_LOG = get_logger(__name__)

_PAGE: Final = 1000
"""Entries of one answer; S3 gives no more."""
# An http endpoint is only used where the operator writes one.
_CLIENT: "Final[ClientConfig]" = {"connect_timeout": "5s", "allow_http": True}
_RETRIES: Final = 3
_CODE = re.compile(r"<Code>([A-Za-z0-9]{1,64})</Code>")


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketAddress:
    """Where a bucket is; what is empty is taken from the usual ``AWS_*`` environment, by obstore."""

    bucket: str
    prefix: str = ""
    endpoint: str = ""
    region: str = ""
    access_key_id: str = ""
    secret_access_key: str = field(default="", repr=False)
    session_token: str = field(default="", repr=False)
    anonymous: bool = False


class Bucket:
    """Objects of one bucket, below a prefix.

    Args:
        address: Where it is.
        entries: How many objects that no library shows are passed over for one page.
        answer_s: Seconds within which the store must answer one request; as long is tried again.
    """

    def __init__(self, address: BucketAddress, *, entries: int, answer_s: float = 30.0) -> None:
        self._entries = entries
        config: S3Config = {"bucket": address.bucket}
        if address.endpoint:
            config["endpoint"] = address.endpoint
        if address.region:
            config["region"] = address.region
        if address.access_key_id:
            config["access_key_id"] = address.access_key_id
            config["secret_access_key"] = address.secret_access_key
        if address.session_token:
            config["session_token"] = address.session_token
        if address.anonymous:
            config["skip_signature"] = True
        answer = timedelta(seconds=answer_s)
        retry: RetryConfig = {"max_retries": _RETRIES, "retry_timeout": answer}
        client: ClientConfig = {**_CLIENT, "timeout": answer}
        prefix = address.prefix or None
        self._store = S3Store(prefix=prefix, config=config, client_options=client, retry_config=retry)

    async def look(self, path: str) -> Entry:
        """What is known of an object."""
        with _answers():
            return _entry(await self._store.head_async(path))

    @asynccontextmanager
    async def open(self, entry: Entry) -> AsyncIterator["_Opened"]:
        """Open an object for reading; every read says which version of it is meant."""
        yield _Opened(self._store, entry)

    async def page(self, folder: str, after: str, count: int) -> list[Entry]:
        """Objects in the order of the store: that of their keys, though SeaweedFS puts folders first."""
        found: list[Entry] = []
        passed = 0
        with _answers():
            async for objects in self._store.list(folder or None, offset=after or None, chunk_size=min(count, _PAGE)):
                for one in objects:
                    if all(map(is_visible, one["path"].split("/"))):
                        found.append(_entry(one))
                    else:
                        passed += 1
                    if len(found) == count:
                        return found
                    if passed > self._entries:
                        message = f"{self._entries} hidden objects stand in a row; choose a folder"
                        raise LimitExceededError(message, field="prefix", limit="library_folder_entries")
        return found


class _Opened:
    """An object that must not change."""

    def __init__(self, store: S3Store, entry: Entry) -> None:
        self._store = store
        self._entry = entry

    async def read(self, offset: int, length: int) -> bytes:
        """So many bytes."""
        with _answers():
            got = await self._store.get_async(self._entry.path, options={"range": (offset, offset + length)})
            if _entry(got.meta).stamp != self._entry.stamp:
                raise ChangedError
            data = bytes(await got.bytes_async())
        if len(data) != length:
            raise ChangedError
        return data


def _entry(meta: "ObjectMeta") -> Entry:
    seconds = int(meta["last_modified"].timestamp())  # lists tell a finer time than answers about one object
    return Entry(
        path=meta["path"],
        size_bytes=meta["size"],
        modified_us=seconds * 1_000_000,
        stamp=f"{meta['e_tag']}-{meta['size']:x}-{seconds:x}",
    )


@contextmanager
def _answers() -> Iterator[None]:
    """Turn what obstore raises into errors of ours; its words may hold keys and go nowhere."""
    try:
        yield
    except FileNotFoundError as error:
        raise NotFoundError("there is no such file in the library", field="name") from error
    except (BaseError, ValueError) as error:
        code = _CODE.search(str(error))
        why = code[1] if code else type(error).__name__
        _LOG.warning("a bucket does not answer as it should", why=why)
        raise UnavailableError(f"the library's bucket cannot be read ({why})") from None
