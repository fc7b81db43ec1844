"""Collects garbage: deletes objects that nothing refers to."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from dovetail.artifacts.layout import MARKER, object_key
from dovetail.artifacts.store import GRACE_SECONDS
from dovetail.artifacts.upkeep.buckets import BUCKETS, Buckets
from dovetail.artifacts.upkeep.edges import digest_in, scan_edges
from dovetail.artifacts.upkeep.marking import mark
from dovetail.interfaces.dataclass import dataclass
from dovetail.interfaces.datastore import DataStoreCapability
from dovetail.interfaces.errors import NotFoundError

if TYPE_CHECKING:
    from dovetail.interfaces.datastore import DataStore

__all__ = ["Collected", "collect"]

_BATCH = 500
"""Keys that are deleted with one call."""
_LOCAL_THREADS = 2
"""Listing files is the interpreter's work: more would wait for each other."""
_REMOTE_THREADS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """What a collection found, and deleted."""

    kept: int = 0
    """Objects that something refers to."""
    kept_bytes: int = 0
    """Their size."""
    young: int = 0
    """Objects that nothing refers to, and that are younger than the grace."""
    young_bytes: int = 0
    """Their size."""
    deleted: int = 0
    """Objects that nothing refers to. One that was reused at the last moment counts, though it was kept."""
    deleted_bytes: int = 0
    """Their size."""
    edges: int = 0
    """Edges of objects that are gone, deleted."""

    def __add__(self, other: Collected) -> Collected:
        return Collected(**{name: getattr(self, name) + getattr(other, name) for name in self.__slots__})

    def to_plain(self) -> dict[str, int]:
        """As JSON-able data."""
        return {name: getattr(self, name) for name in self.__slots__}


def collect(
    store: DataStore,
    *,
    homes: Mapping[str, DataStore] | None = None,
    grace: float = GRACE_SECONDS,
    dry_run: bool = False,
    progress: Callable[[int], None] = lambda _: None,
    threads: int | None = None,
) -> Collected:
    """Delete every object that nothing refers to and that is older than the grace, by the store's own clock.

    Safe beside running flows and other collectors, on any machine: an object must have been old before the marking
    began, and is left alone where it was refreshed since. Killed at any point, nothing that is referred to is lost,
    and the next collection goes on. Memory does not grow with the number of objects.

    Args:
        store: The store.
        homes: Other stores, by uuid, whose runs keep values in it (see `dovetail.artifacts.guests`).
        grace: Seconds. Less than a day is safe only while nothing runs: writers rely on a day.
        dry_run: Delete nothing.
        progress: Called with a number of references or objects that were looked at.
        threads: How many list and delete at a time; by default what suits the store.

    Raises:
        CorruptDataError: Something can't be read, so that nobody knows what it refers to. Nothing was deleted.
    """
    cutoff = store.head(MARKER).now - grace
    lock = threading.Lock()

    def tell(count: int) -> None:
        with lock:
            progress(count)

    local = bool(store.capabilities & DataStoreCapability.LOCAL_PATH)
    with (
        mark(store, cutoff=cutoff, homes=homes, progress=progress) as live,
        ThreadPoolExecutor(threads or (_LOCAL_THREADS if local else _REMOTE_THREADS), "dovetail-gc") as pool,
    ):
        sweeps = [pool.submit(_sweep, store, live, number, cutoff, dry_run, tell) for number in range(BUCKETS)]
        try:
            return sum((sweep.result() for sweep in sweeps), Collected())
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _sweep(
    store: DataStore, live: Buckets, number: int, cutoff: float, dry_run: bool, progress: Callable[[int], None]
) -> Collected:
    """Collect one of the 256 folders."""
    wanted = {entry.hex() for entry in live.read(number)}
    kept = young = deleted = kept_bytes = young_bytes = deleted_bytes = told = 0
    batch: list[str] = []
    for info in store.scan(f"objects/{number:02x}/"):
        key = info.key
        name = key.rpartition("/")[2]
        if name in wanted or digest_in(name) is None:  # what is no object's name is nobody's garbage
            kept += 1
            kept_bytes += info.size
        elif info.modified > cutoff:
            young += 1
            young_bytes += info.size
        else:
            deleted += 1
            deleted_bytes += info.size
            batch.append(key)
            if len(batch) >= _BATCH:
                _delete(store, batch, cutoff, dry_run)
        if kept + young + deleted - told >= _BATCH:
            progress(kept + young + deleted - told)
            told = kept + young + deleted
    _delete(store, batch, cutoff, dry_run)
    progress(kept + young + deleted - told)
    return Collected(
        kept=kept,
        kept_bytes=kept_bytes,
        young=young,
        young_bytes=young_bytes,
        deleted=deleted,
        deleted_bytes=deleted_bytes,
        edges=_sweep_edges(store, number, cutoff, dry_run),
    )


def _delete(store: DataStore, batch: list[str], cutoff: float, dry_run: bool) -> None:
    """Delete keys that nobody refreshed since the marking began."""
    if batch and not dry_run:
        store.delete(batch, not_modified_since=cutoff)
    batch.clear()


def _sweep_edges(store: DataStore, number: int, cutoff: float, dry_run: bool) -> int:
    """Delete the old edges of objects that are gone.

    After the objects: an object without its edges could be reused while what it holds parts of is collected.
    """
    edges = scan_edges(store, f"edges/{number:02x}/")
    objects: Iterator[str] | None = None
    present = ""
    batch: list[str] = []
    count = 0
    for child, _, info in edges:
        name = child.hex()
        if objects is None:
            objects = (found.key.rpartition("/")[2] for found in store.scan(f"objects/{number:02x}/"))
        while present < name:
            present = next(objects, "g")  # behind every digest
        if present != name and info.modified <= cutoff and _is_gone(store, child):
            count += 1
            batch.append(info.key)
            if len(batch) >= _BATCH:
                _delete(store, batch, cutoff, dry_run)
    _delete(store, batch, cutoff, dry_run)
    return count


def _is_gone(store: DataStore, digest: bytes) -> bool:
    """Whether an object is not there: another collector may have had its name in its hands while it was listed."""
    try:
        store.head(object_key(digest))
    except NotFoundError:
        return True
    return False
