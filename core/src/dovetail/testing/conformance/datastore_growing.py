"""Data store: objects that grow or get their name last (APPEND, STAGE)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from dovetail.interfaces.datastore import DataStore, DataStoreCapability
from dovetail.interfaces.errors import AlreadyExistsError, NotFoundError, PreconditionError
from dovetail.testing.conformance.abilities import need
from dovetail.testing.conformance.datastore_suite import DataStoreSuite, error_of, keys_of
from dovetail.testing.conformance.races import THREADS, race
from dovetail.testing.conformance.suite import guards

__all__ = ["DataStoreGrowing"]

APPEND, STAGE = DataStoreCapability.APPEND, DataStoreCapability.STAGE


class DataStoreGrowing(DataStoreSuite):
    """`append`, `sync`, `stage`."""

    @guards("datastore.append", flag="APPEND")
    def test_append_adds_at_the_end(self, store: Any) -> None:
        need(store, APPEND)
        ends = [store.append("log", b"one,"), store.append("log", [b"two", memoryview(b",")]), store.append("log", b"")]
        assert ends == [4, 8, 8], f"expected the end offsets 4, 8, 8, came {ends}"
        store.append("other", b"x")
        assert store.append("log", b"three") == 13, "expected the end offset 13 after an append to another object"
        found = self.look(store, "log")
        assert found == b"one,two,three", f"expected all that was appended, in order, came {found!r}"
        info = store.head("log")
        assert info.size == 13, f"expected a size of 13 bytes from head, came {info.size}"
        part = store.get("log", byte_range=(4, 8)).read()
        assert part == b"two,", f"expected a range of what is there, came {part!r}"

    @guards("datastore.append-is-kill-durable", flag="APPEND")
    def test_what_was_appended_is_seen_by_others(self, store: Any, reopen: Callable[[], DataStore]) -> None:
        need(store, APPEND)
        other = reopen()
        whole = b""
        for n in range(20):
            whole += b"line %d\n" % n
            store.append("log", b"line %d\n" % n)
            found = other.get("log").read()
            is_same = found == whole
            assert is_same, f"expected {len(whole)} bytes through another handle, came {len(found)}"
        found = self.look(store, "log")
        is_same = found == whole
        assert is_same, f"expected {len(whole)} bytes, came {len(found)}"

    @guards("datastore.append-is-kill-durable", flag="APPEND")
    def test_a_reader_beside_the_writer_sees_a_beginning(self, store: Any, reopen: Callable[[], DataStore]) -> None:
        need(store, APPEND)
        other = reopen()
        whole = b"".join(b"%05d" % n for n in range(300))
        store.append("log", b"")
        done = threading.Event()

        def write() -> None:
            try:
                for begin in range(0, len(whole), 5):
                    store.append("log", whole[begin : begin + 5])
            finally:
                done.set()

        def read() -> str:
            while not done.is_set():
                found = other.get("log").read()
                if not whole.startswith(found):
                    return f"{len(found)} bytes that were not written so"
            return ""

        outcomes = race([write, read])
        assert outcomes == [None, ""], f"expected a reader to see a beginning of what is appended, came {outcomes}"

    @guards("datastore.append-not-to-puts", flag="APPEND")
    def test_nothing_is_appended_to_what_was_put(self, store: Any) -> None:
        need(store, APPEND)
        store.put("k", b"whole")
        error = error_of(lambda: store.append("k", b"more"))
        assert isinstance(error, PreconditionError), f"expected PreconditionError, came {error!r}"
        assert self.look(store, "k") == b"whole", f"expected the object to stay, came {self.look(store, 'k')!r}"
        store.append("log", b"x")
        error = error_of(lambda: store.put("log", b"y"))
        assert isinstance(error, AlreadyExistsError), f"expected AlreadyExistsError of a create, came {error!r}"

    @guards("datastore.sync", flag="APPEND")
    def test_sync_takes_every_object(self, store: Any) -> None:
        need(store, APPEND)
        store.put("put", b"x")
        store.append("log", b"y")
        store.sync(["put", "log", "put"])
        store.sync([])
        store.append("log", b"z")
        store.sync(iter(["log"]))
        assert self.look(store, "log") == b"yz", "expected appends to go on after sync"
        error = error_of(lambda: store.sync(["put", "missing"]))
        assert isinstance(error, NotFoundError), f"expected NotFoundError for a missing key, came {error!r}"

    @guards("datastore.stage", flag="STAGE")
    def test_stage(self, store: Any, reopen: Callable[[], DataStore]) -> None:
        need(store, STAGE)
        other = reopen()
        with store.stage() as staged:
            staged.write(b"head")
            staged.write_at(8, memoryview(b"tail"))
            staged.write(b"!")
            staged.write_at(0, b"H")
            assert keys_of(other) == [], f"expected nothing before commit, came {keys_of(other)}"
            info = staged.commit("a/b", metadata={"k": "v"})
        found = self.look(store, "a/b")
        assert found == b"Head\0\0\0\0tail!", f"expected what was written with zeros in the gap, came {found!r}"
        head = other.head("a/b")
        assert (info.size, head.size, dict(head.metadata)) == (13, 13, {"k": "v"}), (
            f"expected 13 bytes with the metadata of commit, came {head.size} with {dict(head.metadata)}"
        )
        with store.stage() as staged:
            staged.commit("empty")
        assert self.look(store, "empty") == b"", "expected an empty object of nothing written"

    @guards("datastore.stage-is-exclusive", flag="STAGE")
    def test_one_of_many_stages_gets_the_name(self, store: Any) -> None:
        need(store, STAGE)

        def commit(n: int) -> None:
            with store.stage() as staged:
                staged.write(b"%d" % n * 100)
                staged.commit("k")

        outcomes = race([partial(commit, n) for n in range(THREADS)])
        won = [n for n, outcome in enumerate(outcomes) if outcome is None]
        assert len(won) == 1, f"expected one winner of {THREADS} commits of one key, came {len(won)}"
        odd = [error for error in outcomes if error is not None and not isinstance(error, AlreadyExistsError)]
        assert not odd, f"expected AlreadyExistsError for all others, came {odd[0]!r}"
        assert self.look(store, "k") == b"%d" % won[0] * 100, "expected the winner's bytes"
        assert keys_of(store) == ["k"], f"expected nothing of the others, came {keys_of(store)}"

    @guards("datastore.stage-drops", flag="STAGE")
    def test_leaving_a_stage_drops_it(self, store: Any) -> None:
        need(store, STAGE)
        with store.stage() as staged:
            staged.write(b"x" * 1000)
        try:
            with store.stage() as staged:
                staged.write(b"y")
                raise LookupError
        except LookupError:
            pass
        assert keys_of(store) == [], f"expected nothing without commit, came {keys_of(store)}"
