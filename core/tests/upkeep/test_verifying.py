"""Verifying: every flipped bit and truncation is found, named and repaired."""

from __future__ import annotations

import os
import random

import pytest
from amounts import SEED, amount
from storemaking import Making, big, objects, values_of

from dovetail.artifacts.fences import claim_fence
from dovetail.artifacts.identity import frame_leaves, value_digest
from dovetail.artifacts.layout import object_key
from dovetail.artifacts.upkeep.checking import check_object
from dovetail.artifacts.upkeep.copying import copy_run
from dovetail.artifacts.upkeep.edges import edges_of
from dovetail.artifacts.upkeep.verifying import verify
from dovetail.interfaces.datastore import DataStore
from dovetail.interfaces.errors import CorruptDataError, StoreVersionError
from dovetail.local.store import LocalStore
from dovetail.testing.memory_store import MemoryStore


def test_every_flipped_bit_and_every_truncation_of_an_object_is_found() -> None:
    store = MemoryStore()
    making = Making(store)
    frames = [b"\x80\x05N.", b"", b"x" * 70, b"y" * 5000]
    leaves = [frame_leaves(frame) for frame in frames]
    key = making.artifacts.save_frames("pickle", b"h", frames, leaves, value_digest("pickle", b"h", leaves))
    good = store.get(key).read()
    assert check_object(store, key) == len(good)
    for at in range(8 * len(good)):
        bad = bytearray(good)
        bad[at // 8] ^= 1 << at % 8
        store.put(key, bytes(bad), mode="overwrite")
        with pytest.raises((CorruptDataError, StoreVersionError)):
            check_object(store, key)
    for length in range(len(good)):
        store.put(key, good[:length], mode="overwrite")
        with pytest.raises(CorruptDataError):
            check_object(store, key)
    store.put(key, good + b"\0", mode="overwrite")
    with pytest.raises(CorruptDataError, match="too many"):
        check_object(store, key)


def test_large_objects_are_checked_to_the_end(store: DataStore) -> None:
    making = Making(store)
    key = object_key(making.artifacts.save(random.Random(1).randbytes((17 << 20) + 5)).digest)
    good = store.get(key).read()
    assert check_object(store, key) == len(good)
    for at in (5000, len(good) // 2, len(good) - 1):
        bad = bytearray(good)
        bad[at] ^= 1
        store.put(key, bytes(bad), mode="overwrite")
        with pytest.raises(CorruptDataError):
            check_object(store, key)


def test_faults_name_what_they_touch_and_are_repaired(store: DataStore, target: DataStore) -> None:
    print(f"DOVETAIL_SEED={SEED}")
    rng = random.Random(SEED)
    making = Making(store)
    runs = [making.run(x=big("parameter")).everything().end() for _ in range(2)]
    before = [values_of(store, run.id) for run in runs]
    copied = MemoryStore() if target is store else target
    for run in runs:
        copy_run(store, copied, run.id, stores=making.stores, pin={})
    assert verify(store).sound
    first = runs[0].id
    wrong = {
        f"Train/{first}/start/a": making.artifacts.save(big(f"{first} a")),
        f"Train/{first}/x": making.artifacts.save(big("parameter")),
        f"Train/{first}/loop/_foreach[1]": making.artifacts.save(big(f"{first} item 1")),
        f"Train/{first}/called~0123456789abcdef/argument x": making.artifacts.save(big(f"{first} argument")),
        f"Train/{first}/package": making.artifacts.save(big("code of Train")),
    }
    for number, ref in enumerate(wrong.values()):
        key = object_key(ref.digest)
        body = bytearray(store.get(key).read())
        if number == 1:
            store.delete([key])
            continue
        if number == 2:
            del body[rng.randrange(len(body)) :]
        else:
            body[rng.randrange(len(body))] ^= 1 << rng.randrange(8)
        store.put(key, bytes(body), mode="overwrite")
    found = verify(store)
    assert not found.sound
    assert {fault.key for fault in found.faults} == {object_key(ref.digest) for ref in wrong.values()}, SEED
    by_key = {fault.key: fault for fault in found.faults}
    for name, ref in wrong.items():
        assert name in by_key[object_key(ref.digest)].touches
    assert f"Train/{runs[1].id}/x" in by_key[object_key(wrong[f"Train/{first}/x"].digest)].touches
    repaired = verify(store, repair_from=copied)
    assert repaired.sound
    assert all(fault.repaired for fault in repaired.faults)
    assert len(repaired.faults) == 5
    assert not verify(store).faults
    assert [values_of(store, run.id) for run in runs] == before


def test_damage_of_records_logs_and_manifests_is_found_and_repaired(store: DataStore, target: DataStore) -> None:
    print(f"DOVETAIL_SEED={SEED}")
    from dovetail.artifacts.logs import LogWriter

    making = Making(store)
    run = making.run().everything()
    logs = LogWriter(store, run.id, run.fence)
    logs.append("start", 1, "stdout", 0, 1.0, b"hello\n" * 50)
    logs.flush()
    run.end()
    before = values_of(store, run.id)
    copy_run(store, target, run.id, stores=making.stores, pin={"url": "there"})
    rng = random.Random(SEED)
    keys = [info.key for kind in ("segments", "logs", "commits") for info in store.scan(f"runs/{run.id}/{kind}/")]
    for key in keys * amount("FLIPS", 3):
        good = bytearray(store.get(key).read())
        good[rng.randrange(len(good))] ^= 1 << rng.randrange(8)
        store.put(key, bytes(good), mode="overwrite")
        found = verify(store)
        assert key in {fault.key for fault in found.faults}, (SEED, key)
        assert found.faults[0].touches == (f"Train/{run.id}",)
        assert verify(store, repair_from=target, pin={"url": "here"}).sound
        assert values_of(store, run.id) == before
    manifest = f"runs/{run.id}/run.json"
    good = bytearray(store.get(manifest).read())
    store.put(manifest, bytes(good[: len(good) // 2]), mode="overwrite")
    assert manifest in {fault.key for fault in verify(store).faults}
    assert verify(store, repair_from=target, pin={"url": "here"}).sound
    store.delete([manifest])
    assert [fault.key for fault in verify(store).faults] == [manifest]


def test_an_object_that_can_not_be_read_is_a_fault(local: LocalStore) -> None:
    run = Making(local).run().everything()
    key = max(objects(local), key=lambda key: local.head(key).size)
    path = local.local_path(key)
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user reads everything")
    try:
        faults = {fault.key: fault for fault in verify(local).faults}
    finally:
        path.chmod(0o444)
    fault = faults[key]
    assert "permission denied" in fault.reason
    assert any(run.id in name for name in fault.touches)


def test_a_segment_that_is_cut_short_or_missing_is_found(store: DataStore) -> None:
    making = Making(store)
    run = making.run()
    for n in range(3):
        run.task(f"t{n}", {"a": big(f"t{n}")})
    claim_fence(store, run.id)
    assert not verify(store).faults
    keys = [info.key for info in store.scan(f"runs/{run.id}/segments/")]
    store.delete(keys[-1:])
    assert {fault.key for fault in verify(store).faults} == set(keys[-1:])


def test_a_sample_checks_so_many_and_that_the_others_are_there(store: DataStore) -> None:
    making = Making(store)
    making.run().everything()
    assert verify(store, sample=3).objects == 3
    assert verify(store, sample=0).objects == 0
    missing = min(objects(store))
    store.delete([missing])
    assert [fault.key for fault in verify(store, sample=0).faults] == [missing]


def test_what_holds_parts_of_a_damaged_object_is_touched(store: DataStore) -> None:
    making = Making(store)
    run = making.run()
    run.task("t", {"a": big("a")})
    child, owner = making.artifacts.save(big("a")).digest, making.artifacts.save(big("owner")).digest
    store.put(edges_of(child) + owner.hex(), b"")
    body = bytearray(store.get(object_key(owner)).read())
    body[-1] ^= 1
    store.put(object_key(owner), bytes(body), mode="overwrite")
    (fault,) = verify(store).faults
    assert (fault.key, fault.touches) == (object_key(owner), (f"Train/{run.id}/t/a",))
