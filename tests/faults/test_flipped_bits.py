"""A bit changes, or the end is missing, in each region of an object's file: client, worker and `store verify` say so.

DOVETAIL_FLIPS says how many bits of each region.
"""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from amounts import SEED, amount
from flowproject import FlowProject
from storemaking import Making, values_of

from dovetail.artifacts.layout import object_key
from dovetail.artifacts.segments import find_record
from dovetail.artifacts.upkeep.verifying import verify
from dovetail.interfaces.errors import CorruptDataError, DovetailError, StoreVersionError
from dovetail.local.store import LocalStore

FLIPS = amount("FLIPS", 3)
FLOW = """
class Damaged(FlowSpec):
    @step
    def start(self):
        import random
        self.plain = random.Random(1).randbytes(90_000)
        self.packed = b"the same words " * 100_000
        self.table = random.Random(2).randbytes(20 * 65536)
        self.next(self.shared)

    @step
    def shared(self):
        self.table = self.table[:-70_000] + bytes(70_000)
        self.next(self.end)

    @step
    def end(self):
        self.size = len(self.plain) + len(self.packed) + len(self.table)
"""


@pytest.fixture
def made(project: FlowProject) -> tuple[FlowProject, LocalStore, str]:
    project.write(FLOW)
    return project, LocalStore(project.home / "local"), project.ok("run", "flow.py").run


def regions(data: bytes) -> Iterator[tuple[str, int, int]]:
    """(name, begin, end) of each part of an object's file, in bytes."""
    offset, length = struct.unpack_from("<QQ", data, 20)
    yield "prelude", 0, 64
    yield "header", offset, offset + length
    if offset > 64:
        yield "zeros", 64, 4096
        yield "frames", 4096, offset
    else:
        yield "frames", -(-(offset + length) // 4096) * 4096, len(data)


def damaged(path: Path, rng: random.Random) -> Iterator[str]:
    """The file with one thing wrong, again and again; as it was in the end."""
    good = path.read_bytes()
    path.chmod(0o644)
    try:
        for name, begin, end in regions(good):
            for at in rng.sample(range(8 * begin, 8 * end), FLIPS):
                bad = bytearray(good)
                bad[at // 8] ^= 1 << at % 8
                path.write_bytes(bad)
                yield f"bit {at} in the {name}, seed {SEED}"
            for length in (begin, rng.randrange(begin, end)):
                path.write_bytes(good[:length])
                yield f"cut to {length} in the {name}, seed {SEED}"
    finally:
        path.write_bytes(good)


def test_client_and_verify_find_damage_in_each_region(made: tuple[FlowProject, LocalStore, str]) -> None:
    project, store, run = made
    rng = random.Random(SEED)
    whole = values_of(store, run)
    for path, name in (("start", "plain"), ("start", "packed"), ("start", "table"), ("shared", "table")):
        record = find_record(store, run, path, b"")
        assert record is not None
        key = object_key(record.outputs[name].digest)
        for where in damaged(store.local_path(key), rng):
            faults = {fault.key: fault for fault in verify(store).faults}
            assert key in faults, where
            assert f"Damaged/{run}/{path}/{name}" in faults[key].touches, where
            try:
                loaded = project.run(run)[path].task[name].data
            except (CorruptDataError, StoreVersionError) as error:
                told = error.message
                assert f"{run}/{path}/{name}" in told, (where, told)
            else:  # what nobody needs to read it; or a mapped frame, of which a sample is looked at
                assert loaded == whole[f"{path}/{name}"] or name == "table", where
    assert not verify(store).faults


def test_a_worker_refuses_a_damaged_input_and_names_it(made: tuple[FlowProject, LocalStore, str]) -> None:
    project, store, run = made
    record = find_record(store, run, "start", b"")
    assert record is not None
    path = store.local_path(object_key(record.outputs["plain"].digest))
    good = path.read_bytes()
    path.chmod(0o644)
    bad = bytearray(good)
    bad[len(bad) // 2] ^= 4
    path.write_bytes(bad)
    failed = project.dovetail("resume", run, "--from", "end")
    assert failed.code != 0
    assert "plain" in failed.err
    assert "corrupt" in failed.err
    told = json.loads(project.fails("store", "verify", "--json", code=4).out)
    assert [fault["key"] for fault in told["faults"]] == [object_key(record.outputs["plain"].digest)]
    assert f"Damaged/{run}/start/plain" in told["faults"][0]["touches"]
    path.write_bytes(good)
    assert project.ok("resume", run, "--from", "end")


def test_every_document_of_a_run_is_verified(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    run = Making(store).run(x=1).everything().end()
    rng = random.Random(SEED)
    keys = [info.key for info in store.scan("runs/") if info.key.split("/")[2] not in ("segments", "commits", "logs")]
    assert {key.split("/")[2] for key in keys} == {"run.json", "fences", "attempts", "end"}
    for key in keys:
        good = store.get(key).read()
        for at in rng.sample(range(8 * len(good)), 4 * FLIPS):
            bad = bytearray(good)
            bad[at // 8] ^= 1 << at % 8
            store.put(key, bytes(bad), mode="overwrite")
            try:
                assert key in {fault.key for fault in verify(store).faults}, (key, at, SEED)
            except DovetailError as error:
                raise AssertionError(f"{key}, bit {at}, seed {SEED}: {error}") from error
        store.put(key, good, mode="overwrite")
    assert not verify(store).faults
    assert verify(store).unchecked == 0
    assert run.id
