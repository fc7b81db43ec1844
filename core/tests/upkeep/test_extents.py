"""Values that share bytes or are compressed: collected, verified, copied and measured whole."""

from __future__ import annotations

import random

import pytest
from amounts import SEED
from storemaking import Making, age, objects, values_of

from dovetail.artifacts.layout import object_digest, object_key
from dovetail.artifacts.segments import read_records
from dovetail.artifacts.upkeep.checking import check_object
from dovetail.artifacts.upkeep.collecting import collect
from dovetail.artifacts.upkeep.copying import copy_run
from dovetail.artifacts.upkeep.deletion import delete_keys
from dovetail.artifacts.upkeep.usage import measure_usage
from dovetail.artifacts.upkeep.verifying import verify
from dovetail.interfaces.datastore import DataStore

SIZE = 3 << 20


@pytest.fixture
def making(store: DataStore) -> Making:
    """A run with a value, one with a changed copy of it, and one whose values are compressed."""
    making = Making(store)
    value = random.Random(1).randbytes(SIZE)
    first, second, third = making.run(), making.run(), making.run()
    first.task("t", {"table": value})
    changed = bytearray(value)
    changed[SIZE // 2 : SIZE // 2 + 1000] = bytes(1000)
    second.task("t", {"table": bytes(changed)})
    third.task("t", {"text": b"the same words " * 200_000})
    assert len(list(store.scan("edges/"))) == 1
    return making


def runs(making: Making) -> list[str]:
    return [f"01h{number:023d}" for number in (1, 2, 3)]


def test_what_a_kept_value_has_bytes_in_is_kept(making: Making) -> None:
    store, (first, second, third) = making.store, runs(making)
    before = values_of(store, second)
    delete_keys(store, first)
    age(store)
    assert collect(store).deleted == 0
    assert values_of(store, second) == before
    delete_keys(store, second)
    collect(store)
    assert values_of(store, third)["t/text"] == b"the same words " * 200_000
    assert not list(store.scan("edges/"))


def test_every_byte_is_checked_and_repaired(making: Making, target: DataStore) -> None:
    print(f"DOVETAIL_SEED={SEED}")
    store, rng = making.store, random.Random(SEED)
    before = [values_of(store, run) for run in runs(making)]
    for run in runs(making):
        copy_run(store, target, run, stores=making.stores, pin={})
    assert verify(store).sound
    assert verify(target).sound
    assert [values_of(target, run) for run in runs(making)] == before
    tables = {run: record.outputs for run in runs(making) for record in read_records(store, run)}
    owner, child = (object_key(tables[run]["table"].digest) for run in runs(making)[:2])
    for key in sorted(objects(store)):
        good = store.get(key).read()
        assert check_object(store, key) == len(good)
        bad = bytearray(good)
        # Behind the first leaf, which every version of the table has.
        bad[5000 if key == owner else rng.randrange(len(bad))] ^= 1 << rng.randrange(8)
        store.put(key, bytes(bad), mode="overwrite")
        found = {fault.key: fault for fault in verify(store).faults}
        assert key in found, (SEED, key)
        if key == owner:
            assert set(found) == {owner, child}
            assert f"Train/{runs(making)[1]}/t/table" in found[owner].touches
        done = verify(store, repair_from=target)
        assert done.sound, (SEED, key)
        assert [values_of(store, run) for run in runs(making)] == before
    store.delete([owner])
    assert {fault.key for fault in verify(store).faults} == {owner, child}
    assert verify(store, repair_from=target).sound


def test_shared_bytes_count_for_both(making: Making) -> None:
    found = {row.name.rpartition("/")[2]: row for row in measure_usage(making.store, by="run").rows}
    first, second, third = (found[run] for run in runs(making))
    assert first.shared >= SIZE
    assert second.shared >= SIZE
    assert second.unique < SIZE // 10
    assert third.unique < SIZE // 10
    assert object_digest(min(objects(making.store)))
