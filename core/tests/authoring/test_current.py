"""`current`, in and outside of tasks and threads."""

from __future__ import annotations

import os
import threading

import pytest

from dovetail.authoring.current import Current

FACTS = {
    "flow": "Digits",
    "run": "01run",
    "origin": None,
    "namespace": "user:ada",
    "username": "ada",
    "tags": ["a", "b"],
    "parameters": ["rate"],
}
FIELDS = (
    "flow_name", "run_id", "step_name", "task_id", "retry_count", "origin_run_id", "pathspec", "namespace", "username",
    "tags", "tempdir", "graph", "parameter_names", "run", "task",
)  # fmt: skip


def test_outside_of_a_task() -> None:
    current = Current()
    assert not current.is_running_flow
    assert [getattr(current, name) for name in FIELDS] == [None] * len(FIELDS)
    assert current.get("step_name", "none") == "none"
    assert "step_name" not in current
    assert repr(current) == "<current, no task is running>"
    current._clear()


def test_every_field_of_a_task() -> None:
    current = Current()
    current._set(FACTS, step="train", path="train[3]", attempt=2, graph=lambda: {"start_step": "start"})
    assert current.is_running_flow
    assert (current.flow_name, current.run_id, current.step_name) == ("Digits", "01run", "train")
    assert (current.task_id, current.pathspec, current.retry_count) == ("train[3]", "Digits/01run/train[3]", 1)
    assert (current.origin_run_id, current.namespace, current.username) == (None, "user:ada", "ada")
    assert (current.tags, current.parameter_names) == ({"a", "b"}, ["rate"])
    assert current.graph == {"start_step": "start"}
    assert "step_name" in current
    assert current.get("nothing", 3) == 3
    assert repr(current) == "<current Digits/01run/train[3]>"
    folder = current.tempdir
    assert folder is not None
    assert os.path.isdir(folder)
    assert current.tempdir == folder
    current._clear()
    assert not os.path.exists(folder)
    assert current.step_name is None


def test_other_threads_see_the_task_of_their_process() -> None:
    current = Current()
    current._set(FACTS, step="train", path="train", attempt=1)
    seen: list[str | None] = []
    thread = threading.Thread(target=lambda: seen.append(current.step_name))
    thread.start()
    thread.join()
    assert seen == ["train"]


def test_tasks_that_share_a_process_each_see_their_own() -> None:
    current = Current()
    barrier = threading.Barrier(3)
    seen: dict[str, list[str | None]] = {}

    def task(name: str) -> None:
        current._set(FACTS, step=name, path=name, attempt=1, thread=True)
        barrier.wait()
        found = [current.step_name]
        inner = threading.Thread(target=lambda: found.append(current.step_name))
        inner.start()
        inner.join()
        seen[name] = found
        barrier.wait()
        current._clear()

    threads = [threading.Thread(target=task, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    barrier.wait()
    assert current.step_name is None  # two run: a foreign thread is told of none
    barrier.wait()
    for thread in threads:
        thread.join()
    assert seen == {"a": ["a", None], "b": ["b", None]}
    assert not current.is_running_flow


def test_a_helper_thread_of_the_only_task_sees_it() -> None:
    current = Current()
    current._set(FACTS, step="one", path="one", attempt=1, thread=True)
    seen: list[str | None] = []
    thread = threading.Thread(target=lambda: seen.append(current.step_name))
    thread.start()
    thread.join()
    current._clear()
    assert seen == ["one"]


def test_fields_can_not_be_set() -> None:
    with pytest.raises(AttributeError):
        Current().step_name = "x"  # type: ignore[misc]
