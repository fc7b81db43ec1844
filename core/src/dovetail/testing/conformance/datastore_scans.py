"""Data store: scanning."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from dovetail.interfaces.datastore import DataStore
from dovetail.testing.conformance.datastore_reads import KEYS
from dovetail.testing.conformance.datastore_suite import DataStoreSuite, keys_of
from dovetail.testing.conformance.suite import guards

__all__ = ["DataStoreScans"]

_SIBLINGS = [
    "a",
    "a!",
    "a-",
    "a-/x",
    "a/b",
    "a/b/c",
    "a/c",
    "a0",
    "aa/b",
    "b",
    "c/x",
    "cc/x",
    "c",
    "c-x",
    "é",
    "\U0001f600",
]


def _shown(keys: list[str]) -> str:
    return ", ".join(key if len(key) < 30 else f"{key[:30]}..." for key in keys) or "none"


class DataStoreScans(DataStoreSuite):
    """`scan`."""

    @guards("datastore.scan-is-sorted")
    def test_scan_is_sorted_by_code_points(self, store: DataStore) -> None:
        for key in sorted(KEYS, key=hash):
            store.put(key, b"x" * (len(key) % 7))
        infos = list(store.scan())
        found = [info.key for info in infos]
        assert found == sorted(found), f"expected keys in the order of their code points, came {_shown(found)}"
        assert len(set(found)) == len(found), "expected each key once, came some twice"
        odd = [info.key for info in infos if info.size != len(info.key) % 7]
        assert not odd, f"expected the sizes of the objects, came another for {_shown(odd)}"

    @guards("datastore.scan-is-sorted")
    def test_scan_of_many_tells_each_once(self, store: DataStore) -> None:
        expected = [f"many/{n:04}" for n in range(1100)]
        for key in reversed(expected):
            store.put(key, b"")
        found = keys_of(store, "many/")
        assert found == expected, (
            f"expected {len(expected)} keys in order, came {len(found)} ({len(set(found))} different)"
        )

    @guards("datastore.scan-by-prefix")
    @pytest.mark.parametrize(
        "prefix", ["", "a", "a/", "a/b", "a/b/", "a-", "c", "c/", "cc", "z", "é", "a/b/c", "a/b/c/"]
    )
    def test_a_prefix_is_a_plain_string(self, store: DataStore, prefix: str) -> None:
        for key in _SIBLINGS:
            store.put(key, b"x")
        expected = sorted(key for key in _SIBLINGS if key.startswith(prefix))
        found = keys_of(store, prefix)
        assert found == expected, f"expected {_shown(expected)} below {prefix!r}, came {_shown(found)}"

    @guards("datastore.scan-after")
    @pytest.mark.parametrize("after", ["", "a", "a/", "a/b", "a/b/", "a/bb", "b", "c/x", "zz", "\U0001f600", "0"])
    @pytest.mark.parametrize("prefix", ["", "a/", "c"])
    def test_after_starts_behind_a_key(self, store: DataStore, prefix: str, after: str) -> None:
        for key in _SIBLINGS:
            store.put(key, b"x")
        expected = sorted(key for key in _SIBLINGS if key.startswith(prefix) and key > after)
        found = keys_of(store, prefix, after=after)
        assert found == expected, f"expected {_shown(expected)} of {prefix!r} behind {after!r}, came {_shown(found)}"

    @guards("datastore.scan-after")
    def test_a_scan_is_resumed_from_any_key(self, store: DataStore) -> None:
        for key in _SIBLINGS:
            store.put(key, b"x")
        found: list[str] = []
        last: str | None = None
        while piece := _first(store.scan(after=last), 3):
            found += piece
            last = piece[-1]
            assert len(found) <= len(_SIBLINGS), f"expected each key once in scans that go on, came {_shown(found)}"
        assert found == sorted(_SIBLINGS), f"expected all keys in scans that go on, came {_shown(found)}"

    @guards("datastore.scan-beside-writers")
    def test_what_stays_is_told_beside_writers(self, store: DataStore, reopen: Callable[[], DataStore]) -> None:
        other = reopen()
        stays = [f"k{n:03}/stays" for n in range(40)]
        for n, key in enumerate(stays):
            store.put(key, b"x")
            store.put(f"k{n:03}/goes", b"x")
        found = []
        for n, info in enumerate(store.scan("k")):
            found.append(info.key)
            if n < 40:
                other.delete([f"k{39 - n:03}/goes"])
                other.put(f"k{n:03}/zz", b"x")
        assert found == sorted(set(found)), f"expected each key once and in order, came {_shown(found)}"
        missed = sorted(set(stays) - set(found))
        assert not missed, f"expected all that was there throughout, missed {_shown(missed)}"

    @guards("datastore.consistent")
    def test_what_was_written_is_seen_at_once(self, store: DataStore, reopen: Callable[[], DataStore]) -> None:
        other = reopen()
        for n in range(10):
            store.put(f"k{n}", b"1")
            assert keys_of(other, "k") == [f"k{n}"], (
                f"expected another handle to see k{n} at once, came {keys_of(other)}"
            )
            store.head(f"k{n}")
            other.put(f"k{n}", b"22", mode="overwrite")
            sizes = (store.head(f"k{n}").size, store.get(f"k{n}").read(), [info.size for info in store.scan("k")])
            assert sizes == (2, b"22", [2]), f"expected an overwrite by another handle at once, came {sizes}"
            other.delete([f"k{n}"])
            assert keys_of(store, "k") == [], f"expected a delete to be seen at once, came {keys_of(store)}"


def _first(infos: Iterator[object], count: int) -> list[str]:
    return [info.key for info, _ in zip(infos, range(count), strict=False)]  # type: ignore[attr-defined]
