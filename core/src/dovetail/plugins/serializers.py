"""Serializers of plugins, imported only when a value of one of their types appears."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dovetail.interfaces.artifacts import LazyFrame, SerializedValue, Serializer

if TYPE_CHECKING:
    from dovetail.plugins.descriptors import Spec
    from dovetail.plugins.extensions import SerializerSpec

__all__ = ["DeferredSerializer", "deferred"]


def deferred(specs: Iterable[Spec]) -> list[Serializer]:
    """A stand-in for each serializer."""
    from dovetail.plugins.extensions import SerializerSpec

    return [
        DeferredSerializer(spec.name, spec.factory, spec.types, spec.requires)
        for spec in specs
        if isinstance(spec, SerializerSpec)
    ]


class DeferredSerializer(Serializer):
    """Stands for a serializer that is not imported yet.

    Args:
        id: Its id.
        factory: `module:Class` that makes it.
        types: Qualified names of the classes whose values, those of subclasses included, it writes. Without any it
            is used where it is chosen by its id.
        requires: Modules without which it can't be imported.
        replaceable: Whether it leaves its values to another serializer where one of these is missing.
    """

    def __init__(
        self,
        id: str,
        factory: str,
        types: Iterable[str],
        requires: tuple[str, ...] = (),
        *,
        replaceable: bool = False,
    ) -> None:
        self.id = id  # type: ignore[misc]  # A class variable of the contract; here one class stands for many.
        self._factory = factory
        self._types = frozenset(types)
        self._requires = requires
        self._replaceable = replaceable
        self._real: Serializer | None = None

    @property
    def real(self) -> Serializer:
        """The serializer itself; imports it."""
        real = self._real
        if real is None:
            real = self._real = self._load()
        return real

    def _load(self) -> Serializer:
        from dovetail.plugins.loading import load

        real: Serializer = load(self._spec())()
        return real

    @property
    def safe(self) -> bool:  # type: ignore[override]
        """Whether `load` can't run code."""
        return self.real.safe

    @property
    def partial(self) -> bool:  # type: ignore[override]
        """Whether `load_rows` works."""
        return self.real.partial

    def matches(self, kind: type) -> bool:
        """Whether a class is, or inherits from, one that the descriptor names. Imports nothing."""
        if not any(f"{base.__module__}.{base.__qualname__}" in self._types for base in kind.__mro__):
            return False
        return not (self._replaceable and self._is_incomplete())

    def _is_incomplete(self) -> bool:
        from dovetail.plugins.loading import missing_imports

        return bool(missing_imports(self._spec()))

    def _spec(self) -> SerializerSpec:
        from dovetail.plugins.extensions import SerializerSpec

        return SerializerSpec(name=self.id, factory=self._factory, requires=self._requires)

    def accepts(self, value: object) -> bool:
        """Whether the value's class matches and the serializer agrees."""
        return (not self._types or self.matches(type(value))) and self.real.accepts(value)

    def dump(self, value: Any) -> SerializedValue:
        """Write a value."""
        return self.real.dump(value)

    def load(self, header: bytes, frames: Sequence[memoryview]) -> Any:
        """Read a value back."""
        return self.real.load(header, frames)

    def describe(self, header: bytes) -> Mapping[str, Any]:
        """What the header tells."""
        return self.real.describe(header)

    def count_rows(self, header: bytes, frames: Sequence[LazyFrame]) -> int | None:
        """How many rows there are."""
        return self.real.count_rows(header, frames)

    def load_rows(self, header: bytes, frames: Sequence[LazyFrame], start: int, stop: int) -> Any:
        """Read rows."""
        return self.real.load_rows(header, frames, start, stop)
