"""Ends a transaction whose process is gone: a task that the driver plans before a run ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dovetail.authoring.calling import caller
from dovetail.authoring.task_function import task
from dovetail.authoring.transactions import StagedTask, conclude, decide_rollback, set_values

__all__ = ["finish_transaction"]


@task(name="finish")
def finish_transaction(path: str, kind: str, staged: Sequence[Any], names: Sequence[str]) -> None:
    """Call the hooks that are left.

    Args:
        path: Of the transaction.
        kind: `on_rollback`, or `on_commit` where that was decided before.
        staged: (path, name, hooks) of each task that succeeded in it.
        names: What was set.
    """
    here: Any = caller.get()
    calls = here.within(path)
    values = set_values(calls, names)
    found = [StagedTask(where, name, hooks, values) for where, name, hooks in staged]
    if kind == "on_rollback":
        decide_rollback(calls, found, values)
    conclude(calls, kind, found)
