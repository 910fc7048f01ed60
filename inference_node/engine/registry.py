"""The engines of a node, by name."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from inference_node.engine.port import Engine, Tensors
from shared.errors import ConflictError, NotFoundError

DEFAULT_ENGINE = "viseme"
MODEL_REPOSITORY: Final = Path(__file__).resolve().parents[1] / "model_repository"
"""The networks of the engines that come with viseme."""

EngineFactory = Callable[[Tensors], Engine]


class Registry:
    """Engines that are ready to work; those that users own come and go.

    Args:
        engines: By name.
        default: The one that is taken where none is named.
    """

    def __init__(self, engines: Mapping[str, Engine], *, default: str) -> None:
        self._engines = dict(engines)
        self.default = default

    @property
    def engines(self) -> Mapping[str, Engine]:
        """All of them, by name."""
        return self._engines

    def add(self, engine: Engine) -> None:
        """One more is ready.

        Raises:
            ConflictError: there is one of its name.
        """
        if engine.card.name in self._engines:
            raise ConflictError(f"There is an engine {engine.card.name!r} already.", field="name")
        self._engines[engine.card.name] = engine

    def remove(self, name: str) -> None:
        """One is no more; jobs that are at work keep it to their end."""
        self._engines.pop(name, None)

    def get(self, name: str) -> Engine:
        """Find an engine; an empty name means the default.

        Raises:
            NotFoundError: there is none of this name.
        """
        engine = self.engines.get(name or self.default)
        if engine is None:
            known = ", ".join(sorted(self.engines))
            raise NotFoundError(f"There is no engine {name[:64]!r} here; there are: {known}.", field="options.engine")
        return engine

    @property
    def models(self) -> tuple[str, ...]:
        """Every network that the engines use, once."""
        return tuple(dict.fromkeys(model for engine in self.engines.values() for model in engine.card.models))


def registry(factories: Mapping[str, EngineFactory], tensors: Tensors, *, default: str = DEFAULT_ENGINE) -> Registry:
    """Make every engine on the given tensors."""
    return Registry({name: make(tensors) for name, make in factories.items()}, default=default)


def builtin_engines() -> dict[str, EngineFactory]:
    """The engines that come with viseme."""
    from inference_node.engine.viseme import VisemeEngine  # noqa: PLC0415 - engines are loaded where they are used
    from inference_node.engine.warp import WarpEngine  # noqa: PLC0415

    return {DEFAULT_ENGINE: VisemeEngine, "warp": WarpEngine}
