"""How an operator names the nodes of an edge."""

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator


def _read(given: Any) -> Any:
    """Addresses one by one, or several in one text with commas between."""
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, (list, tuple)):
        return given
    return [part.strip() for text in texts for part in str(text).split(",") if part.strip()]


def _some(addresses: tuple[str, ...]) -> tuple[str, ...]:
    if not addresses:
        raise ValueError("name one node at least, HOST:PORT")
    for address in addresses:
        if addresses.count(address) > 1:
            raise ValueError(f"the node {address} is named twice")
    return addresses


NodesSetting = Annotated[tuple[str, ...], BeforeValidator(_read), AfterValidator(_some)]
"""The addresses of an edge's nodes."""
