"""Choosing the serializer of one value."""

from __future__ import annotations

from typing import Generic, TypeVar

from dovetail.interfaces.dataclass import dataclass

__all__ = ["Stored"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Stored(Generic[T]):
    """A value and the serializer that stores it: `self.table = Stored(frame, "parquet")`, `return Stored(...)`.

    Whoever loads the artifact gets the value itself.
    """

    value: T
    """The value."""
    serializer: str
    """Id of a serializer, such as `parquet`, `pandas`, `arrow`, `tensors`, `json` or `pickle`."""
