"""Runs a state hook: a task that the driver plans when what it belongs to has ended."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dovetail.authoring.hooks import named_in_module
from dovetail.authoring.task_function import task
from dovetail.interfaces.hooks import HookRun, HookState
from dovetail.interfaces.tasks import ErrorReport

__all__ = ["run_hook"]


@task(name="hook")
def run_hook(hook: str, subject: str, run: Mapping[str, Any], state: Mapping[str, Any]) -> Any:
    """Call a hook.

    Args:
        hook: `module:name` of the function.
        subject: `module:name` of the flow, task or step's method that it belongs to; without a name where that is
            defined inside of a function, which no other process finds.
        run: A `HookRun` as data.
        state: A `HookState` as data.
    """
    error = state["error"]
    report = None if error is None else ErrorReport.from_plain(error)
    what = None if subject.endswith(":") else named_in_module(subject)
    return named_in_module(hook)(what, HookRun(**run), HookState(name=state["name"], error=report))
