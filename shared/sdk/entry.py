"""What a client shows to edges, and whom it takes for one."""

import os
from collections.abc import Iterable
from pathlib import Path

from shared.errors import InvalidInputError
from shared.rpc.address import Address
from shared.rpc.tls import Trust


def trust_of(ca: str | os.PathLike[str] | None) -> Trust | None:
    """How edges are taken by TLS.

    Raises:
        InvalidInputError: The file cannot be read.
    """
    if ca is None:
        return None
    trust = Trust(authority=Path(ca))
    trust.credentials()
    return trust


def check_shown(key: str, addresses: Iterable[Address], *, insecure: bool) -> None:
    """Refuse to show a key where whoever is on the way could read it.

    Raises:
        InvalidInputError: It would be.
    """
    if not key or insecure:
        return
    for address in addresses:
        if not (address.is_encrypted or address.is_loopback):
            message = (
                f"a key would go to {address} in the clear; call it by https://{address}, "
                "or say insecure=True (VISEME_INSECURE=1) if the network is your own"
            )
            raise InvalidInputError(message, field="edge")
