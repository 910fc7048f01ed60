"""The engines of a node, by name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from inference_node.engine.port import Engine, Tensors
from shared.errors import NotFoundError

DEFAULT_ENGINE = "warp"

EngineFactory = Callable[[Tensors], Engine]


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry:
    """Engines that are ready to work.

    Args:
        engines: By name.
        default: The one that is taken where none is named.
    """

    engines: Mapping[str, Engine]
    default: str

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
    return Registry(engines={name: make(tensors) for name, make in factories.items()}, default=default)


def builtin_engines() -> dict[str, EngineFactory]:
    """The engines that come with viseme."""
    from inference_node.engine.warp import WarpEngine  # noqa: PLC0415 - an engine is loaded where it is used

    return {DEFAULT_ENGINE: WarpEngine}
