"""Pages of long lists: sizes and opaque tokens."""

import base64
import binascii

from shared.errors import InvalidInputError, LimitExceededError

PAGE_DEFAULT = 100
PAGE_LARGEST = 500

_MARK = b"page1:"


def page_size(asked: int) -> int:
    """How many entries a page has.

    Raises:
        LimitExceededError: more were asked for than a page may have.
    """
    if asked > PAGE_LARGEST:
        message = f"a page has at most {PAGE_LARGEST} entries"
        raise LimitExceededError(message, field="page_size", limit="page_size")
    return asked or PAGE_DEFAULT


def write_token(number: int) -> str:
    """The token of the page that begins below ``number``."""
    return base64.urlsafe_b64encode(_MARK + str(number).encode()).decode().rstrip("=")


def read_token(token: str) -> int | None:
    """The number in a token; None for the first page.

    Raises:
        InvalidInputError: it was not made by :func:`write_token`.
    """
    if not token:
        return None
    wrong = InvalidInputError("this is no page token of this edge", field="page_token")
    if len(token) > 64:
        raise wrong
    try:
        text = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise wrong from None
    number = text.removeprefix(_MARK)
    if not text.startswith(_MARK) or not number.isdigit() or len(number) > 18:
        raise wrong
    return int(number)
