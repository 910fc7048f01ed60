"""The page made ready to send: its sources joined to one HTML, without comments, compressed, with the policy for it."""

import base64
import gzip
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final, Self

import brotli

PARTS_PATH: Final = "/page/"
"""Where the parts are that load when they are first needed."""

_MAIN = ("words.js", "dom.js", "edge.js", "live.js", "plan.js", "new.js", "main.js")
"""The scripts that the first screen needs, in the order in which they are joined to one module."""
_BLOCK = re.compile(r"^[ \t]*/\*.*?\*/[ \t]*\n", re.MULTILINE | re.DOTALL)
_LINE = re.compile(r"^[ \t]*//.*\n", re.MULTILINE)
_INDENT = re.compile(r"^[ \t]+|[ \t]+$|^\n", re.MULTILINE)
_GAPS = re.compile(r"\s*([{};,>])\s*|(:)\s+|\n")
_HTML_COMMENT = re.compile(r"<!--.*?-->\n?", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """One file as it is sent."""

    media_type: str
    plain: bytes
    brotli: bytes
    gzip: bytes
    digest: str
    """Of the plain bytes."""

    @classmethod
    def of(cls, text: str, media_type: str) -> Self:
        """Compress a text."""
        plain = text.encode()
        return cls(
            media_type=media_type,
            plain=plain,
            brotli=brotli.compress(plain, mode=brotli.MODE_TEXT, quality=11, lgwin=18),
            gzip=gzip.compress(plain, 9, mtime=0),
            digest=hashlib.sha256(plain).hexdigest()[:32],
        )

    def encodings(self) -> Mapping[str, bytes]:
        """The bytes by content coding, the smallest first."""
        return {"br": self.brotli, "gzip": self.gzip, "identity": self.plain}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """The page, its policy, and what it loads later, by name."""

    page: Packed
    policy: str
    parts: Mapping[str, Packed]


def pack(source: Traversable | None = None) -> Bundle:
    """Make the page of its sources.

    Args:
        source: The folder with them; the one beside this module where it is not given.
    """
    folder = source or files("edge_gateway.web") / "page"
    parts = {
        path.name.removesuffix(".js"): Packed.of(_script(path.read_text("utf-8")), "text/javascript; charset=utf-8")
        for path in sorted((folder / "parts").iterdir(), key=lambda path: path.name)
        if path.name.endswith(".js")
    }
    places = {name: f"{name}.{part.digest[:12]}.js" for name, part in parts.items()}
    joined = "".join(_script((folder / name).read_text("utf-8")) for name in _MAIN)
    told = {name: PARTS_PATH + place for name, place in places.items()}
    script = joined.replace("__PARTS__", json.dumps(told, separators=(",", ":"))).strip()
    style = _style((folder / "style.css").read_text("utf-8"))
    html = _INDENT.sub("", _HTML_COMMENT.sub("", (folder / "index.html").read_text("utf-8")))
    whole = html.replace("__STYLE__", style).replace("__SCRIPT__", script)
    return Bundle(
        page=Packed.of(whole, "text/html; charset=utf-8"),
        policy=_policy(script, style),
        parts={places[name]: part for name, part in parts.items()},
    )


def _script(text: str) -> str:
    """A script without comments that have lines of their own, and without indents."""
    return _INDENT.sub("", _LINE.sub("", _BLOCK.sub("", text)))


def _style(text: str) -> str:
    return _GAPS.sub(r"\1\2", _INDENT.sub("", _BLOCK.sub("", text))).strip()


def _policy(script: str, style: str) -> str:
    """What the page may do: run this script and what that loads from here, and speak with this edge alone."""
    rules = {
        "default-src": "'none'",
        # Files of users come with a type of their own and nosniff, so none of them is ever a script of this origin.
        "script-src": f"'self' '{_hash(script)}'",
        "style-src": f"'{_hash(style)}'",
        "img-src": "'self' blob: data:",
        "media-src": "'self' blob:",
        "connect-src": "'self'",
        "frame-src": "'self'",
        "form-action": "'self'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in rules.items())


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
