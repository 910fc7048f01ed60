"""How an operator names libraries.

As a flag or a variable: ``NAME=FOLDER`` or ``NAME=s3://BUCKET/PREFIX``, with the usual ``AWS_*`` variables for the
store. In the TOML file also as a table, for a store of its own::

    [library]
    teachers = "/srv/clips"
    stock = { url = "s3://bucket/prefix", endpoint = "https://s3.example.org", region = "eu-1", anonymous = true }
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, model_validator

from edge_gateway.library.bucket import Bucket, BucketAddress
from edge_gateway.library.folder import Folder
from edge_gateway.library.name import is_library
from edge_gateway.library.place import Place

_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,62}")
_NAME_WORDS: Final = "a library's name has 1 to 32 of a-z, 0-9 and -, and does not begin with -"


class LibrarySetting(BaseModel):
    """One library."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    name: str
    url: str
    """An absolute path, or ``s3://BUCKET/PREFIX``."""
    endpoint: str = ""
    region: str = ""
    access_key_id: str = ""
    secret_access_key: SecretStr = Field(default=SecretStr(""))
    session_token: SecretStr = Field(default=SecretStr(""))
    anonymous: bool = False

    @model_validator(mode="after")
    def _check(self) -> "LibrarySetting":
        if not is_library(self.name):
            raise ValueError(f"{_NAME_WORDS}, not {self.name!r}")
        if self.is_bucket:
            if not _BUCKET.fullmatch(urlsplit(self.url).netloc):
                raise ValueError(f"{self.name}: s3:// wants a bucket's name after it")
            if bool(self.access_key_id) != bool(self.secret_access_key.get_secret_value()):
                raise ValueError(f"{self.name}: access_key_id and secret_access_key go together")
        elif "://" in self.url:
            raise ValueError(f"{self.name}: a library is a folder or an s3:// bucket")
        elif not Path(self.url).is_absolute():
            raise ValueError(f"{self.name}: a folder is named by its whole path, beginning with /")
        return self

    @property
    def is_bucket(self) -> bool:
        """Whether it lies in an S3 store."""
        return self.url.startswith("s3://")


def _read(value: Any) -> Any:
    """Bring lists of ``NAME=PLACE`` and tables to one form."""
    if isinstance(value, Mapping):
        return [_table(name, given) for name, given in value.items()]
    if isinstance(value, list | tuple):
        return [_pair(one) if isinstance(one, str) else one for one in value]
    return value


def _pair(text: str) -> dict[str, Any]:
    name, sign, url = text.partition("=")
    if not sign:
        raise ValueError("a library is written as NAME=FOLDER or NAME=s3://BUCKET/PREFIX")
    return {"name": name.strip(), "url": url.strip()}


def _table(name: str, given: Any) -> dict[str, Any]:
    return {"name": name, **given} if isinstance(given, Mapping) else {"name": name, "url": given}


def _distinct(libraries: tuple[LibrarySetting, ...]) -> tuple[LibrarySetting, ...]:
    names = [library.name for library in libraries]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"two libraries are called {name}")
    return libraries


LibrarySettings = Annotated[tuple[LibrarySetting, ...], BeforeValidator(_read), AfterValidator(_distinct)]
"""The libraries of an edge."""


def open_places(libraries: Iterable[LibrarySetting], *, entries: int, answer_s: float) -> dict[str, Place]:
    """The places that an operator named, by their libraries' names."""
    return {library.name: _open(library, entries, answer_s) for library in libraries}


def _open(library: LibrarySetting, entries: int, answer_s: float) -> Place:
    if not library.is_bucket:
        return Folder(Path(library.url), entries=entries, answer_s=answer_s)
    url = urlsplit(library.url)
    address = BucketAddress(
        bucket=url.netloc,
        prefix=url.path.strip("/"),
        endpoint=library.endpoint,
        region=library.region,
        access_key_id=library.access_key_id,
        secret_access_key=library.secret_access_key.get_secret_value(),
        session_token=library.session_token.get_secret_value(),
        anonymous=library.anonymous,
    )
    return Bucket(address, entries=entries, answer_s=answer_s)
