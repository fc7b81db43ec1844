"""`DataStore`: flat keys to bytes, with atomic create-only writes."""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, ClassVar, Literal, Protocol, TypeAlias, runtime_checkable

from dovetail.interfaces.dataclass import dataclass

if TYPE_CHECKING:
    from typing_extensions import Self

    from dovetail.interfaces.context import PluginContext

__all__ = [
    "ABILITY_METHODS",
    "Body",
    "Buffer",
    "ByteRange",
    "DataStore",
    "DataStoreCapability",
    "GetResult",
    "ObjectInfo",
    "Staged",
    "SupportsAppend",
    "SupportsCopy",
    "SupportsLocalPath",
    "SupportsPresign",
    "SupportsStage",
    "check_key",
]

Buffer: TypeAlias = bytes | bytearray | memoryview
"""Bytes in memory."""
Body: TypeAlias = Buffer | Sequence[Buffer] | Path
"""What `put` writes: one buffer, several to be joined, or a file."""
ByteRange: TypeAlias = tuple[int, int]
"""(first byte, end), end exclusive; an end past the object's is cut to it."""
ABILITY_METHODS = ("presign", "copy", "local_path", "append", "sync", "stage")
"""Methods that a store has only with a capability."""


def check_key(key: str) -> None:
    """Raise UsageError unless `key` is one that a data store takes."""
    parts = key.split("/")
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        size = 0
    if not 0 < size <= 1024 or {"", ".", ".."}.intersection(parts):
        from dovetail.interfaces.errors import UsageError

        raise UsageError(
            f"{key[:100]!r} is not a key of a data store",
            hint="Keys are relative and look like runs/x/run.json, at most 1,024 bytes.",
        )


class DataStoreCapability(enum.Flag):
    """Abilities beyond the abstract methods; each has a protocol of its own below."""

    NONE = 0
    PRESIGN = enum.auto()
    COPY = enum.auto()
    LOCAL_PATH = enum.auto()
    APPEND = enum.auto()
    STAGE = enum.auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectInfo:
    """What a store knows of an object without reading it."""

    key: str
    """The object's key."""
    size: int
    """Bytes."""
    modified: float
    """Time of the last write or refresh, seconds since the epoch by the store's own clock."""
    now: float
    """The store's own clock when it answered; `now - modified` is an age free of clock skew."""
    etag: str = ""
    """Changes whenever the content does; opaque."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """What `put` was given; may be empty in results of `scan`."""


class GetResult:
    """An object, or a range of it, ready to be read once.

    Args:
        info: The whole object's info.
        stream: A binary file object at the first byte of the range; closed with the result.
        length: Bytes that the range holds.
    """

    __slots__ = ("info", "length", "stream")

    def __init__(self, info: ObjectInfo, stream: IO[bytes], length: int) -> None:
        self.info = info
        self.stream = stream
        self.length = length

    def read(self) -> bytes:
        """All bytes of the range; closes the result."""
        with self:
            return self.stream.read(self.length)

    def readinto(self, buffer: bytearray | memoryview) -> int:
        """Fill a caller's buffer of at least `length` bytes; the bytes written. Closes the result."""
        target = memoryview(buffer).cast("B")[: self.length]
        done = 0
        with self:
            while done < self.length:
                count = self.stream.readinto(target[done:])  # type: ignore[attr-defined]
                if not count:
                    break
                done += count
        return done

    def chunks(self, size: int = 1 << 20) -> Iterator[bytes]:
        """The bytes in pieces of at most `size`; closes the result at the end."""
        left = self.length
        with self:
            while left > 0 and (piece := self.stream.read(min(size, left))):
                left -= len(piece)
                yield piece

    def save(self, path: Path) -> None:
        """Write the bytes to a file."""
        with path.open("wb") as file:
            for piece in self.chunks():
                file.write(piece)

    def close(self) -> None:
        """Release the connection or file."""
        self.stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class DataStore(ABC):
    """Flat, `/`-separated keys to bytes. Knows nothing of flows.

    Synchronous and thread-safe; opened after any fork and never passed between processes.
    Keys are relative: no leading or doubled `/`, no `.` or `..` part, at most 1,024 bytes of UTF-8. Any other raises
    `UsageError` and changes nothing (`check_key` does that); keys that differ, also in case alone, are different.
    What a call has written or deleted, every later call sees, through any handle in any process.
    Where nothing may be written, writing raises `StoreReadOnlyError` or `PermissionDeniedError`.
    No secret is in the `repr`, the `url`, an error or a log.
    """

    capabilities: ClassVar[DataStoreCapability] = DataStoreCapability.NONE
    """Abilities that this class implements; a method of one that is not declared is left out or raises
    `UnsupportedOperationError`."""

    @classmethod
    @abstractmethod
    def open(cls, target: str, settings: Any, ctx: PluginContext) -> Self:
        """Open the store at `target` (a URL or path).

        Creates what is missing where that is the backend's business (a folder), never a bucket.
        """

    def close(self) -> None:
        """Release what the store holds. Idempotent."""
        return

    @property
    @abstractmethod
    def url(self) -> str:
        """Where the store is, without credentials; `open` accepts it again."""

    @abstractmethod
    def put(
        self,
        key: str,
        body: Body,
        *,
        mode: Literal["create", "overwrite"] = "create",
        metadata: Mapping[str, str] | None = None,
    ) -> ObjectInfo:
        """Write an object whole or not at all: also when `body` breaks off or the process dies, nobody sees a part.

        With `create`, of any number of writers exactly one wins. With `overwrite`, readers get the old object or the
        new one.

        Raises:
            AlreadyExistsError: `mode` is `create` and the key exists. Nothing was changed.
            StoreFullError: No room. Nothing was changed.
        """

    @abstractmethod
    def get(self, key: str, *, byte_range: ByteRange | None = None) -> GetResult:
        """Open an object, or a range of it, for reading.

        Raises:
            NotFoundError: There is no such key.
        """

    def get_many(self, requests: Iterable[tuple[str, ByteRange | None]]) -> Iterator[tuple[str, GetResult | None]]:
        """Open many objects, in the order of the requests; None where the key is missing.

        The default reads eight at a time in threads; results are in memory.
        """
        from dovetail.interfaces._pooled import get_many

        return get_many(self, requests)

    @abstractmethod
    def head(self, key: str) -> ObjectInfo:
        """Info of an object.

        Raises:
            NotFoundError: There is no such key.
        """

    @abstractmethod
    def refresh(self, key: str) -> ObjectInfo:
        """Set `modified` to now, so that a collector sees the object as young; nothing else changes.

        Raises:
            NotFoundError: There is no such key.
        """

    @abstractmethod
    def scan(self, prefix: str = "", *, after: str | None = None) -> Iterator[ObjectInfo]:
        """Objects whose key starts with `prefix`, sorted by the key's code points, lazily.

        Each is told once. What is written or deleted meanwhile may be told or not; whatever stays is.

        Args:
            prefix: A plain string prefix; need not end at a `/`.
            after: Start behind this key, which need not exist.
        """

    @abstractmethod
    def delete(self, keys: Iterable[str], *, not_modified_since: float | None = None) -> None:
        """Delete objects; missing keys are no error.

        Args:
            keys: What to delete.
            not_modified_since: Leave alone what was modified later than this, by the store's clock.
        """


