"""Whose page a browser's request comes from."""

from urllib.parse import urlsplit

from starlette.requests import Request


def foreign_header(request: Request) -> str:
    """The header that tells that a page of another host asks a browser to do this; empty where none does."""
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc.lower() != request.headers.get("host", "").lower():
        return "Origin"
    if request.headers.get("sec-fetch-site", "none") not in {"none", "same-origin"}:
        return "Sec-Fetch-Site"
    return ""
