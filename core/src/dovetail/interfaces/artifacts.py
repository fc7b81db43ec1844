"""References to stored values, and the contract that serializers implement."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol

from dovetail.interfaces.dataclass import dataclass

__all__ = [
    "INLINE_LIMIT",
    "RECORD_LIMIT",
    "ArtifactRef",
    "DeclinedError",
    "InlinePlace",
    "LazyFrame",
    "ObjectPlace",
    "PackPlace",
    "Place",
    "RecordPlace",
    "SerializedValue",
    "Serializer",
]

INLINE_LIMIT = 128
"""A packed value of at most this many bytes travels inside its reference."""
RECORD_LIMIT = 64 * 1024
"""A packed value of at most this many bytes lives in its commit record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InlinePlace:
    """The value is in the reference itself."""

    data: bytes
    """The packed value (see `dovetail.artifacts`), at most `INLINE_LIMIT` bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordPlace:
    """The value lives and dies with a commit record."""

    store: str
    """UUID of the data store that holds the record."""
    run: str
    """Run id."""
    path: str
    """Path of the task whose record holds the value."""
    call_digest: bytes
    """Digest of the task call of that record, 32 bytes."""
    name: str
    """Name of the output in the record."""
    at: tuple[str, int, int] | None = None
    """(key, byte offset, length) of the packed value where known: saves the look-up, is never needed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectPlace:
    """The value is the object named by the reference's digest."""

    store: str
    """UUID of the data store."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PackPlace:
    """The value is small and lies with others in one object: what a step with a data store of its own leaves."""

    store: str
    """UUID of the data store."""
    pack: bytes
    """Digest that names the object, 32 bytes."""
    offset: int
    """Byte offset of the packed value in the object."""
    length: int
    """Bytes of the packed value."""


Place = InlinePlace | RecordPlace | ObjectPlace | PackPlace


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactRef:
    """What a value is (digest, size, serializer) and where its bytes are."""

    digest: bytes
    """Identity of the value, 32 bytes of BLAKE3; the same value has the same digest wherever it is kept."""
    size: int
    """Bytes of all its frames together, uncompressed."""
    serializer: str
    """Id of the serializer that wrote it, such as `json` or `pickle`."""
    place: Place
    """Where the bytes are."""
    type: str = ""
    """Qualified name of the value's Python type, for listings; not part of the identity."""


@dataclass(frozen=True, slots=True)
class SerializedValue:
    """A value as a serializer writes it."""

    serializer: str
    """Id of the serializer."""
    header: bytes
    """What the serializer needs to read the frames; counts in the identity, so it must be deterministic."""
    frames: Sequence[memoryview | bytes]
    """The bytes; kept apart so that large buffers are neither copied nor joined."""
    type: str
    """Qualified name of the Python type."""
    raw: bool = False
    """Whether the frames are wanted as they are in memory, so that they can be mapped: they are not compressed where
    a store has local files."""
    kin: str = ""
    """What versions of one value have in common, such as `float64[*,128]`: a hint where to look for bytes that are
    stored already, never part of the identity."""


class DeclinedError(Exception):
    """Raised by `Serializer.dump` for a value that turns out to hold what would not read back equal.

    It is no failure: whichever serializer accepts the value next is asked, `pickle` at last.
    """


class LazyFrame(Protocol):
    """A stored frame of which nothing is read yet."""

    @property
    def length(self) -> int:
        """Its bytes."""
        ...

    def read(self, begin: int, end: int) -> memoryview:
        """Bytes `begin` to `end`, verified, writable and the caller's own."""
        ...


class Serializer(ABC):
    """Turns one family of Python values into a header and frames, and back.

    Stateless and thread-safe. The same value must give the same bytes in every process: the header in one form only
    (sorted JSON, without library versions), the frames without what a value's history leaves in memory, such as the
    chunks or padding of its source.
    """

    id: ClassVar[str]
    """Stable name, stored with every value; never reused for another format."""
    safe: ClassVar[bool] = True
    """Whether `load` can't run code that the bytes bring along."""
    partial: ClassVar[bool] = False
    """Whether `load_rows` works, for values that `count_rows` gives a number for."""

    @abstractmethod
    def accepts(self, value: object) -> bool:
        """Whether this serializer can write `value` so that it reads back equal. Quick; `dump` looks closer."""

    @abstractmethod
    def dump(self, value: Any) -> SerializedValue:
        """Write `value`. Frames may borrow its memory.

        Raises:
            DeclinedError: It holds something that would not read back equal.
        """

    @abstractmethod
    def load(self, header: bytes, frames: Sequence[memoryview]) -> Any:
        """Read a value back.

        The frames are verified already and belong to this call alone: a value may keep them and write to them, which
        never reaches the store. Large ones are memory-mapped copy-on-write.
        """

    def describe(self, header: bytes) -> Mapping[str, Any]:
        """What the header alone tells of a value, as JSON-able data: `rows`, `shape`, `dtype`, `columns`, `files`."""
        return {}

    def count_rows(self, header: bytes, frames: Sequence[LazyFrame]) -> int | None:
        """How many rows `load_rows` can be asked for; None for a value that has none. Reads the header alone."""
        rows: int | None = self.describe(header).get("rows")
        return rows

    def load_rows(self, header: bytes, frames: Sequence[LazyFrame], start: int, stop: int) -> Any:
        """Rows `start` to `stop` of a value, reading little more than these; only where `partial` is set.

        Args:
            header: The header.
            frames: The frames.
            start: First row, from 0.
            stop: Row behind the last one, at least `start` and at most `rows`.
        """
        raise TypeError(f"{self.id} has no rows to read alone")
