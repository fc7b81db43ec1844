"""The backends in memory, where they are not the model of another test."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from dovetail.interfaces.context import PluginContext
from dovetail.interfaces.datastore import DataStoreCapability, SupportsAppend, SupportsCopy, SupportsStage
from dovetail.interfaces.errors import (
    AlreadyExistsError,
    NotFoundError,
    PreconditionError,
    UnsupportedOperationError,
    UsageError,
)
from dovetail.interfaces.events import Event
from dovetail.interfaces.metadata import Query
from dovetail.testing.memory_metadata import MemoryMetadata
from dovetail.testing.memory_store import MemoryStore


def test_handles_of_one_name_show_the_same() -> None:
    ctx = PluginContext(instance="memory", home=Path())
    store = MemoryStore.open("memory://one", None, ctx)
    again = MemoryStore.open(store.url, None, ctx)
    store.put("a", b"x")
    assert again.get("a").read() == b"x"
    assert list(MemoryStore.open("", None, ctx).scan()) == []
    metadata = MemoryMetadata.open("memory://one", None, ctx)
    metadata.create_run("F", run_id="r")
    assert MemoryMetadata.open("one", None, ctx).query(Query(kind="runs"), columns=("run",)).rows == [("r",)]
    assert MemoryMetadata().query(Query(kind="runs")).rows == []


def test_the_store_keeps_the_contract() -> None:
    now = 100.0
    store = MemoryStore(clock=lambda: now)
    assert isinstance(store, SupportsAppend)
    assert isinstance(store, SupportsStage)
    assert isinstance(store, SupportsCopy)
    assert not store.capabilities & (DataStoreCapability.LOCAL_PATH | DataStoreCapability.PRESIGN)
    first = store.put("a", [b"x", b"y"], metadata={"k": "v"})
    with pytest.raises(AlreadyExistsError):
        store.put("a", b"z")
    now = 200.0
    assert store.put("a", b"z", mode="overwrite").etag != first.etag
    assert store.head("a").modified == 200.0
    store.delete(["a"], not_modified_since=199.0)
    assert store.get("a", byte_range=(0, 9)).read() == b"z"
    store.delete(["a", "missing"], not_modified_since=200.0)
    for action in (
        lambda: store.get("a"),
        lambda: store.head("a"),
        lambda: store.refresh("a"),
        lambda: store.sync(["a"]),
    ):
        with pytest.raises(NotFoundError):
            action()
    with pytest.raises(PreconditionError):
        store.put("b", b"") and store.append("b", b"")
    with pytest.raises(UsageError):
        store.put("../a", b"")
    with pytest.raises(UsageError):
        store.put("c", b"", mode="append")  # type: ignore[arg-type]
    with pytest.raises(UnsupportedOperationError):
        store.local_path("b")
    with pytest.raises(UnsupportedOperationError):
        store.presign("b", method="GET", expires=1.0)


def test_one_of_many_creators_wins() -> None:
    store = MemoryStore()
    won: list[int] = []

    def create(at: int) -> None:
        try:
            store.put("a", b"%d" % at)
        except AlreadyExistsError:
            return
        won.append(at)

    threads = [threading.Thread(target=create, args=(at,)) for at in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [b"%d" % at for at in won] == [store.get("a").read()]


def test_watch_tells_everything_and_ends() -> None:
    metadata = MemoryMetadata()
    metadata.create_run("F", run_id="r")
    seen: list[int] = []
    thread = threading.Thread(target=lambda: seen.extend(event.seq for event in metadata.watch("r", since=1)))
    thread.start()
    for n in range(1, 5):
        metadata.append("r", [Event("w", n, "note", 0.0)], fence=1)
    metadata.append("r", [Event("w", 5, "run.state", 0.0, "", {"state": "failed"})], fence=1)
    thread.join(30)
    assert seen == [2, 3, 4, 5]
    with pytest.raises(NotFoundError):
        metadata.watch("q")
