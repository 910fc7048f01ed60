"""What is known of a file that is being uploaded: the digests that its client announced, the chunks that are safe."""

from collections.abc import Sequence

from edge_gateway.assets.asset import Digests, Manifest, check_digests
from shared.errors import ConflictError, InvalidInputError

DIGESTS_FIELD = "digests"
"""The field of the error that asks for the whole manifest."""


class Ledger:
    """Keeps the digests of one upload.

    Args:
        manifest: What the client began with.
        known: What is known of the same upload from before; empty where nothing is.
        held: Chunks that are safe already; their digests are known.
    """

    def __init__(self, manifest: Manifest, known: Sequence[bytes], held: set[int]) -> None:
        self.manifest = manifest
        self.digests: list[bytes] = list(manifest.digests) or [b""] * manifest.count
        """As announced by this client; empty where it has not yet."""
        self._known = list(known) if not manifest.digests else []
        self._held = frozenset(held)
        self._missing = 0 if manifest.digests else manifest.count
        self.held: set[int] = set(held) if manifest.digests else set()
        """Chunks that were announced and are safe since before."""
        if manifest.ends is not None and not manifest.digests:
            head, tail = manifest.ends
            self.announce(Digests(first=0, digests=(head,)))
            self.announce(Digests(first=manifest.count - 1, digests=(tail,)))

    @property
    def is_complete(self) -> bool:
        """Whether every digest was announced."""
        return self._missing == 0

    def announce(self, message: Digests) -> list[int]:
        """Take digests; gives those of their chunks that need not be sent.

        Raises:
            InvalidInputError: they do not fit.
            ConflictError: the unfinished upload or the asset whose size and ends are the same is of another file.
        """
        if not 0 <= message.first <= message.first + len(message.digests) <= len(self.digests):
            text = f"{len(message.digests)} digests from chunk {message.first} go beyond the {len(self.digests)} chunks"
            raise InvalidInputError(text, field="digests.first_chunk")
        check_digests(message.digests, field="digests.digests")
        safe = []
        for index, digest in enumerate(message.digests, message.first):
            if self.digests[index]:
                if self.digests[index] != digest:
                    raise InvalidInputError(f"chunk {index} was announced with another digest", field="digests.digests")
                continue
            if self._known and self._known[index] not in (b"", digest):
                text = "another file begins and ends as this one does; send the whole manifest"
                raise ConflictError(text, field=DIGESTS_FIELD)
            self.digests[index] = digest
            self._missing -= 1
            if index in self._held:
                safe.append(index)
        self.held.update(safe)
        return safe

    def whole(self) -> Manifest:
        """The manifest, once every digest was announced."""
        first = self.manifest
        return Manifest(
            size_bytes=first.size_bytes,
            digests=tuple(self.digests),
            display_name=first.display_name,
            chunk_bytes=first.chunk_bytes,
            name=first.name,
        )
