"""`bytes`: the bytes themselves as one frame, no header."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from dovetail.interfaces.artifacts import LazyFrame, SerializedValue, Serializer

__all__ = ["BytesSerializer"]


class BytesSerializer(Serializer):
    """Exact `bytes`."""

    id: ClassVar[str] = "bytes"
    partial: ClassVar[bool] = True

    def accepts(self, value: object) -> bool:
        return type(value) is bytes

    def dump(self, value: Any) -> SerializedValue:
        return SerializedValue(self.id, b"", [value], "bytes")

    def load(self, header: bytes, frames: Sequence[memoryview]) -> Any:
        return bytes(frames[0])

    def count_rows(self, header: bytes, frames: Sequence[LazyFrame]) -> int | None:
        return frames[0].length

    def load_rows(self, header: bytes, frames: Sequence[LazyFrame], start: int, stop: int) -> Any:
        return bytes(frames[0].read(start, stop))
