"""Data store: abilities, tested both ways."""

from __future__ import annotations

import mmap
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

import pytest

from dovetail.interfaces.datastore import DataStore, DataStoreCapability
from dovetail.interfaces.errors import AlreadyExistsError, NotFoundError
from dovetail.testing.conformance.abilities import facts_of, missing_methods, need, need_absence, refusal
from dovetail.testing.conformance.datastore_suite import DataStoreSuite, error_of, keys_of
from dovetail.testing.conformance.suite import guards

__all__ = ["DataStoreAbilities"]

COPY, LOCAL_PATH, PRESIGN = DataStoreCapability.COPY, DataStoreCapability.LOCAL_PATH, DataStoreCapability.PRESIGN
_SHORT = 1.0
"""Seconds that a URL is good for: no service takes less."""
_CALLS: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "presign": (("k",), {"method": "GET", "expires": 1.0}),
    "copy": (("k", "copied"), {}),
    "local_path": (("k",), {}),
    "append": (("new", b"x"), {}),
    "sync": ((["k"],), {}),
    "stage": ((), {}),
}


class DataStoreAbilities(DataStoreSuite):
    """COPY, LOCAL_PATH, PRESIGN, and what is not declared."""

    @guards("datastore.abilities-are-there")
    def test_declared_abilities_have_their_methods(self, request: pytest.FixtureRequest, store: DataStore) -> None:
        self.note(request, **facts_of(store))
        missing = missing_methods(store, "datastore")
        assert not missing, f"expected a method for each declared ability, came none for {', '.join(missing)}"

    @guards("datastore.undeclared-is-refused", flag="!")
    @pytest.mark.parametrize("flag", [flag.name for flag in DataStoreCapability if flag.value])
    def test_undeclared_abilities_are_refused(self, store: DataStore, flag: str) -> None:
        need_absence(store, DataStoreCapability[flag])
        store.put("k", b"x")
        works = refusal(store, "datastore", flag, _CALLS)
        assert not works, f"expected UnsupportedOperationError or no method without {flag}, came {', '.join(works)}"

    @guards("datastore.copy", flag="COPY")
    def test_copy(self, store: Any) -> None:
        need(store, COPY)
        store.put("a", b"some bytes", metadata={"kind": "x"})
        info = store.copy("a", "b/c")
        head = store.head("b/c")
        found = (info.key, info.size, self.look(store, "b/c"), dict(head.metadata))
        assert found == ("b/c", 10, b"some bytes", {"kind": "x"}), f"expected an equal object at 'b/c', came {found}"
        store.put("a", b"changed", mode="overwrite")
        assert self.look(store, "b/c") == b"some bytes", "expected a copy of its own, came one that changes along"
        store.put("other", b"other")
        error = error_of(lambda: store.copy("a", "other"))
        assert isinstance(error, AlreadyExistsError), (
            f"expected AlreadyExistsError where 'other' exists, came {error!r}"
        )
        assert self.look(store, "other") == b"other", "expected what exists to stay as it is"
        error = error_of(lambda: store.copy("missing", "new"))
        assert isinstance(error, NotFoundError), f"expected NotFoundError of a copy of nothing, came {error!r}"
        assert keys_of(store) == ["a", "b/c", "other"], f"expected no other keys, came {keys_of(store)}"

    @guards("datastore.local-path", flag="LOCAL_PATH")
    def test_local_path(self, store: Any) -> None:
        need(store, LOCAL_PATH)
        store.put("a/b", b"some bytes")
        path = store.local_path("a/b")
        assert path.read_bytes() == b"some bytes", f"expected the object's bytes in {path}"
        error = error_of(lambda: store.local_path("missing"))
        assert isinstance(error, NotFoundError), f"expected NotFoundError of a missing key, came {error!r}"

    @guards("datastore.local-path", flag="LOCAL_PATH")
    def test_a_mapped_file_outlives_its_object(self, store: Any) -> None:
        need(store, LOCAL_PATH)
        for way in ("overwrite", "delete"):
            store.put("k", b"some bytes", mode="overwrite")
            with (
                store.local_path("k").open("rb") as file,
                mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as found,
            ):
                if way == "delete":
                    store.delete(["k"])
                else:
                    store.put("k", b"OTHER BYTE", mode="overwrite")
                assert found[:] == b"some bytes", f"expected a mapping to stay after {way}, came {found[:]!r}"

    @guards("datastore.presign", flag="PRESIGN")
    def test_presign(self, store: Any) -> None:
        need(store, PRESIGN)
        store.put("a/b c", b"some bytes")
        store.put("other", b"other")
        url = store.presign("a/b c", method="GET", expires=60.0)
        with urllib.request.urlopen(url, timeout=30) as answer:
            data = answer.read()
        assert data == b"some bytes", f"expected the object's bytes at the URL, came {data!r}"
        put = urllib.request.Request(store.presign("new", method="PUT", expires=60.0), data=b"put", method="PUT")
        with urllib.request.urlopen(put, timeout=30):
            pass
        assert self.look(store, "new") == b"put", "expected the URL of a PUT to write the object"
        for method, name in (("PUT", "a GET"), ("GET", "a PUT")):
            other = store.presign("other", method="GET" if method == "PUT" else "PUT", expires=60.0)
            status = _status(other, method)
            assert status >= 400, f"expected the URL of {name} to refuse a {method}, came {status}"
        assert self.look(store, "other") == b"other", "expected the URL of a GET to write nothing"
        moved = url.replace(urllib.parse.quote("a/b c", safe=""), "other").replace(urllib.parse.quote("a/b c"), "other")
        status = _status(moved) if moved != url else 403
        assert status >= 400, f"expected a URL to be for one key, came {status} for another one in its place"

    @guards("datastore.presign-expires", flag="PRESIGN")
    def test_a_presigned_url_expires(self, store: Any) -> None:
        need(store, PRESIGN)
        store.put("k", b"some bytes")
        url = store.presign("k", method="GET", expires=_SHORT)
        deadline = time.monotonic() + _SHORT + self.patience
        while (status := _status(url)) < 400 and time.monotonic() < deadline:
            time.sleep(0.1)
        assert status >= 400, f"expected a URL for {_SHORT:g} s to be refused {self.patience:g} s later, came {status}"


def _status(url: str, method: str = "GET") -> int:
    """What a service says to a request."""
    request = urllib.request.Request(url, data=b"evil" if method == "PUT" else None, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
