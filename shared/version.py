"""The version of what is installed."""

from importlib import metadata


def version() -> str:
    """The version of the installed distribution; ``0+tree`` where it runs from a checkout that is not installed."""
    try:
        return metadata.version("viseme")
    except metadata.PackageNotFoundError:
        return "0+tree"
