"""`bytes`: the bytes themselves as one frame, no header."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from dovetail.interfaces.artifacts import SerializedValue, Serializer

__all__ = ["BytesSerializer"]


class BytesSerializer(Serializer):
    """Exact `bytes`."""

    id: ClassVar[str] = "bytes"

    def accepts(self, value: object) -> bool:
        return type(value) is bytes

    def dump(self, value: Any) -> SerializedValue:
        return SerializedValue(self.id, b"", [value], "bytes")

    def load(self, header: bytes, frames: Sequence[memoryview]) -> Any:
        return bytes(frames[0])
