from __future__ import annotations

import itertools
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from seed import Seed, SeedRun, error, foreach, linear, trained

from dovetail.client import Client
from dovetail.interfaces.errors import ArtifactGoneError, SettingsError, StoreError, UnknownNameError, UsageError
from dovetail.interfaces.flow import FlowDescription, StepDescription, Transition
from dovetail.interfaces.metadata import Query
from dovetail.interfaces.states import TaskState
from dovetail.interfaces.tasks import Exit

BIG = bytes(range(256)) * 600  # an object
MEDIUM = {"k": list(range(200))}  # in the record


class Counting:
    """Stands before a provider and counts what it is asked."""

    def __init__(self, provider: Any) -> None:
        self._provider = provider
        self.calls: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Any:
        self.calls[name] += 1
        return getattr(self._provider, name)


class NoStore(dict[str, Any]):
    """Data stores that must not be looked at."""

    def __bool__(self) -> bool:
        return True


def test_what_a_task_says(seed: Seed, client: Client) -> None:
    made = trained(seed)
    task = client.task(f"{made.id}/train[1]")
    assert task.state is TaskState.SUCCEEDED
    assert task.successful
    assert task.finished
    assert (task.path, task.id, task.step_name, task.index, task.indexes) == ("train[1]", "train[1]", "train", 1, (1,))
    assert task.pathspec == f"TrainFlow/{made.id}/train[1]"
    assert task.path_components == ["TrainFlow", made.id, "train[1]"]
    assert task.step.task.path == "train[2]"
    assert task.parent == task.step
    assert task.number == 3
    assert task.attempt == task.current_attempt == 1
    assert task.cpu == 0.25
    assert task.memory == 10_000_000
    assert task.duration == pytest.approx(0.5)
    assert task.started_at is not None
    assert task.created_at == task.started_at
    assert task.error is None
    assert task.exception is None
    assert client.task(f"{made.id}/start").index is None


def test_artifacts_of_every_kind_of_place(seed: Seed, client: Client) -> None:
    made = seed.run(linear("start", "end"))
    values = {"inline": 7, "text": "é", "medium": MEDIUM, "big": BIG, "none": None, "pair": (1, 2), "list": [1, [2]]}
    made.task("start", values, targets=["end"])
    made.task("end", after=["start"])
    made.end()
    task = client.task(f"{made.id}/start")
    for name, value in values.items():
        assert getattr(task.data, name) == value
        assert task[name].data == value
        assert task[name].size > 0
        assert len(task[name].digest) == 64
        assert task[name].digest == task[name].sha == task[name].ref.digest.hex()
        assert name in task
    assert (task["inline"].type, task["inline"].serializer, task["inline"].is_inline) == ("int", "json", True)
    assert (task["big"].type, task["big"].serializer, task["big"].is_inline) == ("bytes", "bytes", False)
    assert task["big"].size == len(BIG)
    assert task["big"].finished_at == task.finished_at
    assert task["big"].parent == task
    _, frames = task["big"].raw()
    assert b"".join(frames) == BIG
    task.data.list.append(3)
    assert task.data.list == [1, [2]]


def test_names_that_are_not_there(seed: Seed, client: Client) -> None:
    task = client.run(trained(seed).id).task("train[0]")
    with pytest.raises(AttributeError, match="Did you mean name"):
        _ = task.data.nane
    with pytest.raises(UnknownNameError, match="Did you mean name"):
        task["nane"]
    with pytest.raises(KeyError):
        task.data["nane"]
    assert task.artifacts.get("nane") is None
    assert "nane" not in task.data
    assert hasattr(task.data, "y")
    assert not hasattr(task.data, "nane")
    assert not hasattr(task.data, "__deepcopy__")


def test_a_task_sees_what_came_before_it(seed: Seed, client: Client) -> None:
    made = trained(seed, parameters={"rate": 0.5})
    run = client.run(made.id)
    task = run.task("train[1]")
    assert task.data.base == 10
    assert task.data.rate == 0.5
    assert task["base"].task == run.task("start")
    assert list(task.outputs) == ["y", "name"]
    assert list(task.artifacts) == ["y", "name", "xs", "base", "rate"]
    assert [artifact.name for artifact in task] == ["y", "name", "xs", "base", "rate"]
    assert dir(task.data) == sorted(["y", "name", "xs", "base", "rate"])
    join = run.task("join")
    assert list(join.artifacts) == ["total", "rate"]
    assert "base" not in join.data
    assert run.data.total == 5
    assert len(run.task("end").artifacts) == 3


