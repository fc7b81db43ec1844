"""The collector: what it deletes, what it must not, and who may be at work meanwhile."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from amounts import SEED, amount
from storemaking import DAY, Making, age, big, garbage, objects, values_of

from dovetail.artifacts.fences import claim_fence
from dovetail.artifacts.guests import put_guest, read_guests
from dovetail.artifacts.layout import object_digest, object_key
from dovetail.artifacts.manifest import open_store
from dovetail.artifacts.upkeep.collecting import collect
from dovetail.artifacts.upkeep.deletion import delete_keys
from dovetail.artifacts.upkeep.edges import edges_of
from dovetail.artifacts.upkeep.pins import put_pin, read_pins, remove_pin
from dovetail.interfaces.datastore import DataStore, ObjectInfo
from dovetail.interfaces.errors import CorruptDataError, NotFoundError, StoreVersionError
from dovetail.local.store import LocalStore
from dovetail.testing.memory_store import MemoryStore


def test_what_anything_refers_to_is_kept_and_the_rest_goes(store: DataStore) -> None:
    making = Making(store)
    runs = [making.run(x=big("parameter"), y=1).everything() for _ in range(2)]
    before = [values_of(store, run.id) for run in runs]
    live = objects(store)
    rubbish = garbage(making.artifacts, 20)
    age(store)
    looked = collect(store, dry_run=True)
    assert objects(store) == live | rubbish
    done = collect(store)
    assert done == looked
    assert objects(store) == live
    assert (done.kept, done.deleted, done.young) == (len(live), 20, 0)
    assert done.deleted_bytes > 20 * 70_000
    assert [values_of(store, run.id) for run in runs] == before
    again = collect(store)
    assert (again.kept, again.deleted) == (len(live), 0)


def test_what_only_a_deleted_run_needed_goes(store: DataStore) -> None:
    making = Making(store)
    first, second = making.run(x=big("shared")).everything(), making.run(x=big("shared")).everything()
    age(store)
    delete_keys(store, first.id)
    before = values_of(store, second.id)
    done = collect(store)
    assert done.deleted > 5
    assert values_of(store, second.id) == before
    delete_keys(store, second.id)
    collect(store)
    assert objects(store) == set()


def test_what_is_young_by_the_clock_of_the_store_stays() -> None:
    # The store's clock is ten days behind ours, or ahead: only its own counts.
    for skew in (-10 * DAY, 10 * DAY):
        store = MemoryStore(clock=lambda skew=skew: time.time() + skew)  # type: ignore[misc]
        making = Making(store)
        young = garbage(making.artifacts, 3)
        assert collect(store).young == 3
        age(store, DAY - 60)
        assert collect(store).young == 3
        assert objects(store) == young
        age(store, 120)
        assert collect(store).deleted == 3


def test_keys_that_are_no_objects_are_left_alone(store: DataStore) -> None:
    open_store(store)
    store.put("objects/ab/abc", b"whose?")
    store.put("objects/ab/" + "g" * 64, b"whose?")
    age(store)
    collect(store)
    assert len(objects(store)) == 2


# -- pins, parts, other stores ----------------------------------------------------------------------------------------


def test_pinned_artifacts_outlive_their_run(store: DataStore) -> None:
    making = Making(store)
    run = making.run().everything()
    from dovetail.artifacts.segments import read_records

    records = {record.path: record for record in read_records(store, run.id)}
    value, sequence = records["start"].outputs["a"], records["wide"].sequence
    assert sequence is not None
    put_pin(store, run.id, artifact="start/a", ref=value, note="the best one")
    put_pin(store, run.id, artifact="wide/_foreach", ref=sequence)
    delete_keys(store, run.id)
    age(store)
    collect(store)
    assert making.artifacts.load(value) == big(f"{run.id} a")
    assert len(making.artifacts.load(sequence)) == 201
    assert sorted((pin.artifact, pin.note) for pin in read_pins(store)) == [
        ("start/a", "the best one"),
        ("wide/_foreach", ""),
    ]
    for pin in read_pins(store):
        remove_pin(store, pin)
    collect(store)
    assert objects(store) == set()


def test_what_a_kept_object_holds_parts_of_is_kept_to_the_end(store: DataStore) -> None:
    making = Making(store)
    names = [object_digest(key) for key in sorted(garbage(making.artifacts, 30))]
    chain, loose = names[:20], names[20:]
    random.Random(SEED).shuffle(chain)
    for child, owner in pairwise(chain):
        store.put(edges_of(child) + owner.hex(), b"")
    for child in loose[1:]:
        store.put(edges_of(child) + loose[0].hex(), b"")
    store.put(edges_of(b"\1" * 32) + chain[0].hex(), b"")  # of an object that was never written
    run = making.run()
    put_pin(store, run.id, artifact="x", ref=_ref(making, chain[0]))
    age(store)
    done = collect(store)
    kept = {object_digest(key) for key in objects(store)}
    assert set(chain) <= kept, SEED
    assert not set(loose) & kept
    assert done.edges == len(loose) - 1 + 1
    left = {info.key for info in store.scan("edges/")}
    assert left == {edges_of(child) + owner.hex() for child, owner in pairwise(chain)}


def _ref(making: Making, digest: bytes) -> Any:
    from dovetail.interfaces.artifacts import ArtifactRef, ObjectPlace

    return ArtifactRef(digest=digest, size=1, serializer="bytes", place=ObjectPlace(store=making.uuid))


def test_what_a_young_object_holds_parts_of_stays(store: DataStore) -> None:
    # A writer may have found it and not told yet; what it holds parts of can be older than itself.
    making = Making(store)
    child, owner, first, other = (object_digest(key) for key in sorted(garbage(making.artifacts, 4)))
    store.put(edges_of(child) + owner.hex(), b"")
    store.put(edges_of(owner) + first.hex(), b"")
    store.put(edges_of(other) + first.hex(), b"")
    age(store)
    store.refresh(object_key(child))
    collect(store)
    assert {object_digest(key) for key in objects(store)} == {child, owner, first}
    age(store)
    collect(store)
    assert objects(store) == set()
    collect(store)
    assert not list(store.scan("edges/"))


def test_young_edges_stay_though_their_object_is_not_written_yet(store: DataStore) -> None:
    open_store(store)
    store.put(edges_of(b"\1" * 32) + "ab" * 32, b"")
    assert collect(store).edges == 0
    assert len(list(store.scan("edges/"))) == 1


def test_values_of_runs_of_another_store_are_kept(store: DataStore, tmp_path: Path) -> None:
    home = LocalStore(tmp_path / "home")
    making = Making(home, other=store)
    run = making.run().everything()
    put_guest(store, making.uuid, {"url": home.url, "backend": "local", "target": ""})
    assert read_guests(store)[making.uuid]["target"] == home.url
    rubbish = garbage(Making(store).artifacts, 3)
    age(store)
    before = values_of(home, run.id, making.stores)
    collect(store, homes={making.uuid: home})
    assert not rubbish & objects(store)
    assert values_of(home, run.id, making.stores) == before


# -- damage -----------------------------------------------------------------------------------------------------------


def _damaged(store: DataStore, key: str, change: Any) -> None:
    body = bytearray(store.get(key).read())
    change(body)
    store.put(key, bytes(body), mode="overwrite")


def _flip(at: int) -> Any:
    def change(body: bytearray) -> None:
        body[at] ^= 4

    return change


def test_nothing_is_deleted_while_records_are_damaged(store: DataStore) -> None:
    making = Making(store)
    run = making.run().everything()
    claim_fence(store, run.id)  # from now on it is known how far the segment counts
    garbage(making.artifacts, 3)
    age(store)
    before = objects(store)
    rng = random.Random(SEED)
    keys = [info.key for info in store.scan(f"runs/{run.id}/") if "/fences/" not in info.key]
    for key in keys:
        good = store.get(key).read()
        if not key.endswith("run.json") and "/attempts/" not in key:
            _damaged(store, key, _flip(rng.randrange(len(good))))
        else:
            _damaged(store, key, lambda body: body.__delitem__(slice(len(body) // 2, None)))
        with pytest.raises(CorruptDataError, match="nothing was deleted") as caught:
            collect(store)
        assert key in caught.value.message, (SEED, key)
        assert objects(store) == before
        store.put(key, good, mode="overwrite")
    assert collect(store).deleted == 3


def test_a_record_behind_a_damaged_one_stops_the_collector(local: LocalStore) -> None:
    making = Making(local)
    run = making.run()
    for n in range(3):
        run.task(f"t{n}", {"a": big(f"t{n}")})
    key = f"runs/{run.id}/segments/000001-000000"
    _damaged(local, key, _flip(200))
    age(local)
    with pytest.raises(CorruptDataError, match="torn or corrupt"):
        collect(local)
    assert len(objects(local)) == 5


def test_a_torn_tail_of_a_killed_driver_does_not(local: LocalStore) -> None:
    making = Making(local)
    run = making.run()
    run.task("t0", {"a": big("t0")})
    key = f"runs/{run.id}/segments/000001-000000"
    whole = local.get(key).read()
    for length in (3, 16, 40, len(whole) - 1):
        local.put(key, whole + whole[:length], mode="overwrite")
        age(local)
        assert collect(local).deleted == 0
    claim_fence(local, run.id)
    assert collect(local).kept == 3


def test_a_newer_record_stops_the_collector(local: LocalStore) -> None:
    from dovetail.artifacts.msgpacked import pack
    from dovetail.artifacts.segments import SegmentWriter

    run = Making(local).run()
    body = pack([pack({}), b"", {}, None, None, 1.0, 2.0])
    head = [99, "t", b"c" * 32, *[None] * 12]
    SegmentWriter(local, run.id, 1).append([(pack([head, body]), b"")])
    with pytest.raises(StoreVersionError, match="version 99"):
        collect(local)


# -- others at work ---------------------------------------------------------------------------------------------------


class SteppingStore(LocalStore):
    """Calls back once, before the first listing of objects or the first deletion."""

    before_sweep: Any = None
    before_delete: Any = None

    def scan(self, prefix: str = "", *, after: str | None = None) -> Iterator[ObjectInfo]:
        if prefix.startswith("objects/") and self.before_sweep is not None:
            self.before_sweep, step = None, self.before_sweep
            step()
        return super().scan(prefix, after=after)

    def delete(self, keys: Iterable[str], *, not_modified_since: float | None = None) -> None:
        if self.before_delete is not None:
            self.before_delete, step = None, self.before_delete
            step()
        super().delete(keys, not_modified_since=not_modified_since)


@pytest.mark.parametrize("moment", ["before_sweep", "before_delete"])
def test_a_value_that_is_reused_while_it_is_about_to_go_stays(tmp_path: Path, moment: str) -> None:
    store = SteppingStore(tmp_path / "store")
    making = Making(store)
    value = big("garbage 1")
    rubbish = garbage(making.artifacts, 3)
    run = making.run()
    age(store)
    setattr(store, moment, lambda: run.task("t", {"again": value}))
    collect(store)
    assert values_of(store, run.id) == {"t/again": value}
    assert len(rubbish & objects(store)) == 1
    store.close()


def test_a_value_that_went_is_written_again(store: DataStore) -> None:
    making = Making(store)
    garbage(making.artifacts, 1)
    age(store)
    collect(store)
    run = making.run()
    run.task("t", {"again": big("garbage 0")})
    assert values_of(store, run.id) == {"t/again": big("garbage 0")}


def test_whoever_reads_a_value_that_goes_keeps_reading(local: LocalStore) -> None:
    making = Making(local)
    value = random.Random(SEED).randbytes(3 << 20)
    ref = making.artifacts.save(value)
    _, frames = making.artifacts.fetch(ref)
    with local.get(object_key(ref.digest)) as stream:
        age(local)
        assert collect(local).deleted == 1
        assert bytes(frames[0]) == value
        assert value in stream.stream.read()
    with pytest.raises(NotFoundError):
        local.head(object_key(ref.digest))


def test_collectors_writers_and_deleters_side_by_side(tmp_path: Path) -> None:
    """Two collectors beside writers whose runs reuse values that have just become old garbage."""
    print(f"DOVETAIL_SEED={SEED}")
    root = tmp_path / "store"
    store = LocalStore(root)
    open_store(store)
    done = threading.Event()
    failures: list[BaseException] = []
    collected: list[int] = []
    kept: list[str] = []

    def collector() -> None:
        try:
            while not done.is_set():
                collected.append(collect(LocalStore(root)).deleted)
        except BaseException as error:
            failures.append(error)

    def writer(number: int) -> None:
        rng = random.Random(SEED + number)
        mine = Making(LocalStore(root))
        old: list[bytes] = []
        try:
            for n in range(amount("COLLECTED", 20)):
                run = mine.run(f"01h{number}{n:022d}")
                run.task("t", {f"v{i}": value for i, value in enumerate([*old, big(f"new {number} {n}")])})
                old = [big(f"old {number} {n} {i}") for i in range(3)]
                for value in old:
                    os.utime(root / object_key(mine.artifacts.save(value).digest), (1, 1))
                if rng.random() < 0.4:
                    delete_keys(mine.store, run.id)
                else:
                    kept.append(run.id)
        except BaseException as error:
            failures.append(error)

    collectors = [threading.Thread(target=collector) for _ in range(2)]
    writers = [threading.Thread(target=writer, args=(n,)) for n in range(2)]
    for thread in collectors + writers:
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    for thread in collectors:
        thread.join()
    assert not failures, failures
    assert sum(collected) > 0
    for run in kept:
        assert len(values_of(store, run)) == (1 if run.endswith("0" * 22) else 4), run
    store.close()


# -- killed -----------------------------------------------------------------------------------------------------------

_KILLED = """
import os, signal, sys
from dovetail.artifacts.upkeep.collecting import collect
from dovetail.local import _files
from dovetail.local.store import LocalStore

