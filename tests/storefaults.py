"""What changes a data store, each on a small store: to be killed, starved of room and interleaved anywhere."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from blake3 import blake3
from storemaking import DAY, MadeRun, Making, age, big, garbage, values_of

from dovetail.artifacts.fences import claim_fence
from dovetail.artifacts.manifest import RunManifest, put_manifest
from dovetail.artifacts.packing import ref_to_plain
from dovetail.artifacts.segments import find_record, read_records
from dovetail.artifacts.upkeep.collecting import collect
from dovetail.artifacts.upkeep.copying import copy_run
from dovetail.artifacts.upkeep.deletion import delete_keys
from dovetail.artifacts.upkeep.pins import put_pin, read_pins, remove_pin
from dovetail.artifacts.upkeep.verifying import verify
from dovetail.interfaces.artifacts import SerializedValue
from dovetail.interfaces.errors import AlreadyExistsError
from dovetail.local import _temporary
from dovetail.local.store import LocalStore
from dovetail.packaging.package import build_package

__all__ = ["OPEN", "OPERATIONS", "Operation", "Place", "check", "prepare", "rubbish_of", "table", "values"]

FIRST, SECOND, OPEN, NEW = (f"01h{number:023d}" for number in (1, 2, 3, 4))
TABLE = 20 * 65536


@dataclass(frozen=True)
class Place:
    """A store and, for copies, another one."""

    root: Path

    @property
    def roots(self) -> tuple[Path, Path]:
        """Their folders."""
        return self.root / "store", self.root / "target"

    def store(self) -> LocalStore:
        """The store, as another process would open it."""
        return LocalStore(self.roots[0])

    def target(self) -> LocalStore:
        """The other one."""
        return LocalStore(self.roots[1])

    def fresh(self, root: Path) -> Place:
        """A copy of both, times included."""
        shutil.copytree(self.root, root)
        return Place(root)


def table(change: int = 0, *, seed: int = 1) -> bytes:
    """A value that is large enough to share bytes with its earlier versions."""
    data = bytearray(random.Random(seed).randbytes(TABLE))
    data[:change] = bytes(change)
    return bytes(data)


def prepare(root: Path, *, seed: int = 1) -> Place:
    """Runs that have ended, one that goes on, what they share, and garbage; all of it two days old."""
    place = Place(root)
    store = place.store()
    making = Making(store)
    first = making.run(FIRST, x=big("parameter")).everything()
    first.task("big", {"table": table(seed=seed)})
    first.end()
    second = making.run(SECOND, x=big("parameter"))
    second.task("start", {"a": big(f"{FIRST} a"), "table": table(70_000, seed=seed)})
    second.end()
    making.run(OPEN).task("start", {"a": big("of the open run")})
    garbage(making.artifacts, 3)
    making.artifacts.save_value(_serialized(table(200_000, seed=seed)), name="table")
    age(store)
    store.close()
    other = place.target()
    Making(other).run(NEW).task("start", {"a": big("of the other store")})
    age(other)
    other.close()
    return place


def _serialized(data: bytes) -> SerializedValue:
    return SerializedValue("bytes", b"", [data], "bytes", raw=True)


def values(place: Place) -> dict[str, dict[str, Any]]:
    """Run → its values."""
    return {run: values_of(place.store(), run) for run in (FIRST, SECOND, OPEN)}


# -- operations -------------------------------------------------------------------------------------------------------


def _save(place: Place) -> None:
    artifacts = Making(place.store()).artifacts
    for value in (big("new"), big("garbage 1"), random.Random(7).randbytes(TABLE), b"the same words " * 90_000):
        assert artifacts.load(artifacts.save(value)) == value


def _save_shared(place: Place) -> None:
    artifacts = Making(place.store()).artifacts
    saved = artifacts.save_value(_serialized(table(300_000)), name="table")
    assert saved.digest


def _commit(place: Place) -> None:
    store = place.store()
    run = MadeRun(Making(store), OPEN, claim_fence(store, OPEN))
    made = {record.path for record in read_records(store, OPEN)}
    if "added" not in made:
        outputs = {"small": 7, "middle": b"m" * 5000, "old": big("garbage 2"), "table": table(65536 * 3)}
        run.task("added", outputs, sequence=[big("item"), b"little"])
    with suppress(AlreadyExistsError):
        run.task("apart", {"x": big("apart")}, commit=True)
    store.close()


def _committed(place: Place) -> None:
    found = values_of(place.store(), OPEN)
    assert found["added/old"] == big("garbage 2")
    assert found["added/table"] == table(65536 * 3)
    assert found["added/_foreach"] == [big("item"), b"little"]
    assert found["apart/x"] == big("apart")


def _begin(place: Place) -> None:
    store = place.store()
    file = str(Path(__file__))
    package = build_package({file: blake3(Path(file).read_bytes()).hexdigest()}, file)
    making = Making(store)
    code = {"package": ref_to_plain(making.artifacts.save(package.data)), "digest": package.digest}
    with suppress(AlreadyExistsError):
        put_manifest(store, RunManifest(run=NEW, flow="New", created=4.0, code=code))
    if not find_record(store, NEW, "start", b""):
        MadeRun(making, NEW, claim_fence(store, NEW)).task("start", {"a": 1})
    store.close()


def _collect(place: Place) -> None:
    collect(place.store(), threads=1)


def _delete(place: Place) -> None:
    delete_keys(place.store(), FIRST)


def _copy(place: Place) -> None:
    store, target = place.store(), place.target()
    for run in (SECOND, FIRST):  # the first one's values are parts of the second one's
        copy_run(store, target, run, stores={Making(store).uuid: store}, pin={"url": "there"})
    target.close()


def _copied(place: Place) -> None:
    for run in (FIRST, SECOND):
        assert values_of(place.target(), run) == values_of(place.store(), run)
    assert not verify(place.target()).faults


def _pin(place: Place) -> None:
    store = place.store()
    record = find_record(store, FIRST, "start", b"")
    assert record is not None
    put_pin(store, FIRST, note="first")
    put_pin(store, FIRST, artifact="start/a", ref=record.outputs["a"])
    for pin in read_pins(store):
        if not pin.artifact:
            remove_pin(store, pin)


@dataclass(frozen=True)
class Operation:
    """Something that changes a store, and may be done again after it was cut off."""

    act: Callable[[Place], None]
    """Does it."""
    confirm: Callable[[Place], None] = lambda place: None
    """Asserts that it is done."""
    takes: tuple[str, ...] = ()
    """Runs that it takes away."""


OPERATIONS: Mapping[str, Operation] = {
    "save": Operation(_save),
    "save shared": Operation(_save_shared),
    "commit": Operation(_commit, _committed),
    "begin": Operation(_begin),
    "gc": Operation(_collect),
    "delete": Operation(_delete, takes=(FIRST,)),
    "copy": Operation(_copy, _copied),
    "pin": Operation(_pin),
}


# -- what must hold ---------------------------------------------------------------------------------------------------


def check(place: Place, before: Mapping[str, Mapping[str, Any]], operation: Operation) -> None:
    """What was committed is there, whole, and stays when garbage is collected at this moment."""
    kept = {run: expected for run, expected in before.items() if run not in operation.takes}
    _compare(place, kept)
    for fault in verify(place.store()).faults:
        taken = {touched.split("/")[1] for touched in fault.touches} | {fault.key.split("/")[1]}
        assert taken & set(operation.takes), fault
    collect(place.store(), threads=1)
    _compare(place, kept)


def _compare(place: Place, kept: Mapping[str, Mapping[str, Any]]) -> None:
    for run, expected in kept.items():
        found = values_of(place.store(), run)
        assert {name: found.get(name) for name in expected} == expected, run


def rubbish_of(place: Place) -> list[str]:
    """What is left that nobody needs when days have passed and others have been at work."""
    before = _temporary.ASIDE_AGE
    _temporary.ASIDE_AGE = -1.0  # a minute has passed
    left: list[str] = []
    try:
        for root in place.roots:
            for path in root.rglob("*"):
                if path.is_file():
                    when = path.stat().st_mtime - 2 * DAY
                    os.utime(path, (when, when))
            for _ in range(2):  # what a killed collector put aside comes back first
                collect(LocalStore(root), threads=1)
            store = LocalStore(root)
            assert not verify(store).faults
            again = collect(store, threads=1)
            assert again.deleted == again.young == again.edges == 0, again
            left += [path.as_posix() for path in root.rglob("%*") if path.name not in ("%lock", "%tmp")]
            left += [path.as_posix() for path in (root / "%tmp").rglob("*")]
            objects = {path.name for path in (root / "objects").rglob("*")}
            left += [path.as_posix() for path in (root / "edges").rglob("*/*/*") if path.parent.name not in objects]
    finally:
        _temporary.ASIDE_AGE = before
    return left
