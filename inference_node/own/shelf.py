"""Keeps a node's engines at what lies in the folder of the user's own networks."""

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from inference_node.engine.port import Tensors
from inference_node.engine.registry import Registry
from inference_node.own.engine import OwnEngine
from inference_node.own.folder import Stored, look
from shared.errors import InvalidInputError, VisemeError
from shared.telemetry.logging import get_logger

_BACKOFF_S: Final = 2.0
_LONGEST_S: Final = 60.0
_LOG: Final = get_logger(__name__)


class Networks(Protocol):
    """Where networks are loaded."""

    async def add(self, name: str) -> None:
        """Load one more, and keep it loaded."""
        ...

    async def drop(self, name: str) -> None:
        """Let it go."""
        ...


@dataclass(slots=True)
class _Refused:
    digest: str
    times: int
    again_at: float


class Shelf:
    """Looks at the folder now and then: what is new becomes an engine once its network answers, what is gone is none.

    Args:
        folder: The folder.
        registry: The node's engines.
        tensors: Where engines run their networks.
        networks: Where networks are loaded.
        period_s: Seconds between two looks.
    """

    def __init__(
        self, folder: Path, registry: Registry, tensors: Tensors, networks: Networks, *, period_s: float
    ) -> None:
        self._folder = folder
        self._registry = registry
        self._tensors = tensors
        self._networks = networks
        self._period_s = period_s
        self._known: dict[str, Stored] = {}
        self._refused: dict[str, _Refused] = {}
        self._told: set[str] = set()
        self.looked = asyncio.Event()
        """Set after the first look."""

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self.look()
            self.looked.set()
            await asyncio.sleep(self._period_s)

    async def look(self) -> None:
        """Look once."""
        try:
            found, broken = await asyncio.to_thread(look, self._folder)
        except InvalidInputError as error:
            self._tell(str(self._folder), error.message)
            return
        for one in broken:
            self._tell(str(one.folder), one.words)
        for name, known in list(self._known.items()):
            if name not in found or found[name].digest != known.digest:
                await self._drop(known)
        for name, stored in found.items():
            if name not in self._known:
                await self._add(stored)

    async def _add(self, stored: Stored) -> None:
        name = stored.card.name
        refused = self._refused.get(name)
        if refused is not None and refused.digest == stored.digest and time.monotonic() < refused.again_at:
            return
        if name in self._registry.engines:
            self._tell(str(stored.folder), "an engine that comes with viseme has its name")
            return
        try:
            await self._networks.add(stored.card.model)
        except VisemeError as error:
            times = refused.times + 1 if refused is not None and refused.digest == stored.digest else 0
            again_at = time.monotonic() + min(_BACKOFF_S * 2**times, _LONGEST_S)
            self._refused[name] = _Refused(stored.digest, times, again_at)
            self._tell(f"{stored.folder} {stored.digest}", f"its network does not load ({error.message})")
            return
        self._refused.pop(name, None)
        self._known[name] = stored
        self._registry.add(OwnEngine(self._tensors, stored.card, digest=stored.digest))
        _LOG.info("an engine of the user's own is ready", engine=name, licence=stored.card.licence)

    async def _drop(self, stored: Stored) -> None:
        name = stored.card.name
        self._known.pop(name)
        self._registry.remove(name)
        await self._networks.drop(stored.card.model)
        _LOG.info("an engine of the user's own is gone", engine=name)

    def _tell(self, what: str, words: str) -> None:
        """Say once what is wrong with something."""
        if f"{what}: {words}" not in self._told:
            self._told.add(f"{what}: {words}")
            _LOG.warning("not taken from the folder of own networks", what=what, reason=words)
