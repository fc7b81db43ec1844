"""Data store: writing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from dovetail.interfaces.datastore import DataStore
from dovetail.interfaces.errors import AlreadyExistsError, DovetailError, NotFoundError
from dovetail.testing.conformance.datastore_suite import DataStoreSuite, error_of, got_info, keys_of
from dovetail.testing.conformance.races import THREADS, race
from dovetail.testing.conformance.suite import guards

__all__ = ["DataStoreWrites"]

_SIZES = (0, 1, 4096, (5 << 20) + 1)
"""The last is one byte more than what object stores take in one part."""
_PIECE = 1 << 18


class _Breaking(Sequence[bytes]):
    """Buffers, of which the second can't be had."""

    def __len__(self) -> int:
        return 3

    def __getitem__(self, at: Any) -> Any:
        if at == 0:
            return b"the beginning"
        raise _BrokenError


class _BrokenError(Exception):
    """The body breaks off."""


class DataStoreWrites(DataStoreSuite):
    """`put`."""

    @guards("datastore.put-is-whole")
    @pytest.mark.parametrize("size", _SIZES)
    def test_put_is_read_back_whole(self, store: DataStore, size: int) -> None:
        data = (bytes(range(251)) * (size // 251 + 1))[:size]
        info = store.put("some/key", data)
        assert (info.key, info.size) == ("some/key", size), (
            f"expected put to tell key 'some/key' of {size} bytes, came {info.key!r} of {info.size}"
        )
        found = self.look(store, "some/key")
        assert len(found) == size, f"expected {size} bytes in the store, came {len(found)}"
        assert found == data, "expected the bytes that were put, came others of the same length"
        assert store.get("some/key").read() == data, "expected get to give the bytes that were put, came others"

    @guards("datastore.put-is-whole")
    @pytest.mark.parametrize("kind", ["bytes", "bytearray", "memoryview", "list", "tuple", "empty-list", "file"])
    def test_put_takes_every_kind_of_body(self, store: DataStore, tmp_path: Path, kind: str) -> None:
        data = b"abcdefgh"
        file = tmp_path / "body"
        file.write_bytes(data)
        bodies: dict[str, Any] = {
            "bytes": data,
            "bytearray": bytearray(data),
            "memoryview": memoryview(b"--abcdefgh--")[2:-2],
            "list": [b"abc", bytearray(b""), memoryview(b"defgh").cast("B")],
            "tuple": (memoryview(data).cast("I"),),
            "empty-list": [],
            "file": file,
        }
        expected = b"" if kind == "empty-list" else data
        store.put("k", bodies[kind])
        found = store.get("k").read()
        assert found == expected, f"expected {expected!r} of a body given as {kind}, came {found!r}"

    @guards("datastore.put-is-whole")
    def test_what_was_written_otherwise_is_read(self, store: DataStore) -> None:
        if self.raw_put is None:
            pytest.skip("there is no oracle raw_put")
        self.put_oddly(store, "a/b", b"from outside")
        found = store.get("a/b").read()
        assert found == b"from outside", f"expected the bytes that raw_put wrote, came {found!r}"
        assert keys_of(store) == ["a/b"], f"expected scan to tell what raw_put wrote, came {keys_of(store)}"

    @guards("datastore.create-is-exclusive")
    def test_create_refuses_what_exists(self, store: DataStore) -> None:
        before = store.put("k", b"first", metadata={"by": "first"})
        error = error_of(lambda: store.put("k", b"the second", metadata={"by": "second"}))
        assert isinstance(error, AlreadyExistsError), (
            f"expected AlreadyExistsError of the second create, came {error!r}"
        )
        found = self.look(store, "k")
        assert found == b"first", f"expected the first put's bytes to stay, came {found!r}"
        after = store.head("k")
        assert (after.etag, dict(after.metadata)) == (before.etag, dict(before.metadata)), (
            f"expected etag and metadata to stay {before.etag, dict(before.metadata)}, came "
            f"{after.etag, dict(after.metadata)}"
        )

    @guards("datastore.create-has-one-winner")
    def test_one_of_many_creators_wins(self, store: DataStore, reopen: Callable[[], DataStore]) -> None:
        handles = [store, reopen()]
        for round in range(5):
            key = f"race/{round}"
            bodies = [b"%d" % n * 1000 for n in range(THREADS)]
            puts = [partial(handles[n % 2].put, key, body) for n, body in enumerate(bodies)]
            outcomes = race(puts)
            won = [n for n, outcome in enumerate(outcomes) if not isinstance(outcome, Exception)]
            assert len(won) == 1, f"expected one winner of {THREADS} who create one key at once, came {len(won)}"
            losers = [outcome for n, outcome in enumerate(outcomes) if n not in won]
            odd = [error for error in losers if not isinstance(error, AlreadyExistsError)]
            assert not odd, f"expected AlreadyExistsError for all others, came {odd[0]!r}"
            found = self.look(store, key)
            assert found == bodies[won[0]], f"expected the winner's bytes, came those of {found[:1]!r}"

    @guards("datastore.overwrite-replaces")
    def test_overwrite_replaces_and_creates(self, store: DataStore) -> None:
        store.put("k", b"a longer first one", metadata={"by": "first"})
        info = store.put("k", b"second", mode="overwrite", metadata={"by": "second"})
        found = self.look(store, "k")
        assert found == b"second", f"expected the bytes of the overwrite alone, came {found!r}"
        head = store.head("k")
        assert (info.size, head.size, dict(head.metadata)) == (6, 6, {"by": "second"}), (
            f"expected 6 bytes with the new metadata, came {head.size} with {dict(head.metadata)}"
        )
        store.put("new", b"x", mode="overwrite")
        assert self.look(store, "new") == b"x", "expected overwrite to create what does not exist"

    @guards("datastore.overwrite-is-atomic")
    def test_readers_never_see_half_an_overwrite(self, store: DataStore, reopen: Callable[[], DataStore]) -> None:
        reader = reopen()
        bodies = [bytes([65 + n]) * (_PIECE + n * 4096) for n in range(4)]
        store.put("k", bodies[0])
        done = threading.Event()

        def write() -> None:
            try:
                for n in range(1, 12):
                    store.put("k", [bodies[n % 4][:_PIECE], bodies[n % 4][_PIECE:]], mode="overwrite")
            finally:
                done.set()

        def read() -> str:
            while not done.is_set():
                try:
                    with reader.get("k") as result:
                        size, data = result.info.size, result.stream.read()
                except NotFoundError:
                    return "nothing at all"
                if data not in bodies:
                    return f"{len(data)} bytes of {len(set(data))} writers"
                if len(data) != size:
                    return f"{len(data)} bytes where the info tells {size}"
            return ""

        outcomes = race([write, read, read])
        assert outcomes == [None, "", ""], f"expected every reader to get one writer's object whole, came {outcomes}"

    @guards("datastore.put-is-atomic")
    def test_readers_never_see_half_a_create(self, store: DataStore, reopen: Callable[[], DataStore]) -> None:
        reader = reopen()
        body = [bytes([65 + n]) * (_PIECE // 4) for n in range(8)]
        whole = b"".join(body)
        rounds = 8
        done = threading.Event()

        def write() -> None:
            try:
                for n in range(rounds):
                    store.put(f"k{n}", body)
            finally:
                done.set()

        def read() -> str:
            while not done.is_set():
                for info in list(reader.scan("k")):
                    data = reader.get(info.key).read()
                    if data != whole or info.size != len(whole):
                        return f"{len(data)} bytes, told as {info.size}, of {len(whole)}"
            return ""

        outcomes = race([write, read, read])
        assert outcomes == [None, "", ""], f"expected only whole objects to be seen, came {outcomes}"

    @guards("datastore.put-is-atomic")
    @pytest.mark.parametrize("mode", ["create", "overwrite"])
    def test_a_body_that_breaks_off_changes_nothing(self, store: DataStore, mode: Any) -> None:
        if mode == "overwrite":
            store.put("k", b"before")
        with pytest.raises((_BrokenError, DovetailError)):
            store.put("k", _Breaking(), mode=mode)
        self._same_as_before(store, mode)

    @guards("datastore.put-is-atomic")
    @pytest.mark.parametrize("mode", ["create", "overwrite"])
    def test_a_file_that_is_missing_changes_nothing(self, store: DataStore, tmp_path: Path, mode: Any) -> None:
        if mode == "overwrite":
            store.put("k", b"before")
        with pytest.raises((FileNotFoundError, DovetailError)):
            store.put("k", tmp_path / "missing", mode=mode)
        self._same_as_before(store, mode)

    def _same_as_before(self, store: DataStore, mode: str) -> None:
        expected = ["k"] if mode == "overwrite" else []
        found = keys_of(store)
        assert found == expected, f"expected the keys {expected} after a put that failed, came {found}"
        if expected:
            data = self.look(store, "k")
            assert data == b"before", f"expected the object as it was before, came {data!r}"

    @guards("datastore.etag-follows-content")
    def test_the_etag_follows_the_content(self, store: DataStore) -> None:
        tags = [store.put("k", b"one").etag]
        same = [store.head("k").etag, got_info(store, "k").etag, next(iter(store.scan("k"))).etag]
        assert set(same) == set(tags), f"expected the etag {tags[0]!r} until the object changes, came {same}"
        tags += [store.put("k", body, mode="overwrite").etag for body in (b"two", b"three", b"two2")]
        assert len(set(tags)) == len(tags), f"expected another etag for each content, came {tags}"

    @guards("datastore.metadata-is-kept")
    def test_metadata_is_kept(self, store: DataStore) -> None:
        given = {"kind": "table", "empty": "", "naïve-ü": "größe ✓", "long": "x" * 500}
        store.put("k", b"x", metadata=given)
        for name, info in (("head", store.head("k")), ("get", got_info(store, "k"))):
            assert dict(info.metadata) == given, f"expected the metadata that was put from {name}, came {info.metadata}"
        store.put("bare", b"x")
        assert dict(store.head("bare").metadata) == {}, "expected no metadata where none was put"
