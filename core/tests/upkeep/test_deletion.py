"""Deleting a run's keys: interrupted anywhere, it can be finished, and says so by `run.json`."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from storemaking import Making, big, values_of

from dovetail.artifacts.fences import claim_fence
from dovetail.artifacts.layout import manifest_key
from dovetail.artifacts.segments import SegmentWriter
from dovetail.artifacts.upkeep.deletion import delete_keys
from dovetail.interfaces.datastore import DataStore
from dovetail.testing.memory_store import MemoryStore


class Interrupted(Exception):
    pass


class Interrupting(MemoryStore):
    """Deletes key by key, and stops behind some of them."""

    left = 1 << 30

    def delete(self, keys: Iterable[str], *, not_modified_since: float | None = None) -> None:
        for key in keys:
            if not self.left:
                raise Interrupted
            self.left -= 1
            super().delete([key], not_modified_since=not_modified_since)


def _keys(store: DataStore, run: str) -> list[str]:
    return [info.key for info in store.scan(f"runs/{run}/")]


def test_everything_of_a_run_goes_and_nothing_else(store: DataStore) -> None:
    making = Making(store)
    gone, stays = making.run().everything().end(), making.run().everything()
    before, rest = values_of(store, stays.id), {info.key for info in store.scan() if gone.id not in info.key}
    count = len(_keys(store, gone.id))
    done = delete_keys(store, gone.id)
    assert (done.keys, done.size > 1000) == (count, True)
    assert {info.key for info in store.scan()} == rest
    assert values_of(store, stays.id) == before
    assert delete_keys(store, gone.id).keys == 0


def test_interrupted_behind_any_key_it_is_finished_by_the_same_call() -> None:
    step = 0
    while True:
        store = Interrupting()
        making = Making(store)
        run = making.run().everything().end()
        claim_fence(store, run.id)
        zombie = SegmentWriter(store, run.id, 1)
        zombie._n = 7
        run.segments = zombie
        run.task("late", {"x": big("late")})  # never counted
        store.left = step
        try:
            delete_keys(store, run.id)
        except Interrupted:
            assert manifest_key(run.id) in _keys(store, run.id)
            assert not any(name.startswith("late") for name in values_of(store, run.id)), step
            store.left = 1 << 30
            delete_keys(store, run.id)
        else:
            break
        assert _keys(store, run.id) == []
        step += 1
    assert _keys(store, run.id) == []
    assert step == 8


def test_what_a_driver_that_did_not_know_wrote_meanwhile_goes_too(store: DataStore) -> None:
    making = Making(store)
    run = making.run().everything()
    calls = 0

    def tick() -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            SegmentWriter(store, run.id, 5).append([(b"record", b"")])

    delete_keys(store, run.id, tick=tick)
    assert _keys(store, run.id) == []


def test_what_tick_raises_ends_it_before_the_manifest(store: DataStore) -> None:
    run = Making(store).run().everything()
    with pytest.raises(Interrupted):
        delete_keys(store, run.id, tick=lambda: (_ for _ in ()).throw(Interrupted()))
    assert manifest_key(run.id) in _keys(store, run.id)
