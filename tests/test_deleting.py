"""Runs that are deleted beside others which reused what they made, in both styles; stores of steps; two machines."""

from __future__ import annotations

import json

import pytest
from flowproject import FlowProject
from storemaking import age

from dovetail.artifacts.guests import read_guests
from dovetail.artifacts.manifest import read_marker
from dovetail.local.store import LocalStore

CLASS = """
class Reuse(FlowSpec):
    @step
    def start(self):
        count()
        self.large = bytes(range(256)) * 1000
        self.small = {"a": [1, 2]}
        self.items = [b"i" * 80_000, b"j" * 80_000]
        self.next(self.each, foreach="items")

    @step
    def each(self):
        self.out = self.input[:3] * 30_000
        self.next(self.join)

    @step
    def join(self, inputs):
        self.outs = [one.out for one in inputs]
        self.next(self.last)

    @step
    def last(self):
        if os.environ.get("FAIL"):
            raise ValueError("on purpose")
        if os.environ.get("WAIT"):
            open("waiting", "w").close()
            while not os.path.exists("go"):
                time.sleep(0.01)
        self.next(self.end)

    @step
    def end(self):
        print("done")
"""

FUNCTIONS = """
from dovetail import flow, task

@task(cache="inputs")
def make(n):
    count()
    return bytes([n]) * 100_000

@task(cache="inputs")
def measure(value):
    count()
    return len(value)

@flow
def shop():
    values = [make.submit(n) for n in range(3)]
    return [measure(value) for value in values]
"""


ELSEWHERE = """
from dovetail import flow, task

@task
def make():
    return b"x" * 100_000

@flow
def shop():
    return len(make.with_options(datastore="side")())
"""


@pytest.fixture
def store(project: FlowProject) -> LocalStore:
    return LocalStore(project.home / "local")


def test_a_run_that_reused_tasks_needs_nothing_of_its_origin(project: FlowProject, store: LocalStore) -> None:
    project.write(CLASS)
    first = project.fails("run", "flow.py", env={"FAIL": "1"})
    second = project.ok("resume", first.run, "--from", "last")
    assert second.run != first.run
    assert "start" not in second.ran
    project.ok("runs", "delete", first.run, "--yes")
    age(store)
    deleted = json.loads(project.ok("store", "gc", "--json").out)
    tasks = {task.path: task.data for task in project.run(second.run).tasks()}
    assert tasks["start"].large == bytes(range(256)) * 1000
    assert tasks["start"].small == {"a": [1, 2]}
    assert tasks["each[1]"].out == b"jjj" * 30_000
    assert deleted["kept"] > 4
    project.ok("show", second.run, "--tree")
    project.ok("show", second.run)
    project.ok("logs", second.run)
    project.ok("store", "verify")
    again = project.ok("resume", second.run, "--from", "join")
    assert not {"start", "each[0]"} & set(again.ran)


def test_values_of_the_cache_outlive_the_run_that_made_them(project: FlowProject, store: LocalStore) -> None:
    project.write(FUNCTIONS)
    first = project.ok("run", "flow.py")
    assert sum(first.ran.values()) == 6
    second = project.ok("run", "flow.py")
    assert not second.ran
    project.ok("runs", "delete", first.run, "--yes")
    age(store)
    project.ok("store", "gc")
    third = project.ok("run", "flow.py")
    assert not third.ran
    assert project.run(third.run).data.result == [100_000] * 3
    project.ok("show", third.run, "--tree")
    project.ok("runs", "delete", second.run, third.run, "--yes")
    age(store)
    project.ok("store", "gc")
    assert not list(store.scan("objects/"))
    assert sum(project.ok("run", "flow.py").ran.values()) == 6


def test_a_store_of_a_task_keeps_what_runs_elsewhere_need(project: FlowProject, store: LocalStore) -> None:
    project.write(ELSEWHERE)
    (project.folder / "dovetail.toml").write_text('[datastore.side]\nuse = "local"\npath = "side"\n')
    run = project.ok("run", "flow.py").run
    side = LocalStore(project.folder / "side")
    assert list(side.scan("objects/"))
    assert list(read_guests(side)) == [read_marker(store).uuid]
    age(side)
    found = json.loads(project.ok("store", "gc", "--datastore", "side", "--json").out)
    assert (found["kept"], found["deleted"]) == (len(list(side.scan("objects/"))), 0)
    assert project.ok("get", f"{run}/make/result", "--raw").out == "x" * 100_000
    # On another machine, with an index of its own that is empty.
    other = {"DOVETAIL_HOME": str(project.folder / "elsewhere")}
    assert json.loads(project.ok("store", "gc", "--datastore", "side", "--json", env=other).out)["deleted"] == 0
    (project.home / "local").rename(project.folder / "moved")
    said = project.fails("store", "gc", "--datastore", "side", code=4, env=other)
    assert "keep values in" in said.err
    (project.folder / "moved").rename(project.home / "local")
    project.ok("runs", "delete", run, "--yes")
    assert json.loads(project.ok("store", "gc", "--datastore", "side", "--json", env=other).out)["kept"] == 0


def test_a_second_machine_that_knows_no_run_collects_nothing_that_a_run_needs(
    project: FlowProject, store: LocalStore
) -> None:
    project.write(CLASS)
    driving = project.start("run", "flow.py", env={"WAIT": "1"})
    run = driving.run
    driving.wait_for("waiting")
    age(store)
    other = {"DOVETAIL_HOME": str(project.folder / "elsewhere")}
    gc = ["store", "gc", "--datastore", store.url, "--json"]
    first = json.loads(project.ok(*gc, env=other).out)
    assert (first["deleted"], first["kept"] > 3) == (0, True)
    assert "has not ended" not in project.fails("runs", "delete", run, "--yes", code=2).err
    (project.folder / "go").touch()
    assert driving.end().code == 0
    assert project.run(run).task("start").data.large == bytes(range(256)) * 1000
