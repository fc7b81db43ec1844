"""Runs a state hook: a task that the driver plans when what it belongs to has ended."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from typing import Any

from dovetail.authoring.task_function import task
from dovetail.interfaces.errors import UsageError
from dovetail.interfaces.hooks import HookRun, HookState
from dovetail.interfaces.tasks import ErrorReport

__all__ = ["named", "run_hook"]


@task(name="hook")
def run_hook(hook: str, subject: str, run: Mapping[str, Any], state: Mapping[str, Any]) -> Any:
    """Call a hook.

    Args:
        hook: `module:name` of the function.
        subject: `module:name` of the flow, task or step's method that it belongs to.
        run: A `HookRun` as data.
        state: A `HookState` as data.
    """
    error = state["error"]
    report = None if error is None else ErrorReport.from_plain(error)
    return named(hook)(named(subject), HookRun(**run), HookState(name=state["name"], error=report))


def named(address: str) -> Any:
    """What a module holds under a name.

    Raises:
        UsageError: It holds nothing of this name.
    """
    module, _, name = address.partition(":")
    found: Any = sys.modules.get(module) or importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    if found is None:
        raise UsageError(f"{module} has no {name} where it runs", hint="Define it at the top level of the module.")
    return found
