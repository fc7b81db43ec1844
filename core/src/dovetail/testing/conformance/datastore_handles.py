"""Data store: handles, threads, secrets, and any sequence of calls."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

import pytest

from dovetail.interfaces.datastore import DataStore
from dovetail.interfaces.errors import NotFoundError
from dovetail.testing.conformance.datastore_suite import DataStoreSuite, error_of, keys_of
from dovetail.testing.conformance.races import THREADS, race
from dovetail.testing.conformance.secrecy import shown_secrets
from dovetail.testing.conformance.suite import guards

__all__ = ["DataStoreHandles"]


class DataStoreHandles(DataStoreSuite):
    """A store as a whole."""

    @guards("datastore.thread-safe")
    def test_threads_share_a_handle(self, store: DataStore) -> None:
        def work(n: int) -> str:
            for i in range(12):
                key = f"t{n}/{i}"
                store.put(key, b"%d" % (n * 100 + i))
                store.put("shared", b"%d" % n * 50, mode="overwrite")
                if store.get(key).read() != b"%d" % (n * 100 + i):
                    return f"another object's bytes at {key}"
                if len(set(store.get("shared").read())) != 1:
                    return "bytes of two writers"
                if keys_of(store, f"t{n}/") != [f"t{n}/{i}"]:
                    return f"the keys {keys_of(store, f't{n}/')} where there is {key} alone"
                store.delete([key])
            return ""

        outcomes = race([partial(work, n) for n in range(THREADS)])
        assert outcomes == [""] * THREADS, f"expected each thread to find its own objects, came {outcomes}"
        assert keys_of(store) == ["shared"], f"expected the shared object alone in the end, came {keys_of(store)}"

    @guards("datastore.close-is-idempotent")
    def test_close_may_be_called_again(self, store: DataStore, reopen: Callable[[], DataStore]) -> None:
        handle = reopen()
        handle.put("k", b"x")
        handle.close()
        handle.close()
        assert self.look(store, "k") == b"x", "expected objects to stay when a handle is closed"

    @guards("datastore.url-reopens")
    def test_the_url_opens_the_store_again(self, store: DataStore, reopen: Callable[[], DataStore]) -> None:
        store.put("a/b", b"x")
        other = reopen()
        assert other.url == store.url, f"expected the same url from another handle, came {other.url!r}, {store.url!r}"
        assert keys_of(other) == ["a/b"], f"expected the same objects through {store.url!r}, came {keys_of(other)}"
        assert other.capabilities == store.capabilities, "expected the same abilities of another handle"

    @guards("datastore.hides-secrets")
    def test_no_secret_is_shown(self, store: DataStore, caplog: pytest.LogCaptureFixture) -> None:
        if not self.secrets:
            pytest.skip("the suite names no secrets")
        with caplog.at_level(logging.DEBUG):
            store.put("k", b"x", metadata={"a": "b"})
            list(store.scan())
            errors = [error_of(lambda: store.get("missing")), error_of(lambda: store.put("k", b"y"))]
        places = {"repr": repr(store), "url": store.url, "errors": repr(errors), "log": caplog.text}
        shown = shown_secrets(self.secrets, places)
        assert not shown, f"expected no secret to be shown, came one in the {', '.join(shown)}"

    @guards("datastore.read-only-is-told")
    def test_what_may_not_be_written_is_told(self, read_only_store: DataStore) -> None:
        found = read_only_store.get("there").read()
        for name, call in (
            ("create", lambda: read_only_store.put("new", b"x")),
            ("overwrite", lambda: read_only_store.put("there", b"changed", mode="overwrite")),
            ("delete", lambda: read_only_store.delete(["there"])),
        ):
            error = error_of(call)
            assert isinstance(error, PermissionError), (
                f"expected StoreReadOnlyError or PermissionDeniedError of {name}, came {error!r}"
            )
        assert keys_of(read_only_store) == ["there"], f"expected nothing to change, came {keys_of(read_only_store)}"
        assert read_only_store.get("there").read() == found, "expected the object to stay as it was"
        error = error_of(lambda: read_only_store.get("missing"))
        assert isinstance(error, NotFoundError), f"expected NotFoundError of a missing key, came {error!r}"

    @guards("datastore.model")
    def test_any_sequence_of_calls(self, store: DataStore) -> None:
        from dovetail.testing.conformance.datastore_model import store_machine
        from dovetail.testing.conformance.effort import run_machine

        run_machine(store_machine(store), effort=self.effort)
