"""Copies objects from one data store to another."""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, cast

from dovetail.artifacts.layout import object_digest, object_key
from dovetail.artifacts.store import ArtifactStore
from dovetail.artifacts.upkeep.checking import check_object
from dovetail.artifacts.upkeep.edges import edges_of, owners_of
from dovetail.interfaces.datastore import DataStoreCapability, SupportsLocalPath
from dovetail.interfaces.errors import AlreadyExistsError, CorruptDataError, NotFoundError

if TYPE_CHECKING:
    from dovetail.interfaces.datastore import DataStore

__all__ = ["copy_object"]

_IN_MEMORY = 8 << 20


def copy_object(source: DataStore, target: DataStore, digest: bytes, *, replace: bool = False) -> int:
    """Copy an object and those that hold parts of it; bytes that were written.

    Idempotent: what the target has with the same size stays, made young enough to be left alone by a collector. What
    is written is read back and checked, and what is not sound does not stay: the next copy would take it for whole.

    Args:
        source: Where it is.
        target: Where it shall be.
        digest: Its name.
        replace: Write it though the target has it: that one is damaged.

    Raises:
        NotFoundError: The source does not have it.
        CorruptDataError: The source's is damaged.
        StoreFullError: No room. The target is as it was.
    """
    key = object_key(digest)
    size = source.head(key).size
    if not replace and _is_there(target, key, size):
        return 0
    written = 0
    for owner in owners_of(source, digest):
        written += copy_object(source, target, owner)
        _put_edge(target, edges_of(digest) + owner.hex())
    # What is not of this machine has to be fetched twice for it. That is worth it where something is replaced, whose
    # sound parts others may hold.
    if replace or source.capabilities & DataStoreCapability.LOCAL_PATH:
        check_object(source, key)
    with TemporaryDirectory(prefix="dovetail-copy-") as folder:
        try:
            target.put(key, _body(source, key, size, folder), mode="overwrite" if replace else "create")
        except AlreadyExistsError:
            # Written meanwhile by someone else, or there with another size: cut short.
            if not _is_there(target, key, size):
                target.put(key, _body(source, key, size, folder), mode="overwrite")
    try:
        check_object(target, key)
    except CorruptDataError:
        target.delete([key])
        raise
    return written + size


def _is_there(store: DataStore, key: str, size: int) -> bool:
    try:
        if store.head(key).size != size:
            return False
    except NotFoundError:
        return False
    return ArtifactStore({"": store}).renew("", object_digest(key))


def _put_edge(store: DataStore, key: str) -> None:
    try:
        store.put(key, b"")
    except AlreadyExistsError:
        try:
            store.refresh(key)
        except NotFoundError:  # collected just now
            store.put(key, b"", mode="overwrite")


def _body(source: DataStore, key: str, size: int, folder: str) -> bytes | Path:
    if source.capabilities & DataStoreCapability.LOCAL_PATH:
        return cast(SupportsLocalPath, source).local_path(key)
    with source.get(key) as found:
        if size <= _IN_MEMORY:
            return found.stream.read(size)
        path = Path(folder, "object")
        with path.open("wb") as file:
            shutil.copyfileobj(found.stream, file, 1 << 20)
        return path