def test_one_query_a_page_and_no_look_at_the_store(seed: Seed) -> None:
    made = seed.run()
    for i in range(500):
        made.task(f"train[{i}]", {"y": i})
    made.end()
    provider = Counting(seed.provider)
    with Client(provider=provider, stores=NoStore(), namespace=None) as client:
        run = client.run(made.id)
        provider.calls.clear()
        found = [(task.state, task.data.y) for task in run.tasks()]
        assert provider.calls == {"query": 2}
        assert found == [(TaskState.SUCCEEDED, i) for i in reversed(range(500))]
        provider.calls.clear()
        assert [task.cpu for task in run.tasks()] == [0.25] * 500
        assert provider.calls == {"query": 4}
        provider.calls.clear()
        assert run["train"].values("y") == list(range(500))
        assert provider.calls == {"counts": 1, "query": 1}
        provider.calls.clear()
        assert [task["y"].data for task in itertools.islice(run.tasks(oldest_first=True), 3)] == [0, 1, 2]
        assert provider.calls == {"query": 1}


def test_filters_of_tasks(seed: Seed, client: Client) -> None:
    made = trained(seed)
    run = client.run(made.id)
    assert [task.path for task in run.tasks(step="train", limit=2)] == ["train[2]", "train[1]"]
    assert [task.path for task in run.tasks(oldest_first=True, limit=2)] == ["start", "train[0]"]
    assert list(run.tasks(state="failed")) == []
    assert len(list(run.tasks(state=["failed", TaskState.SUCCEEDED]))) == 6
    assert [task.path for task in run["train"].tasks(oldest_first=True)] == ["train[0]", "train[1]", "train[2]"]


def test_ways_to_name_a_task(seed: Seed, client: Client) -> None:
    made = seed.run()
    for path in (
        "start",
        "train[0,1]",
        "train[1,0]",
        "train[1,1]",
        "loop",
        "loop#2",
        "other[0]",
        "call~0123456789abcdef",
    ):
        made.task(path)
    made.end()
    run = client.run(made.id)
    assert run.task("train[0]").path == "train[0,1]"
    assert run.task("other").path == "other[0]"
    assert run.task("loop").path == "loop"
    assert run.task("loop#2").path == "loop#2"
    assert run.task("call").path == "call~0123456789abcdef"
    assert run.task("2").path == "train[0,1]"
    assert run["train"]["2"].path == "train[0,1]"
    assert run["train"][1, 0].path == "train[1,0]"
    assert run["other"][0].path == "other[0]"
    with pytest.raises(UsageError, match="fits 2 tasks"):
        run.task("train[1]")
    with pytest.raises(UsageError, match="fits 3 tasks"):
        run.task("train")
    with pytest.raises(UnknownNameError, match="Did you mean train"):
        run.task("trian[0]")
    with pytest.raises(UnknownNameError, match=r"Did you mean train\[1,1\]"):
        run.task("train[9]")
    with pytest.raises(UnknownNameError, match="number"):
        run.task("99")
    with pytest.raises(UnknownNameError, match="number"):
        run["other"]["2"]
    with pytest.raises(UsageError, match="not a task path"):
        run.task("train[")


def test_values_come_by_index(seed: Seed, client: Client) -> None:
    made = seed.run()
    for i in (10, 2, 0):
        made.task(f"train[{i}]", {"y": i, "big": {"i": i, "pad": "x" * 200}} if i else {})
    made.fail("train[1]", error())
    made.task("nested[1,0]", {"z": 2})
    made.task("nested[0,1]", {"z": 1})
    made.end("failed", failed="train[1]")
    run = client.run(made.id)
    assert run["train"].values("y") == [None, None, 2, 10]
    assert run["train"].values("y", default=-1) == [-1, -1, 2, 10]
    assert [value and value["i"] for value in run["train"].values("big")] == [None, None, 2, 10]
    assert run["nested"].values("z") == [1, 2]
    with pytest.raises(UnknownNameError, match="Did you mean big"):
        run["train"].values("bgi")


