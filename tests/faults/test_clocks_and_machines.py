"""Machines whose clocks differ, a machine with an empty index of its own, stores reached from other folders, pins."""

from __future__ import annotations

import json
import os
import time
from functools import partial
from pathlib import Path

import pytest
from flowproject import FlowProject
from storemaking import Making, age, big, garbage, objects, values_of

from dovetail.artifacts.layout import object_key
from dovetail.artifacts.upkeep.collecting import collect
from dovetail.artifacts.upkeep.verifying import verify
from dovetail.client import Client
from dovetail.local.store import LocalStore

HOUR = 3600.0
FLOW = """
class Shared(FlowSpec):
    @step
    def start(self):
        self.large = b"l" * 200_000
        self.small = {"a": [1, 2]}
        self.next(self.end)

    @step
    def end(self):
        pass
"""


def _shifted(seconds: float) -> float:
    return time.time() + seconds


@pytest.mark.parametrize("shift", [-40 * HOUR, -2 * HOUR, 2 * HOUR, 40 * HOUR])
def test_a_day_of_grace_is_a_day_whatever_the_collectors_clock_says(tmp_path: Path, shift: float) -> None:
    making = Making(LocalStore(tmp_path / "store"))
    young, old = sorted(garbage(making.artifacts, 2))
    age(making.store, 23 * HOUR)
    os.utime(making.store.local_path(old), (time.time() - 25 * HOUR,) * 2)
    other = LocalStore(tmp_path / "store", clock=partial(_shifted, shift))
    done = collect(other)
    assert (done.deleted, done.young) == (1, 1)
    assert objects(making.store) == {young}
    assert not [*(tmp_path / "store" / "%tmp").iterdir()]


@pytest.mark.parametrize("shift", [-40 * HOUR, -2 * HOUR, 2 * HOUR, 40 * HOUR])
def test_a_writer_makes_young_what_it_reuses_whatever_its_clock_says(tmp_path: Path, shift: float) -> None:
    first = Making(LocalStore(tmp_path / "store"))
    key = object_key(first.artifacts.save(big("reused")).digest)
    age(first.store, 20 * HOUR)
    second = Making(LocalStore(tmp_path / "store", clock=partial(_shifted, shift)))
    second.artifacts.save(big("reused"))
    assert time.time() - os.stat(first.store.local_path(key)).st_mtime < HOUR
    age(first.store, 20 * HOUR)
    assert collect(LocalStore(tmp_path / "store")).deleted == 0
    assert not verify(first.store).faults


def test_a_machine_with_an_empty_index_collects_only_garbage(project: FlowProject) -> None:
    shared = project.folder / "shared"
    (project.folder / "dovetail.toml").write_text('[datastore.local]\npath = "shared"\n')
    project.write(FLOW)
    run = project.ok("run", "flow.py").run
    store = LocalStore(shared)
    rubbish = garbage(Making(store).artifacts, 3)
    before = values_of(store, run)
    age(store)
    elsewhere = {"DOVETAIL_HOME": str(project.folder / "second machine")}
    done = json.loads(project.ok("store", "gc", "--json", env=elsewhere).out)
    assert done["deleted"] == 3
    assert not rubbish & objects(store)
    assert values_of(store, run) == before
    assert project.run(run)["start"].task.data.large == b"l" * 200_000
    assert json.loads(project.ok("store", "verify", "--json", env=elsewhere).out)["sound"]


@pytest.mark.parametrize("key", ["path", "target"])
def test_a_relative_place_of_a_store_is_where_the_settings_lie(
    project: FlowProject, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project.folder / "dovetail.toml").write_text(f'[datastore.local]\n{key} = "kept/here"\n')
    project.write(FLOW)
    run = project.ok("run", "flow.py").run
    assert (project.folder / "kept" / "here" / "dovetail-store.json").exists()
    apart = tmp_path / "apart"
    apart.mkdir()
    monkeypatch.chdir(apart)
    assert Client(project.home, namespace=None).run(run)["start"].task.data.large == b"l" * 200_000
    assert not [*apart.iterdir()]


def test_a_pinned_artifact_is_read_when_its_run_is_gone(project: FlowProject) -> None:
    project.write(FLOW)
    run = project.ok("run", "flow.py").run
    project.ok("store", "pin", f"{run}/start/large")
    project.ok("store", "pin", f"{run}/start/small")
    project.ok("runs", "delete", run, "--yes")
    age(LocalStore(project.home / "local"))
    project.ok("store", "gc")
    assert json.loads(project.ok("get", f"{run}/start/small", "--json").out) == {"a": [1, 2]}
    project.ok("get", f"{run[:12]}/start/large", "-o", str(project.folder / "out"))
    assert (project.folder / "out").read_bytes() == b"l" * 200_000
    names = {pin["artifact"]: pin["name"] for pin in json.loads(project.ok("store", "pins", "--json").out)}
    assert json.loads(project.ok("get", names["start/small"], "--json").out) == {"a": [1, 2]}
    (told,) = json.loads(project.ok("artifacts", f"{run}/start/large", "--json").out)
    assert (told["run"], told["path"], told["name"], told["size"]) == (run, "start", "large", 200_000)
    assert "large" in project.ok("artifacts", f"{run}/start/large").out
    assert project.client().artifact(f"{run}/start/large").data == b"l" * 200_000
    failed = project.fails("get", f"{run}/start/other", code=2)
    assert run[:10] in failed.err
