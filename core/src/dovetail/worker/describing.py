"""Describes an imported flow as the driver needs it: graph, code keys, constants, and whether forking is safe."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dovetail.artifacts.serializers.registry import SerializerRegistry
from dovetail.authoring.describe import describe
from dovetail.authoring.hooks import hook_address, hooks_of
from dovetail.packaging.code_key import with_code_keys
from dovetail.worker.constants import describe_constants
from dovetail.worker.gate import find_hazards

if TYPE_CHECKING:
    from dovetail.authoring.flow_function import FlowFunction
    from dovetail.authoring.flowspec import FlowSpec
    from dovetail.authoring.task_function import TaskFunction
    from dovetail.interfaces.flow import FlowDescription, StepDescription
    from dovetail.interfaces.problems import Problem
    from dovetail.packaging.code_key import CodeKeys

__all__ = ["TaskDescriber", "describe_flow"]


def _why_not_asked() -> str:
    if os.environ.get("DOVETAIL_FORCE_SPAWN") == "1":
        return "DOVETAIL_FORCE_SPAWN is set"
    return f"{sys.platform} has no safe fork"


def describe_flow(flow: type[FlowSpec] | FlowFunction[..., Any], *, gated: bool) -> FlowDescription:
    """The flow as plain data.

    Args:
        flow: Imported already.
        gated: Whether this process is to fork; then what forbids it is in `fork_hazards`.
    """
    hazards = find_hazards() if gated else [_why_not_asked()]
    if not isinstance(flow, type):
        return replace(_describe_function(flow), fork_hazards=tuple(hazards))
    return replace(
        with_code_keys(describe(flow), flow),
        constants=describe_constants(flow, SerializerRegistry()),
        fork_hazards=tuple(hazards),
    )


def _describe_function(flow: FlowFunction[..., Any]) -> FlowDescription:
    from dovetail.authoring.describe_function import describe_function, tasks_in

    functions: dict[str, Any] = {}
    for function in (flow, *tasks_in(sys.modules.get(flow.__module__))):
        functions.setdefault(function.name, function)
    return with_code_keys(describe_function(flow), flow, functions)


class TaskDescriber:
    """Describes the tasks that a run calls, in the process that calls them; each once.

    What was described with the flow is taken from there, so most tasks cost nothing.

    Args:
        flow: The flow as plain data.
    """

    def __init__(self, flow: FlowDescription) -> None:
        self._flow = flow
        self._known: dict[tuple[Any, ...], StepDescription] = {}
        self._keys: CodeKeys | None = None

    def describe(self, task: TaskFunction[..., Any]) -> StepDescription:
        """A task with its code key, and with what `with_options` says before its decorators.

        Raises:
            ValidationError: It can't be run.
        """
        said = tuple([(use.kind, use.name, repr(use.options)) for use in task.uses])
        hooks = tuple([(kind, hook_address(function)) for kind, function in hooks_of(task)])
        key = (task.fn, task.name, said, hooks)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self._describe(task)
        return found

    def _describe(self, task: TaskFunction[..., Any]) -> StepDescription:
        from dovetail.authoring.describe_function import describe_task_function
        from dovetail.interfaces.errors import ValidationError

        problems: list[Problem] = []
        step = describe_task_function(task, problems)
        if problems:
            raise ValidationError(f"task {task.name} can't run:", problems=problems)
        if task.code_key:
            return replace(step, code_key=task.code_key, code_parts=task.code_parts)
        known = self._flow.by_name.get(step.name)
        if known is not None and task.address is not None:  # else its closure may differ
            same = replace(step, code_key=known.code_key, code_parts=known.code_parts)
            if same == known:
                return known
        if self._keys is None:
            from dovetail.packaging.code_key import CodeKeys

            self._keys = CodeKeys(None, self._flow)
        code_key, parts = self._keys.of_function(task, step)
        return replace(step, code_key=code_key, code_parts=parts)
