"""Where things lie on this machine, by the XDG rules."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Folders of this user.

    Args:
        data: What edge and node keep.
        state: Where a running ``viseme up`` says so.
        models: The networks of this user's own.
    """

    data: Path
    state: Path
    models: Path

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> "Places":
        """Read them from the environment."""
        home = Path(environ.get("HOME") or Path.home())
        data = _folder(environ, "XDG_DATA_HOME", home / ".local" / "share")
        return cls(
            data=data,
            state=_folder(environ, "XDG_STATE_HOME", home / ".local" / "state"),
            # The node's own variable: one that is started by hand and this command then mean the same folder.
            models=Path(environ.get("VISEME_NODE_MODELS") or data / "engines"),
        )


def _folder(environ: Mapping[str, str], name: str, default: Path) -> Path:
    given = environ.get(name, "")
    # The rules say that a relative path is to be ignored.
    return (Path(given) if os.path.isabs(given) else default) / "viseme"  # noqa: PTH117 - an empty name is no path
