"""Data store: deleting, refreshing, and the store's clock."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

from dovetail.interfaces.datastore import DataStore, ObjectInfo
from dovetail.testing.conformance.datastore_suite import DataStoreSuite, got_info, keys_of
from dovetail.testing.conformance.suite import guards

__all__ = ["DataStoreDeletes"]

_RESOLUTION = 1.1
"""Seconds between two times that every store's clock tells apart."""


def _until_later(look: Callable[[], ObjectInfo], than: float) -> ObjectInfo:
    """The first info that is modified later than a time, or the last one that was waited for."""
    deadline = time.monotonic() + _RESOLUTION
    while True:
        info = look()
        if info.modified > than or time.monotonic() > deadline:
            return info
        time.sleep(0.005)


class DataStoreDeletes(DataStoreSuite):
    """`delete`, `refresh`, `modified`."""

    @guards("datastore.delete")
    def test_delete_removes_exactly_what_is_named(self, store: DataStore) -> None:
        for key in ("a", "a/b", "a/b/c", "aa", "b"):
            store.put(key, b"x")
        store.delete(["a", "missing", "a", "a/b/c/d"])
        found = keys_of(store)
        assert found == ["a/b", "a/b/c", "aa", "b"], f"expected all but 'a' to stay, came {found}"
        store.delete(iter(["a/b", "b"]))
        store.delete([])
        found = keys_of(store)
        assert found == ["a/b/c", "aa"], f"expected 'a/b/c' and 'aa' to stay, came {found}"
        store.delete(["a/b/c", "aa", "a"])
        assert keys_of(store) == [], f"expected nothing to stay, came {keys_of(store)}"
        store.put("a", b"again")
        assert self.look(store, "a") == b"again", "expected a deleted key to be free again"

    @guards("datastore.delete")
    def test_delete_takes_many_keys(self, store: DataStore) -> None:
        keys = [f"d{n:04}" for n in range(1010)]
        for key in keys[:20]:
            store.put(key, b"")
        store.delete(keys)
        assert keys_of(store) == [], f"expected {len(keys)} keys to be deleted by one call, left are {keys_of(store)}"

    @guards("datastore.delete-spares-younger")
    def test_delete_spares_what_is_younger(self, store: DataStore) -> None:
        old = store.put("old", b"x").modified
        _until_later(lambda: store.put("young", b"x", mode="overwrite"), old)
        store.delete(["old", "young", "missing"], not_modified_since=old)
        assert keys_of(store) == ["young"], f"expected what is modified later to stay, came {keys_of(store)}"
        store.put("refreshed", b"x")
        _until_later(lambda: store.refresh("refreshed"), old)
        store.delete(["refreshed"], not_modified_since=old)
        assert "refreshed" in keys_of(store), "expected what was refreshed later to stay, came a delete"
        store.delete(["young"], not_modified_since=store.head("young").modified)
        assert "young" not in keys_of(store), "expected what is exactly as old as the limit to be deleted"

    @guards("datastore.clock")
    def test_nothing_is_younger_than_now(self, store: DataStore) -> None:
        infos = [store.put("k", b"x"), store.head("k"), got_info(store, "k"), *store.scan(), store.refresh("k")]
        odd = [info for info in infos if not info.modified <= info.now]
        assert not odd, f"expected modified <= now by the store's clock, came {odd[0].modified} > {odd[0].now}"
        times = {info.modified for info in infos[:4]}
        assert len(times) == 1, f"expected one time of the write from put, head, get and scan, came {sorted(times)}"
        ages = [info.now - info.modified for info in infos]
        assert max(ages) < 60.0, f"expected the age of what was just written by one clock, came {max(ages):.0f} s"

    @guards("datastore.refresh")
    def test_refresh_sets_the_time_alone(self, store: DataStore) -> None:
        before = store.put("k", b"x", metadata={"a": "b"})
        other = store.put("k2", b"x")
        info = _until_later(lambda: store.refresh("k"), before.modified)
        assert info.modified > before.modified, f"expected a later time after refresh, came {info.modified}, as before"
        head = store.head("k")
        assert head.modified == info.modified, f"expected head to tell the time {info.modified}, came {head.modified}"
        found = (store.get("k").read(), dict(head.metadata), store.head("k2").modified)
        assert found == (b"x", {"a": "b"}, other.modified), f"expected nothing else to change, came {found}"

    @guards("datastore.refresh")
    def test_refresh_does_not_bring_back(self, store: DataStore) -> None:
        store.put("k", b"x")
        store.delete(["k"])
        with contextlib.suppress(FileNotFoundError):
            store.refresh("k")
        assert keys_of(store) == [], f"expected refresh to make nothing, came {keys_of(store)}"
