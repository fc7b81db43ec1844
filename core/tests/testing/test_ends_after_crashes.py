"""Hooks and transactions of a run whose driver dies, behind each record in turn.

When the run goes on, all ends are told, and what is on record is not told again.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from dovetail import current, flow, task, transaction
from dovetail.testing import MemoryRun, run_crashing

told: list[tuple[str, str, str]] = []
"""(run, path of the call of a hook, what it told), as it happened."""


@pytest.fixture(autouse=True)
def _forget() -> None:
    told.clear()


def tell(what: Any, run: Any, state: Any) -> None:
    told.append((run.id, str(current.task_id), f"{run.path} {state.name} {run.attempt}"))


def undo(txn: Any) -> None:
    told.append((str(current.run_id), str(current.task_id), f"undo {txn.path} {txn.get('who')}"))


def keep(txn: Any) -> None:
    told.append((str(current.run_id), str(current.task_id), f"keep {txn.path}"))


def check(runs: list[MemoryRun], expected: dict[str, int]) -> None:
    """Each run told and shows all of its ends, and called nothing that it found on record when it went on.

    Args:
        runs: The undisturbed one first.
        expected: Step and state → how many.
    """
    undisturbed = [what for of, _, what in told if of == runs[0].id]
    assert Counter(_plain(what) for what in undisturbed) == expected
    assert len(runs) > len(undisturbed)
    for run in runs:
        assert _ended(run) == _ended(runs[0]), "the index tells of all, also of what nobody came by again"
        mine = [(path, what) for of, path, what in told if of == run.id]
        assert {what for _, what in mine} == set(undisturbed)
        times = Counter(path for path, _ in mine)
        assert all(times[path] == 1 for path in run.reused if path in times)
        assert all(task.state == "succeeded" for task in run.client.tasks() if "on_" in task.path)


def _ended(run: MemoryRun) -> Counter[tuple[str, str]]:
    """Step and state → tasks; but for what ends a transaction, which need not come to its own end."""
    return Counter((task.step_name, str(task.state)) for task in run.client.tasks() if task.step_name != "finish")


def _plain(what: str) -> str:
    """Without the callers and the digests of the arguments."""
    return " ".join(word.rpartition("/")[2].partition("~")[0] for word in what.split())


EVERY: Any = {"on_success": [tell], "on_failure": [tell]}


@task(**EVERY)
def bad(n: int) -> None:
    raise ValueError(f"no {n}")


@task(retries=1, **EVERY)
def twice(n: int) -> int:
    if current.retry_count == 0:
        raise ValueError("at first")
    return n


@task(**EVERY)
def good(n: int) -> int:
    return n


@task
def careful(n: int) -> int:
    """Its own record says that all went well, and it is not made again."""
    try:
        bad(n)
    except ValueError:
        return good(n)
    return 0


@flow(**EVERY)
def catches() -> int:
    return careful(1) + careful(2) + twice(3)


def test_hooks_of_tasks_whose_failure_was_taken_by_who_called() -> None:
    runs = run_crashing(catches)
    assert {run.value for run in runs} == {6}
    check(runs, {"bad failed 1": 2, "good succeeded 1": 2, "twice succeeded 2": 1, "succeeded 0": 1})


@flow(**EVERY)
def defines() -> int:
    """The description of the flow tells nothing of these tasks."""

    @task(**EVERY)
    def inner(n: int) -> int:
        if n == 2:
            raise ValueError("no")
        return n

    @task
    def outer(n: int) -> int:
        try:
            return inner(n)
        except ValueError:
            return inner(n + 1)

    return outer(1) + outer(2)


def test_hooks_of_tasks_that_the_flow_does_not_tell_of() -> None:
    runs = run_crashing(defines)
    assert {run.value for run in runs} == {4}
    check(runs, {"inner succeeded 1": 2, "inner failed 1": 1, "succeeded 0": 1})


@task(on_rollback=[undo], on_commit=[keep])
def write(n: int) -> int:
    return n


@task(isolation="inline")
def leaves_open() -> None:
    """As when the process that ran the block is gone: nobody is left to end the transaction."""
    block = transaction()
    block.__enter__()
    block.set("who", "ada")
    write(1)
    block.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    raise ValueError("gone")


@task
def careless() -> str:
    try:
        leaves_open()
    except ValueError:
        return "went on"
    return ""


@flow
def half() -> str:
    with transaction():
        write(2)
    return careless()


def test_a_transaction_that_nobody_ended_is_undone() -> None:
    runs = run_crashing(half)
    assert {run.value for run in runs} == {"went on"}
    check(runs, {"keep write": 1, "undo write ada": 1})
