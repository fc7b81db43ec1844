"""Stores that misbehave, and that what is guarded gets along with them."""

from __future__ import annotations

import pytest

from dovetail.interfaces.datastore import DataStore, SupportsAppend, SupportsCopy, SupportsLocalPath
from dovetail.interfaces.errors import BackendTimeoutError, ThrottledError
from dovetail.interfaces.metadata import MetadataProvider
from dovetail.plugins.descriptors import DataStoreSpec
from dovetail.plugins.guard import GuardPolicy, guard, stats_of
from dovetail.testing import DataStoreConformance, FlakyStore, MemoryMetadata, MemoryStore, SlowStore, ThrottledBackend

SPEC = DataStoreSpec(name="memory", factory="dovetail.testing.memory_store:MemoryStore")


class TestASlowStoreIsAStore(DataStoreConformance):
    @pytest.fixture
    def store(self) -> DataStore:
        store: DataStore = SlowStore(MemoryStore(), delay=0.0, jitter=0.0001, sleep=lambda seconds: None)
        return store


class TestAGuardedStoreIsAStore(DataStoreConformance):
    @pytest.fixture
    def store(self) -> DataStore:
        guarded: DataStore = guard(MemoryStore(), SPEC)
        return guarded


def test_the_same_seed_gives_the_same_faults() -> None:
    def outcomes(seed: int) -> list[bool]:
        store = FlakyStore(MemoryStore(), seed=seed, rate=0.5, faults=("before",))
        found = []
        for n in range(40):
            try:
                store.put(f"k{n}", b"x")
            except BackendTimeoutError:
                found.append(False)
            else:
                found.append(True)
        assert store.failures == found.count(False)
        return found

    assert outcomes(1) == outcomes(1)
    assert outcomes(1) != outcomes(2)
    assert 5 < outcomes(1).count(False) < 35


def test_an_answer_that_is_lost_was_done_all_the_same() -> None:
    inner = MemoryStore()
    store = FlakyStore(inner, rate=1.0, faults=("after",))
    with pytest.raises(BackendTimeoutError, match="lost"):
        store.put("k", b"x")
    assert inner.get("k").read() == b"x"
    store = FlakyStore(inner, rate=1.0, faults=("before",))
    with pytest.raises(BackendTimeoutError, match="no connection"):
        store.delete(["k"])
    assert inner.get("k").read() == b"x"


def test_readers_break_off_in_the_middle() -> None:
    inner = MemoryStore()
    inner.put("k", b"0123456789")
    store = FlakyStore(inner, rate=1.0, faults=("reading",))
    result = store.get("k")
    assert result.length == 10
    assert result.stream.read(5) == b"01234"
    with pytest.raises(BackendTimeoutError):
        result.read()
    with pytest.raises(BackendTimeoutError):
        list(store.scan())


def test_a_proxy_is_what_it_stands_for() -> None:
    store = FlakyStore(MemoryStore(), rate=0.0)
    assert isinstance(store, DataStore)
    assert isinstance(store, SupportsAppend)
    assert isinstance(store, SupportsCopy)
    assert not isinstance(store, SupportsLocalPath)
    assert isinstance(ThrottledBackend(MemoryMetadata()), MetadataProvider)
    assert "MemoryStore" in repr(store)


def test_a_service_that_refuses_takes_calls_again_later() -> None:
    now = [0.0]
    provider = ThrottledBackend(MemoryMetadata(), calls=2, per=10.0, clock=lambda: now[0])
    provider.create_run("F", run_id="a")
    provider.create_run("F", run_id="b")
    with pytest.raises(ThrottledError, match="more than 2 calls in 10 s"):
        provider.create_run("F", run_id="c")
    now[0] = 10.0
    provider.create_run("F", run_id="c")
    assert provider.refused == 1


def test_a_guard_gets_over_what_is_safe_to_try_again() -> None:
    inner = MemoryStore()
    flaky = FlakyStore(inner, seed=5, rate=0.3, faults=("before", "after"))
    store = guard(flaky, SPEC, policy=GuardPolicy(retries=30, sleep=lambda seconds: None))
    for n in range(30):
        store.put(f"k{n}", b"%d" % n, mode="overwrite")
    assert [store.get(f"k{n}").read() for n in range(30)] == [b"%d" % n for n in range(30)]
    assert len(list(store.scan())) == 30
    assert flaky.failures > 10
    assert stats_of(store)["put"].retries > 0


def test_a_slow_store_takes_its_time() -> None:
    waits: list[float] = []
    store = SlowStore(MemoryStore(), delay=0.5, jitter=0.25, seed=1, sleep=waits.append)
    store.put("k", b"x")
    store.get("k").read()
    assert len(waits) == 2
    assert all(0.5 <= wait <= 0.75 for wait in waits)