@runtime_checkable
class SupportsPresign(Protocol):
    """`DataStoreCapability.PRESIGN`."""

    def presign(self, key: str, *, method: Literal["GET", "PUT"], expires: float) -> str:
        """A URL that allows one method on one key for `expires` seconds. The URL is a secret."""
        ...


@runtime_checkable
class SupportsCopy(Protocol):
    """`DataStoreCapability.COPY`."""

    def copy(self, src: str, dst: str) -> ObjectInfo:
        """Copy inside the store, metadata included, without the bytes passing through this process; create-only.

        Raises:
            NotFoundError: There is no `src`.
            AlreadyExistsError: There is a `dst`.
        """
        ...


@runtime_checkable
class SupportsLocalPath(Protocol):
    """`DataStoreCapability.LOCAL_PATH`."""

    def local_path(self, key: str) -> Path:
        """The file that holds the object; read-only, may be memory-mapped.

        Whoever has mapped or opened it keeps reading it when the object is deleted or overwritten.

        Raises:
            NotFoundError: There is no such key.
        """
        ...


@runtime_checkable
class SupportsAppend(Protocol):
    """`DataStoreCapability.APPEND`. One writer a key; readers may read what is there."""

    def append(self, key: str, body: Buffer | Sequence[Buffer]) -> int:
        """Add bytes at the end of an object, which begins empty; the new end offset.

        Kill-durable when it returns: it survives a kill -9 of this process, not a power cut, and every handle reads it.

        Raises:
            PreconditionError: The object was written by `put`.
        """
        ...

    def sync(self, keys: Iterable[str]) -> None:
        """Make these objects power-durable (fsync, their folders included), however they were written.

        Raises:
            NotFoundError: One of them does not exist.
        """
        ...


class Staged(Protocol):
    """An object that is being written and has no name yet."""

    def write(self, body: Buffer) -> None:
        """Add bytes at the end."""
        ...

    def write_at(self, offset: int, body: Buffer) -> None:
        """Write bytes at an offset, which may lie past the end; what is skipped reads as zeros."""
        ...

    def commit(self, key: str, *, metadata: Mapping[str, str] | None = None) -> ObjectInfo:
        """Give the object its name, create-only and atomically.

        Raises:
            AlreadyExistsError: The key exists; the staged bytes are dropped.
        """
        ...


@runtime_checkable
class SupportsStage(Protocol):
    """`DataStoreCapability.STAGE`."""

    def stage(self) -> AbstractContextManager[Staged]:
        """Begin an object whose name is not known yet; leaving without `commit` drops it."""
        ...
