"""An object file as one piece of memory, mapped where that pays: for what reads it here and there."""

from __future__ import annotations

import mmap
import sys
from typing import TYPE_CHECKING, Any, cast
from weakref import WeakSet

from dovetail.interfaces.datastore import DataStoreCapability, SupportsLocalPath
from dovetail.interfaces.errors import NotFoundError

if TYPE_CHECKING:
    from dovetail.interfaces.datastore import DataStore

__all__ = ["MAPPINGS", "MAP_FROM", "open_object"]

MAP_FROM = 1 << 20
"""Object files of at least this many bytes are memory-mapped where the store has local files."""
MAPPINGS = 256
"""Live mappings at most; each holds a file descriptor before Python 3.13."""

_mappings: WeakSet[mmap.mmap] = WeakSet()


def open_object(store: DataStore, key: str) -> memoryview:
    """A private, writable view of an object: mapped copy-on-write where it is large and a local file, else a copy.

    Raises:
        NotFoundError: There is no such key.
    """
    if store.capabilities & DataStoreCapability.LOCAL_PATH and len(_mappings) < MAPPINGS:
        path = cast(SupportsLocalPath, store).local_path(key)
        try:
            with open(path, "rb") as file:
                size = file.seek(0, 2)
                if size >= MAP_FROM:
                    # Private: what a task writes to its arrays stays in its own memory.
                    options: dict[str, Any] = {"trackfd": False} if sys.version_info >= (3, 13) else {}
                    mapping = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_COPY, **options)
                    _mappings.add(mapping)
                    return memoryview(mapping)
        except FileNotFoundError as error:
            raise NotFoundError(f"{key} is not in {store.url}") from error
        except OSError:  # no descriptors or mappings are left; or it can't be read, which the store tells below
            pass
    result = store.get(key)
    buffer = bytearray(result.length)
    count = result.readinto(buffer)
    return memoryview(buffer)[:count]
