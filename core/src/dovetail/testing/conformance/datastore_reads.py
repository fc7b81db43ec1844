"""Data store: reading, and which keys there are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dovetail.interfaces.datastore import DataStore
from dovetail.interfaces.errors import NotFoundError, UsageError
from dovetail.testing.conformance.datastore_suite import DataStoreSuite, error_of, keys_of
from dovetail.testing.conformance.suite import guards

__all__ = ["DataStoreReads"]

_DATA = bytes(range(200))
KEYS = [
    "a", "a/b", "a/b/c", "a-", "A", "Z", "_", "b c", "%41", "a%2Fb", "q?x=1&y#z", "back\\slash", "..a", "a..",
    ".hidden", "x.",
    "con", "nul.txt", "é", "e\u0301", "日本/語", "\U0001f600", "\x01", "tab\there", "'\"", "*", "~", "a:b", "+",
    "k" * 1024, "k" * 1023 + "l", "/".join(["d"] * 200), "ü" * 512,
]  # fmt: skip
_BAD = ["", "/a", "a/", "a//b", ".", "..", "a/..", "../a", "a/./b", "k" * 1025, "ü" * 513, "\ud800"]


class DataStoreReads(DataStoreSuite):
    """`get`, `get_many`, `head`, keys."""

    @guards("datastore.missing-is-told")
    @pytest.mark.parametrize(
        "key", ["missing", "a", "a/b/c", "a/", "a/bb"], ids=["none", "above", "below", "folder", "like"]
    )
    def test_what_is_missing_is_told(self, store: DataStore, key: str) -> None:
        store.put("a/b", b"x")
        if key == "a/":
            key = "b/a"
        for name in ("get", "head", "refresh"):
            error = error_of(lambda name=name: getattr(store, name)(key))  # type: ignore[misc]
            assert isinstance(error, NotFoundError), f"expected NotFoundError of {name}({key!r}), came {error!r}"

    @guards("datastore.ranges")
    @pytest.mark.parametrize(
        ("begin", "end"), [(0, 200), (0, 1), (199, 200), (10, 20), (150, 999), (200, 300), (500, 600), (7, 7), (0, 0)]
    )
    def test_ranges(self, store: DataStore, begin: int, end: int) -> None:
        store.put("k", _DATA)
        with store.get("k", byte_range=(begin, end)) as result:
            length, size, data = result.length, result.info.size, result.stream.read(result.length)
        expected = _DATA[begin:end]
        assert (data, length) == (expected, len(expected)), (
            f"expected {len(expected)} bytes of ({begin}, {end}), came {len(data)}, told as {length}"
        )
        assert size == 200, f"expected the info of the whole object (200 bytes) with a range, came {size}"

    @guards("datastore.reads-agree")
    def test_all_ways_to_read_agree(self, store: DataStore, tmp_path: Path) -> None:
        data = os.urandom(3000)
        store.put("k", data)
        for byte_range in (None, (100, 2900)):
            expected = data if byte_range is None else data[100:2900]
            buffer = bytearray(len(expected) + 5)
            count = store.get("k", byte_range=byte_range).readinto(buffer)
            store.get("k", byte_range=byte_range).save(tmp_path / "saved")
            pieces = list(store.get("k", byte_range=byte_range).chunks(700))
            ways = {
                "read": store.get("k", byte_range=byte_range).read(),
                "readinto": bytes(buffer[:count]),
                "chunks": b"".join(pieces),
                "save": (tmp_path / "saved").read_bytes(),
            }
            odd = {name: len(found) for name, found in ways.items() if found != expected}
            assert not odd, f"expected {len(expected)} bytes from each way to read, came others from {odd}"
            assert max(map(len, pieces)) <= 700, f"expected chunks of at most 700 bytes, came {max(map(len, pieces))}"

    @guards("datastore.get-many")
    def test_get_many_answers_in_order(self, store: DataStore) -> None:
        for n in range(30):
            store.put(f"k{n}", b"%d" % n * 10)
        requests = [(f"k{n * 7 % 40}", None if n % 3 else (1, 5)) for n in range(60)]
        answers = [(key, found and found.read()) for key, found in store.get_many(iter(requests))]
        expected = []
        for key, byte_range in requests:
            n = int(key[1:])
            whole = b"%d" % n * 10 if n < 30 else None
            expected.append((key, whole if whole is None or byte_range is None else whole[1:5]))
        assert [key for key, _ in answers] == [key for key, _ in requests], (
            f"expected the keys in the order of the requests, came {[key for key, _ in answers]}"
        )
        odd = [pair for pair in zip(answers, expected, strict=True) if pair[0] != pair[1]]
        assert not odd, f"expected {odd[0][1]} as an answer, came {odd[0][0]}"
        assert list(store.get_many([])) == [], "expected nothing for no requests"

    @guards("datastore.every-key")
    def test_every_key_is_an_object_of_its_own(self, store: DataStore) -> None:
        for key in KEYS:
            store.put(key, key.encode())
        odd = [key for key in KEYS if store.get(key).read() != key.encode()]
        assert not odd, f"expected each key's own bytes, came another's for {odd[0][:40]!r}"
        found = keys_of(store)
        assert set(found) == set(KEYS), f"expected scan to tell the same keys, differing are {set(found) ^ set(KEYS)}"
        odd = [key for key in KEYS if store.head(key).key != key]
        assert not odd, f"expected head to name the key that was asked, came another for {odd[0][:40]!r}"
        store.delete(KEYS[::2])
        found = keys_of(store)
        assert set(found) == set(KEYS[1::2]), f"expected every second key to be deleted, came {len(found)} left"

    @guards("datastore.bad-keys-are-refused")
    @pytest.mark.parametrize("key", _BAD, ids=lambda key: ascii(key[:8]) + (f"x{len(key)}" if len(key) > 8 else ""))
    def test_bad_keys_are_refused(self, store: DataStore, key: str) -> None:
        store.put("a", b"x")
        for name, call in (
            ("put", lambda: store.put(key, b"x")),
            ("get", lambda: store.get(key)),
            ("head", lambda: store.head(key)),
            ("delete", lambda: store.delete([key])),
        ):
            error = error_of(call)
            assert isinstance(error, UsageError), f"expected UsageError of {name}({key[:20]!r}), came {error!r}"
        assert keys_of(store) == ["a"], f"expected nothing to be written, came {keys_of(store)}"
