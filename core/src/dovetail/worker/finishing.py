"""Ends a transaction whose process is gone: a task that the driver plans before a run ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dovetail.authoring.calling import caller
from dovetail.authoring.task_function import task
from dovetail.authoring.transaction_records import StagedTask, conclude, decide_rollback, set_values

__all__ = ["finish_transaction"]


@task(name="finish")
def finish_transaction(path: str, kind: str, staged: Sequence[Any], names: Mapping[str, Sequence[str]]) -> None:
    """Call the hooks that are left.

    Args:
        path: Of the transaction.
        kind: `on_rollback`, or `on_commit` where that was decided before.
        staged: (path, name, hooks, path of the transaction) of each task that succeeded in it, or in one inside.
        names: Path of a transaction → what was set there, those around others first.
    """
    here: Any = caller.get()
    calls = here.within(path)
    kept = {where: set_values(here.within(where), set_there) for where, set_there in names.items()}
    found = []
    for where, name, hooks, inside in staged:
        values: dict[str, Any] = {}
        for around, some in kept.items():
            if inside == around or inside.startswith(f"{around}/"):
                values.update(some)
        found.append(StagedTask(where, name, hooks, values))
    if kind == "on_rollback":
        decide_rollback(calls, found)
    conclude(calls, kind, found)
