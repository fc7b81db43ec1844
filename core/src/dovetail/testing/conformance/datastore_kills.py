"""Data store: what is left when a writer is killed."""

from __future__ import annotations

from typing import Any

from dovetail.interfaces.datastore import DataStore
from dovetail.testing.conformance.datastore_suite import DataStoreSuite, keys_of
from dovetail.testing.conformance.killed_writer import MARK, body, record
from dovetail.testing.conformance.killing import Killed, killed_writers
from dovetail.testing.conformance.suite import guards

__all__ = ["DataStoreKills"]


class DataStoreKills(DataStoreSuite):
    """Writers that are killed with SIGKILL, in processes of their own.

    What they leave is read through the store: an oracle may see what they had only begun, and nobody else does.
    """

    @guards("datastore.survives-kills")
    def test_killed_writers_leave_whole_objects(self, store: DataStore, opener: tuple[Any, ...]) -> None:
        for killed in killed_writers("datastore", opener, lambda prefix: store.put(prefix + MARK, b"mark")):
            self._created(store, killed)
            self._overwritten(store, killed)
            self._appended(store, killed)
            store.put(f"{killed.prefix}same", b"later", mode="overwrite")
            found = store.get(f"{killed.prefix}same").read()
            assert found == b"later", f"expected the next writer to go on {killed.when}, came {found[:20]!r}"

    def _created(self, store: DataStore, killed: Killed) -> None:
        written, top = killed.written("new"), f"{killed.prefix}new/"
        numbers = sorted(int(key[len(top) :]) for key in keys_of(store, top))
        told = list(range(written))
        assert numbers in (told, [*told, written]), (
            f"expected the {written} objects that were created, and at most one more, {killed.when}, came {numbers}"
        )
        for n in numbers:
            is_whole = store.get(f"{top}{n}").read() == b"".join(body(n))
            assert is_whole, f"expected whole objects {killed.when}, came a part of number {n} of {written}"

    def _overwritten(self, store: DataStore, killed: Killed) -> None:
        written, key = killed.written("same"), f"{killed.prefix}same"
        if not written and not keys_of(store, key):
            return
        assert keys_of(store, key) == [key], f"expected what was overwritten to be there {killed.when}, came nothing"
        found = store.get(key).read()
        is_whole = found in [b"".join(body(n)) for n in (written - 1, written) if n >= 0]
        assert is_whole, (
            f"expected the last overwrite of {written}, or the one after it, whole {killed.when}, "
            f"came {len(found)} bytes that begin with {found[:8]!r}"
        )

    def _appended(self, store: DataStore, killed: Killed) -> None:
        written, key = killed.written("log"), f"{killed.prefix}log"
        if not written and not keys_of(store, key):
            return
        found = store.get(key).read()
        told = b"".join(record(n) for n in range(written))
        is_there = found.startswith(told) and (told + record(written)).startswith(found)
        assert is_there, (
            f"expected {len(told)} bytes that were appended, and at most a beginning of the next ones, "
            f"{killed.when}, came {len(found)}"
        )
