"""Serializers of plugins, imported only when a value of one of their types appears."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from dovetail.interfaces.artifacts import SerializedValue, Serializer
from dovetail.plugins.descriptors import Spec
from dovetail.plugins.extensions import SerializerSpec
from dovetail.plugins.loading import load

__all__ = ["DeferredSerializer", "deferred"]


def deferred(specs: Iterable[Spec]) -> list[Serializer]:
    """A stand-in for each serializer."""
    return [DeferredSerializer(spec) for spec in specs if isinstance(spec, SerializerSpec)]


class DeferredSerializer(Serializer):
    """Stands for a serializer that is not imported yet."""

    def __init__(self, spec: SerializerSpec) -> None:
        self.id = spec.name  # type: ignore[misc]  # A class variable of the contract; here one class stands for many.
        self._spec = spec
        self._types = frozenset(spec.types)
        self._real: Serializer | None = None
        self._answers: dict[type, bool] = {}

    @property
    def real(self) -> Serializer:
        """The serializer itself; imports it."""
        real = self._real
        if real is None:
            real = self._real = self._load()
        return real

    def _load(self) -> Serializer:
        real: Serializer = load(self._spec)()
        self.safe = real.safe  # type: ignore[misc]
        return real

    def accepts(self, value: object) -> bool:
        """Whether the value's class is, or inherits from, one that the descriptor names, and the serializer agrees."""
        kind = type(value)
        known = self._answers.get(kind)
        if known is None:
            known = any(f"{base.__module__}.{base.__qualname__}" in self._types for base in kind.__mro__)
            self._answers[kind] = known
        return known and self.real.accepts(value)

    def dump(self, value: Any) -> SerializedValue:
        """Write a value."""
        return self.real.dump(value)

    def load(self, header: bytes, frames: Sequence[memoryview]) -> Any:
        """Read a value back."""
        return self.real.load(header, frames)
