"""Writes and reads values as tests of serializers do: in memory, with frames that belong to the reader."""

from __future__ import annotations

from typing import Any

from dovetail.artifacts.identity import digest_of
from dovetail.artifacts.serializers.registry import SerializerRegistry
from dovetail.interfaces.artifacts import SerializedValue

REGISTRY = SerializerRegistry()


def back(written: SerializedValue) -> Any:
    """The value, from copies of the frames."""
    frames = [memoryview(bytearray(frame)) for frame in written.frames]
    return REGISTRY.by_id(written.serializer).load(written.header, frames)


def round_trip(value: Any, serializer: str) -> Any:
    """The value after it was written, by the serializer that must have been chosen, and read."""
    written = REGISTRY.serialize(value)
    assert written.serializer == serializer
    assert REGISTRY.by_id(serializer).safe
    return back(written)


def digest(value: Any) -> str:
    """Identity of a value."""
    return digest_of(REGISTRY.serialize(value)).hex()


def describe(value: Any) -> dict[str, Any]:
    """What the header of a value tells."""
    written = REGISTRY.serialize(value)
    return dict(REGISTRY.by_id(written.serializer).describe(written.header))


class CountedFrame:
    """A lazy frame that counts what is read."""

    def __init__(self, content: Any) -> None:
        self.content = bytes(memoryview(content).cast("B"))
        self.read_bytes = 0

    @property
    def length(self) -> int:
        return len(self.content)

    def read(self, begin: int, end: int) -> memoryview:
        self.read_bytes += end - begin
        return memoryview(bytearray(self.content[begin:end]))


def rows(value: Any, start: int, stop: int) -> tuple[Any, int]:
    """Rows of a value, and how many bytes were read for them."""
    written = REGISTRY.serialize(value)
    serializer = REGISTRY.by_id(written.serializer)
    assert serializer.partial
    frames = [CountedFrame(frame) for frame in written.frames]
    found = serializer.load_rows(written.header, frames, start, stop)
    return found, sum(frame.read_bytes for frame in frames)
