"""Copying runs: whole, verified, from any point on."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from storemaking import Making, age, big, objects, values_of

from dovetail.artifacts.fences import claim_fence
from dovetail.artifacts.layout import manifest_key, object_digest, object_key
from dovetail.artifacts.manifest import open_store, read_manifest
from dovetail.artifacts.segments import SegmentWriter
from dovetail.artifacts.upkeep.collecting import collect
from dovetail.artifacts.upkeep.copying import copy_run
from dovetail.artifacts.upkeep.edges import edges_of
from dovetail.artifacts.upkeep.transfer import copy_object
from dovetail.artifacts.upkeep.verifying import verify
from dovetail.interfaces.datastore import Body, DataStore, ObjectInfo
from dovetail.interfaces.errors import CorruptDataError, StoreError, StoreFullError
from dovetail.testing.memory_store import MemoryStore

PIN = {"url": "memory://copy", "backend": "memory"}


def test_a_copy_has_everything_and_needs_nothing_of_the_source(store: DataStore, target: DataStore) -> None:
    making = Making(store, other=MemoryStore())
    runs = [making.run(x=big("parameter")).everything() for _ in range(2)]
    claim_fence(store, runs[0].id)
    claim_fence(store, runs[0].id)
    runs[1].end()
    for run in runs:
        before = values_of(store, run.id, making.stores)
        assert len(before) == 10
        done = copy_run(store, target, run.id, stores=making.stores, pin=PIN)
        assert done.objects > 0
        assert not done.complete
        assert values_of(target, run.id) == before
        assert dict(read_manifest(target, run.id).stores) == {open_store(target): PIN}
    assert verify(target).sound
    age(target)
    assert collect(target).deleted == 0


def test_a_second_copy_writes_nothing_and_one_of_a_run_that_went_on_the_rest(
    store: DataStore, target: DataStore
) -> None:
    making = Making(store)
    run = making.run().everything()
    copy_run(store, target, run.id, stores=making.stores, pin=PIN)
    again = copy_run(store, target, run.id, stores=making.stores, pin=PIN)
    assert (again.complete, again.size, again.objects) == (True, 0, 0)
    run.segments = SegmentWriter(store, run.id, claim_fence(store, run.id))
    run.task("more", {"z": big("more")})
    more = copy_run(store, target, run.id, stores=making.stores, pin=PIN)
    assert more.objects == 1
    assert values_of(target, run.id) == values_of(store, run.id)
    claim_fence(target, run.id)
    with pytest.raises(StoreError, match="went on in"):
        copy_run(store, target, run.id, stores=making.stores, pin=PIN)


class Filling(MemoryStore):
    """Has room for some objects."""

    room = 1 << 30

    def put(
        self, key: str, body: Body, *, mode: Literal["create", "overwrite"] = "create", **options: Any
    ) -> ObjectInfo:
        if not self.room:
            raise StoreFullError(f"no space is left for {key}")
        self.room -= 1
        return super().put(key, body, mode=mode, **options)


def test_stopped_at_any_write_a_copy_goes_on() -> None:
    store = MemoryStore()
    making = Making(store)
    run = making.run().everything().end()
    before = values_of(store, run.id)
    target = Filling()
    open_store(target)
    stops = 0
    while True:
        target.room = 1
        try:
            copy_run(store, target, run.id, stores=making.stores, pin=PIN)
        except StoreFullError:
            stops += 1
            written = [info.key for info in target.scan("runs/")]
            assert manifest_key(run.id) not in written
        else:
            break
    assert stops > 15
    assert values_of(target, run.id) == before


def test_a_damaged_object_is_not_copied(store: DataStore, target: DataStore) -> None:
    making = Making(store)
    run = making.run().everything()
    key = min(objects(store))
    body = bytearray(store.get(key).read())
    body[-20_000] ^= 1
    store.put(key, bytes(body), mode="overwrite")
    for _ in range(2):  # the second one must not take what the first one wrote for whole
        with pytest.raises(CorruptDataError):
            copy_run(store, target, run.id, stores=making.stores, pin=PIN)
        assert not list(target.scan(manifest_key(run.id)))
        assert key not in objects(target)


def test_what_is_damaged_is_not_replaced_by_what_is_damaged_too(store: DataStore, target: DataStore) -> None:
    digest = Making(store).artifacts.save(big("value")).digest
    copy_object(store, target, digest)
    key = object_key(digest)
    damaged = {}
    for place, at in ((store, -20_000), (target, -40_000)):
        body = bytearray(place.get(key).read())
        body[at] ^= 1
        place.put(key, bytes(body), mode="overwrite")
        damaged[place.url] = bytes(body)
    with pytest.raises(CorruptDataError):
        copy_object(store, target, digest, replace=True)
    assert target.get(key).read() == damaged[target.url]


def test_parts_that_lie_in_other_objects_come_along(store: DataStore, target: DataStore) -> None:
    making = Making(store)
    refs = [making.artifacts.save(big(f"v{n}")).digest for n in range(3)]
    store.put(edges_of(refs[0]) + refs[1].hex(), b"")
    store.put(edges_of(refs[1]) + refs[2].hex(), b"")
    open_store(target)
    copy_object(store, target, refs[0])
    assert {object_digest(key) for key in objects(target)} == set(refs)
    assert [info.key for info in target.scan("edges/")] == [info.key for info in store.scan("edges/")]