def test_tables(seed: Seed, client: Client) -> None:
    made = trained(seed)
    run = client.run(made.id)
    table = run["train"].table(["path", "state", "artifact:y", "record"])
    assert table["path"] == ["train[0]", "train[1]", "train[2]"]
    assert table["artifact:y"] == [0, 1, 4]
    assert table["record"][0][0].startswith(f"runs/{made.id}/segments/")
    assert list(run.table()) == ["path", "step", "state", "attempt", "started", "finished", "cpu", "memory"]
    assert run.table(["artifact:total"])["artifact:total"] == [None, None, None, None, 5, None]
    with pytest.raises(UnknownNameError, match="Did you mean started"):
        run.table(["startd"])


def test_failures_and_attempts(seed: Seed, client: Client) -> None:
    made = seed.run(linear("start", "end"))
    made.begin("start")
    made.flush()
    task = client.task(f"{made.id}/start")
    assert task.state is TaskState.RUNNING
    assert not task.finished
    made.fail("start", error("first"), state="waiting", was="running", exit=Exit(code=1))
    made.flush()
    task.refresh()
    assert task.state is TaskState.WAITING
    assert task.error is not None
    made.fail("start", error("second"), attempt=2, was="waiting", exit=Exit(signal=9))
    made.end("failed", failed="start", message="second")
    task.refresh()
    assert task.state is TaskState.FAILED
    assert task.exception == task.error
    assert task.error is not None
    assert task.error.message == "second"
    assert task.exit == Exit(signal=9)
    assert [(one.number, one.state, one.error and one.error.message) for one in task.attempts] == [
        (1, TaskState.FAILED, "first"),
        (2, TaskState.FAILED, "second"),
    ]
    assert task.attempts[0].exit == Exit(code=1)
    assert task.attempts[0].duration == pytest.approx(0.25)
    assert task.attempts[0].started_at is not None
    run = client.run(made.id)
    assert run.failed_task == task
    assert list(task.outputs) == []
    with pytest.raises(UnknownNameError, match="is failed and left nothing"):
        task["x"]


def test_a_retried_task_that_succeeded(seed: Seed, client: Client) -> None:
    made = seed.run(linear("start", "end"))
    made.fail("start", error("flaky"), state="waiting")
    made.task("start", {"x": 1}, attempt=2, was="waiting", targets=["end"])
    made.task("end", after=["start"], caught=error("caught one"))
    made.end()
    run = client.run(made.id)
    task = run.task("start")
    assert task.error is None
    assert task.exception is None
    assert [(one.number, one.state) for one in task.attempts] == [(1, TaskState.FAILED), (2, TaskState.SUCCEEDED)]
    end = run.task("end")
    assert end.caught is not None
    assert end.exception == end.caught
    assert end.caught.message == "caught one"
    assert end.error is None