left = int(sys.argv[2])
for name in ("rename", "unlink", "rmdir"):
    def counted(*args, _real=getattr(os, name), **kwargs):
        global left
        if "/objects/" in str(args[0]):
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return _real(*args, **kwargs)
    setattr(os, name, counted)
collect(LocalStore(sys.argv[1]), threads=1)
"""


def test_a_collector_that_is_killed_at_any_step_loses_nothing(tmp_path: Path) -> None:
    print(f"DOVETAIL_SEED={SEED}")
    store = LocalStore(tmp_path / "store")
    making = Making(store)
    run = making.run().everything()
    live = objects(store)
    before = values_of(store, run.id)
    rng = random.Random(SEED)
    steps = sorted({0, 1, 2, 3, *(rng.randrange(60) for _ in range(amount("KILLS", 6)))})
    for step in steps:
        garbage(making.artifacts, 15)
        age(store, prefix="objects/")
        died = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(_KILLED), str(tmp_path / "store"), str(step)], check=False
        )
        assert died.returncode in (0, -signal.SIGKILL)
        assert live <= objects(store), step
        assert values_of(store, run.id) == before, step
    # What a killed one put aside comes back after a minute, and goes with the next.
    for aside in (tmp_path / "store").rglob("%g*"):
        os.rename(aside, aside.with_name(aside.name[len("%g") + 8 :]))
    age(store, prefix="objects/")
    collect(store)
    assert objects(store) == live
    store.close()
