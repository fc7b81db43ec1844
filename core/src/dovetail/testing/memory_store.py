"""`MemoryStore`: a data store in memory, for tests."""

from __future__ import annotations

import contextlib
import io
import os
import threading
import time
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal
from weakref import WeakValueDictionary

from dovetail.interfaces.datastore import (
    Body,
    Buffer,
    ByteRange,
    DataStore,
    DataStoreCapability,
    GetResult,
    ObjectInfo,
    check_key,
)
from dovetail.interfaces.errors import (
    AlreadyExistsError,
    NotFoundError,
    PreconditionError,
    UnsupportedOperationError,
    UsageError,
)

if TYPE_CHECKING:
    from typing_extensions import Self

    from dovetail.interfaces.context import PluginContext

__all__ = ["MemoryStore"]

_SCHEME = "memory://"


@dataclass(slots=True)
class _Object:
    data: bytearray
    modified: float
    version: int
    grows: bool = False
    metadata: dict[str, str] = field(default_factory=dict)


class _Contents:
    """What the handles of one store share."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.lock = threading.RLock()
        self.objects: dict[str, _Object] = {}
        self.versions = 0


_STORES: WeakValueDictionary[str, _Contents] = WeakValueDictionary()


class MemoryStore(DataStore):
    """Objects in this process's memory; gone with the last handle.

    It behaves as a store must and does nothing beyond that, so it also serves as the model in tests of others. There
    are no files, so `LOCAL_PATH` is not declared.

    Args:
        name: Handles of one name show the same objects; None: a store of its own.
        clock: The store's clock, seconds since the epoch.
    """

    capabilities: ClassVar[DataStoreCapability] = (
        DataStoreCapability.APPEND | DataStoreCapability.STAGE | DataStoreCapability.COPY
    )

    def __init__(self, name: str | None = None, *, clock: Callable[[], float] = time.time) -> None:
        self.name = os.urandom(8).hex() if name is None else name
        """What the URL names."""
        contents = _STORES.get(self.name)
        if contents is None:
            contents = _STORES[self.name] = _Contents(clock)
        self._contents = contents

    @classmethod
    def open(cls, target: str, settings: Any, ctx: PluginContext) -> Self:
        """Open the store of a name, as a `memory://name` URL or bare; empty: the instance's name."""
        return cls(target.removeprefix(_SCHEME) or ctx.instance)

    @property
    def url(self) -> str:
        return _SCHEME + self.name

    def __repr__(self) -> str:
        return f"MemoryStore({self.name!r})"

    def put(
        self,
        key: str,
        body: Body,
        *,
        mode: Literal["create", "overwrite"] = "create",
        metadata: Mapping[str, str] | None = None,
    ) -> ObjectInfo:
        if mode not in ("create", "overwrite"):
            raise UsageError(f"{mode!r} is not a mode of put", hint="Use create or overwrite.")
        check_key(key)
        data = _bytes(body)
        with self._contents.lock:
            if mode == "create" and key in self._contents.objects:
                raise AlreadyExistsError(f"{key} exists already")
            return self._set(key, data, metadata)

    def get(self, key: str, *, byte_range: ByteRange | None = None) -> GetResult:
        with self._contents.lock:
            found = self._find(key)
            data, info = bytes(found.data), self._info(key, found)
        begin, end = (0, len(data)) if byte_range is None else byte_range
        if begin < 0 or end < begin:
            raise UsageError(f"({begin}, {end}) is not a byte range")
        piece = data[begin:end]
        return GetResult(info, io.BytesIO(piece), len(piece))

    def head(self, key: str) -> ObjectInfo:
        with self._contents.lock:
            return self._info(key, self._find(key))

    def refresh(self, key: str) -> ObjectInfo:
        with self._contents.lock:
            found = self._find(key)
            found.modified = self._contents.clock()
            return self._info(key, found)

    def scan(self, prefix: str = "", *, after: str | None = None) -> Iterator[ObjectInfo]:
        with self._contents.lock:
            keys = sorted(key for key in self._contents.objects if key.startswith(prefix))
        return self._scan(keys[bisect_right(keys, after) if after is not None else 0 :])

    def _scan(self, keys: Sequence[str]) -> Iterator[ObjectInfo]:
        for key in keys:
            with contextlib.suppress(NotFoundError):
                yield self.head(key)

    def delete(self, keys: Iterable[str], *, not_modified_since: float | None = None) -> None:
        for key in keys:
            check_key(key)
            with self._contents.lock:
                found = self._contents.objects.get(key)
                if found is not None and (not_modified_since is None or found.modified <= not_modified_since):
                    del self._contents.objects[key]

    def copy(self, src: str, dst: str) -> ObjectInfo:
        """Copy inside the store; create-only."""
        with self._contents.lock:
            found = self._find(src)
            return self.put(dst, bytes(found.data), metadata=found.metadata)

    def append(self, key: str, body: Buffer | Sequence[Buffer]) -> int:
        """Add bytes at the end of an object, which begins empty; the new end offset."""
        check_key(key)
        data = _bytes(body)
        with self._contents.lock:
            found = self._contents.objects.get(key)
            if found is None:
                self._set(key, b"", None)
                found = self._contents.objects[key]
                found.grows = True
            elif not found.grows:
                raise PreconditionError(f"{key} was written whole; nothing can be appended to it")
            found.data += data
            found.modified = self._contents.clock()
            return len(found.data)

    def sync(self, keys: Iterable[str]) -> None:
        """Nothing survives a power cut here; only checks that the keys exist."""
        for key in keys:
            self.head(key)

    @contextlib.contextmanager
    def stage(self) -> Iterator[_StagedBytes]:
        """Begin an object whose name is not known yet; leaving without `commit` drops it."""
        staged = _StagedBytes(self)
        try:
            yield staged
        finally:
            staged.open = False

    def presign(self, key: str, *, method: Literal["GET", "PUT"], expires: float) -> str:
        """Not possible in memory: `PRESIGN` is not declared."""
        raise UnsupportedOperationError("a store in memory can't make URLs for others")

    def local_path(self, key: str) -> Path:
        """Not possible in memory: `LOCAL_PATH` is not declared."""
        raise UnsupportedOperationError("a store in memory has no files")

    def _find(self, key: str) -> _Object:
        check_key(key)
        try:
            return self._contents.objects[key]
        except KeyError:
            raise NotFoundError(f"{key} is not in {self.url}") from None

    def _set(self, key: str, data: bytes, metadata: Mapping[str, str] | None) -> ObjectInfo:
        contents = self._contents
        contents.versions += 1
        made = contents.objects[key] = _Object(
            bytearray(data), contents.clock(), contents.versions, metadata=dict(metadata or {})
        )
        return self._info(key, made)

    def _info(self, key: str, found: _Object) -> ObjectInfo:
        return ObjectInfo(
            key=key,
            size=len(found.data),
            modified=found.modified,
            now=self._contents.clock(),
            etag=f"{found.version}-{len(found.data)}",
            metadata=dict(found.metadata),
        )


class _StagedBytes:
    """An object that has no name yet."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._data = bytearray()
        self.open = True

    def write(self, body: Buffer) -> None:
        """Add bytes at the end."""
        self.write_at(len(self._data), body)

    def write_at(self, offset: int, body: Buffer) -> None:
        """Write bytes at an offset; what is skipped reads as zeros."""
        self._check_open()
        view = memoryview(body).cast("B")
        if len(self._data) < offset:
            self._data.extend(bytes(offset - len(self._data)))
        self._data[offset : offset + len(view)] = view

    def commit(self, key: str, *, metadata: Mapping[str, str] | None = None) -> ObjectInfo:
        """Give the object its name, create-only."""
        self._check_open()
        self.open = False
        return self._store.put(key, self._data, metadata=metadata)

    def _check_open(self) -> None:
        if not self.open:
            raise UsageError("this staged object was committed or dropped", hint="Call stage() for another one.")


def _bytes(body: Body) -> bytes:
    if isinstance(body, os.PathLike):
        return Path(body).read_bytes()
    if isinstance(body, (bytes, bytearray, memoryview)):
        return bytes(body)
    return b"".join(memoryview(piece).cast("B") for piece in body)