def test_states_that_are_not_final_are_looked_up_again(
    seed: Seed, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = seed.run(linear("start", "end"))
    made.begin("start")
    made.flush()
    task = client.task(f"{made.id}/start")
    made.task("start", {"x": 1}, was="running", targets=["end"])
    made.flush()
    assert task.state is TaskState.RUNNING  # known a moment ago
    monkeypatch.setattr("dovetail.client.run_row.STALE", -1.0)
    assert task.state is TaskState.SUCCEEDED
    assert task.data.x == 1
    made.end()


def test_parents_and_children_of_a_foreach(seed: Seed, client: Client) -> None:
    run = client.run(trained(seed, width=40).id)
    train = [f"train[{i}]" for i in range(40)]
    assert run.task("start").parent_task_paths == []
    assert run.task("start").child_task_paths == train
    assert run.task("train[7]").parent_task_paths == ["start"]
    assert run.task("train[7]").child_task_paths == ["join"]
    assert [task.path for task in run.task("join").parent_tasks] == train
    assert [task.path for task in run.task("join").child_tasks] == ["end"]
    assert run.task("end").child_task_paths == []


def looping() -> FlowDescription:
    """start, work that comes again, end."""
    steps = (
        StepDescription(name="start", transitions=(Transition(kind="linear", targets=("work",)),)),
        StepDescription(name="work", transitions=(Transition(kind="switch", targets=("work", "end")),)),
        StepDescription(name="end"),
    )
    return FlowDescription(name="Loop", module="flow", file="", steps=steps, start="start", end="end")


def looped(seed: Seed) -> SeedRun:
    made = seed.run(looping())
    made.task("start", {"n": 0, "first": True}, targets=["work"])
    made.task("work", {"n": 1}, after=["start"], targets=["work"])
    made.task("work#2", {"n": 2}, after=["work"], targets=["work"])
    made.task("work#3", {"n": 3}, after=["work#2"], targets=["end"])
    return made


def test_order_in_a_loop_comes_from_the_records(seed: Seed, client: Client) -> None:
    made = looped(seed)
    made.task("end", {}, after=["work#3"])
    made.end()
    run = client.run(made.id)
    assert run.task("work#3").parent_task_paths == ["work#2"]
    assert run.task("work").child_task_paths == ["work#2"]
    assert run.data.n == 3
    assert run.data.first is True
    assert run.task("work#2").data.n == 2


def test_order_of_a_task_that_left_no_record(seed: Seed, client: Client) -> None:
    made = looped(seed)
    made.fail("end", error())
    made.end("failed", failed="end")
    run = client.run(made.id)
    assert run.task("end").parent_task_paths == ["work#3"]
    assert run.task("work#3").child_task_paths == ["end"]
    assert run.task("end").data.n == 3
    made = seed.run()
    made.task("start", {"xs": [0, 1]}, targets=["train"])
    made.task("train[0]", {"y": 0}, after=["start"], targets=["join"])
    made.fail("train[1]", error())
    made.fail("join", error())
    made.end("failed", failed="train[1]")
    run = client.run(made.id)
    assert run.task("train[1]").parent_task_paths == ["start"]
    assert run.task("join").parent_task_paths == ["train[0]"]
    assert run.task("start").child_task_paths == ["train[0]", "train[1]"]


def test_a_switch_inherits_from_the_branch_that_was_taken(seed: Seed, client: Client) -> None:
    steps = (
        StepDescription(name="start", transitions=(Transition(kind="switch", targets=("a", "b"), condition="c"),)),
        StepDescription(name="a", transitions=(Transition(kind="linear", targets=("end",)),)),
        StepDescription(name="b", transitions=(Transition(kind="linear", targets=("end",)),)),
        StepDescription(name="end"),
    )
    flow = FlowDescription(name="Switch", module="flow", file="", steps=steps, start="start", end="end")
    made = seed.run(flow)
    made.task("start", {"c": "b"}, targets=["b"])
    made.task("b", {"x": "from b"}, after=["start"], targets=["end"])
    made.task("end", {}, after=["b"])
    made.end()
    run = client.run(made.id)
    assert run.data.x == "from b"
    assert run.data.c == "b"
    assert [step.name for step in run["end"].parent_steps] == ["a", "b"]


def test_constants_are_seen_by_every_task(seed: Seed, client: Client) -> None:
    from dataclasses import replace

    from dovetail.artifacts.packing import ref_to_plain

    constants = {"LIMIT": ref_to_plain(seed.artifacts.save(12)), "TABLE": ref_to_plain(seed.artifacts.save(BIG))}
    made = seed.run(replace(foreach(), constants=constants))
    made.task("start", {"xs": []}, targets=["train"])
    made.task("join", {"n": 0}, after=[])
    made.end()
    run = client.run(made.id)
    assert run.task("join").data.LIMIT == 12
    assert run.task("start")["TABLE"].data == BIG
    assert run.task("start")["TABLE"].size == len(BIG)
    assert run.task("start")["LIMIT"].type == "int"


def test_a_run_whose_store_is_gone_still_shows_what_the_index_has(seed: Seed, client: Client) -> None:
    import shutil

    made = trained(seed)
    shutil.rmtree(seed.store.root / "runs")
    run = client.run(made.id)
    assert run["train"].values("y") == [0, 1, 4]
    assert {step.name for step in run} == {"start", "train", "join", "end"}
    with pytest.raises(ArtifactGoneError, match="is in the metadata, but not in the data store"):
        _ = run.graph


def test_a_path_with_children_is_no_ancestor(seed: Seed, client: Client) -> None:
    made = seed.run()
    made.task("start", {"x": 1})
    made.task("start/fit", {"y": 2})
    made.end()
    run = client.run(made.id)
    assert run.task("start/fit").step_name == "fit"
    assert run.task("start/fit").data.y == 2
    assert client.get(f"{made.id}/start/fit").pathspec == f"TrainFlow/{made.id}/start/fit"
    assert client.get(f"{made.id}/start/fit/y").pathspec == f"TrainFlow/{made.id}/start/fit/y"


def test_values_of_a_step_with_a_data_store_of_its_own(seed: Seed, client: Client, tmp_path: Path) -> None:
    from dovetail.artifacts.manifest import open_store
    from dovetail.artifacts.store import ArtifactStore
    from dovetail.plugins import open_backend

    pinned = {"instance": "archive", "backend": "local", "target": str(tmp_path / "archive"), "settings": {}}
    other = open_backend("datastore", pinned, home=seed.home)
    uuid = open_store(other)
    apart = ArtifactStore({uuid: other}, default=uuid)
    made = seed.run(linear("start", "end"), stores={uuid: pinned})
    made.task("start", {"small": 1, "odd": {1, 2}, "big": BIG}, targets=["end"], artifacts=apart)
    made.end()
    task = client.task(f"{made.id}/start")
    assert (task.data.small, task.data.odd, task.data.big) == (1, {1, 2}, BIG)
    assert not task["small"].is_inline
    assert task["small"].size == 1
    other.close()
    (tmp_path / "archive").rename(tmp_path / "moved")
    with Client(seed.home, namespace=None) as fresh, pytest.raises(StoreError, match="is needed, but"):
        _ = fresh.task(f"{made.id}/start").data.big


def test_safe_clients_load_no_pickles(seed: Seed) -> None:
    made = seed.run(linear("start", "end"))
    made.task("start", {"plain": [1] * 100, "odd": {1, 2}})
    made.end()
    with Client(seed.home, namespace=None, safe=True) as client:
        task = client.task(f"{made.id}/start")
        assert task.data.plain == [1] * 100
        with pytest.raises(StoreError, match="only safe formats"):
            _ = task.data.odd


def test_settings_make_clients_safe(seed: Seed, monkeypatch: pytest.MonkeyPatch) -> None:
    made = seed.run(linear("start", "end"))
    made.task("start", {"odd": {1, 2}})
    made.end()
    with Client(seed.home, namespace=None) as client:
        assert client.task(f"{made.id}/start").data.odd == {1, 2}
    monkeypatch.setenv("DOVETAIL__ARTIFACTS__LOAD", "safe")
    with Client(seed.home, namespace=None) as client, pytest.raises(StoreError, match="only safe formats"):
        _ = client.task(f"{made.id}/start").data.odd
    monkeypatch.setenv("DOVETAIL__ARTIFACTS__LOAD", "most")
    with Client(seed.home, namespace=None) as client, pytest.raises(SettingsError, match="safe"):
        _ = client.task(f"{made.id}/start").data.odd


def test_a_task_that_just_began_is_waited_for(seed: Seed, client: Client) -> None:
    made = seed.run(linear("start", "end"))
    made.flush()
    made.begin("start")
    late = threading.Timer(0.05, made.flush)
    late.start()
    assert client.task(f"{made.id}/start").path == "start"
    late.join()
    made.stop()


def test_another_process_opens_its_own(seed: Seed, client: Client) -> None:
    made = trained(seed)
    run = client.run(made.id)
    assert run.data.total == 5
    connection = client._connection
    provider = connection.provider
    connection._pid -= 1  # as after a fork
    assert run["train"].values("y") == [0, 1, 4]
    assert connection.provider is not provider
    assert provider.query(Query(kind="runs")).rows  # the parent's is not closed by its fork
    provider.close()
