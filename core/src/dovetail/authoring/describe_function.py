"""Read a flow function into plain data: its body, the tasks of its module, parameters, and every problem."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from dovetail.authoring.declared import DeclaredFunction, name_problem
from dovetail.authoring.describe import canonical_module, plain_use, use_problems
from dovetail.authoring.hooks import plain_hooks
from dovetail.authoring.signature import read_signature
from dovetail.authoring.source import code_of, display_path, first_paragraph, function_node
from dovetail.authoring.task_function import TaskFunction
from dovetail.interfaces.flow import FlowDescription, StepDescription
from dovetail.interfaces.problems import Problem

if TYPE_CHECKING:
    from dovetail.authoring.flow_function import FlowFunction
    from dovetail.authoring.uses import Use

__all__ = ["describe_function", "describe_task_function", "tasks_in"]

OF_FLOW = frozenset({"compute", "datastore", "environment", "environment_variables", "limit"})
"""Kinds that on a flow function hold for its tasks too; the others are about its body."""
_GENERATOR = 0x20 | 0x200
"""`CO_GENERATOR`, `CO_ASYNC_GENERATOR`."""


def describe_function(flow: FlowFunction[..., Any]) -> FlowDescription:
    """Everything about a flow that others need, as plain data, but for its code (`packaging.with_code_keys`).

    Never raises for what is wrong with the flow: that is in `problems`.
    """
    problems: list[Problem] = []
    module = sys.modules.get(flow.__module__)
    file = getattr(module, "__file__", None)
    body = _describe(flow, [use for use in flow.uses if use.kind not in OF_FLOW], "step", problems)
    tasks = tasks_in(module)
    steps = [body, *(_describe(task, task.uses, "task", problems) for task in tasks)]
    _name_clashes((flow, *tasks), steps, problems)
    parameters = read_signature(flow.fn, problems)
    hooks = plain_hooks(flow, f"flow {flow.name}", problems, body.file, body.line)
    return FlowDescription(
        name=flow.name,
        module=canonical_module(flow),
        file=os.path.abspath(file) if file else "",
        doc=body.doc,
        steps=tuple(steps),
        start=body.name,
        end=body.name,
        parameters=parameters,
        decorators=tuple(plain_use(use) for use in flow.uses if use.kind in OF_FLOW),
        problems=tuple(dict.fromkeys(problems)),
        style="function",
        hooks=hooks,
    )


def describe_task_function(task: TaskFunction[..., Any], problems: list[Problem]) -> StepDescription:
    """A task as plain data, but for its code.

    Args:
        task: The task.
        problems: What is wrong with it is added here.
    """
    return _describe(task, task.uses, task.step_kind, problems)


def tasks_in(module: object) -> list[TaskFunction[..., Any]]:
    """The tasks that a module holds, imported ones too, each once, in the order written.

    Of several with one function and one name, as `with_options` makes them, the first counts.
    """
    found: dict[tuple[int, str], TaskFunction[..., Any]] = {}
    for value in vars(module).values() if module is not None else ():
        if isinstance(value, TaskFunction):
            found.setdefault((id(value.fn), value.name), value)
    return list(found.values())


def _describe(
    function: DeclaredFunction[..., Any], uses: Iterable[Use], kind: Any, problems: list[Problem]
) -> StepDescription:
    code = code_of(function.fn)
    assert code is not None
    file, line = display_path(code.co_filename), code.co_firstlineno
    node = function_node(code)
    if node is not None:
        line = node.lineno
    where = f"{function.kind} {function.name}"
    for use in function.called_with:  # options of one call site each: two of a kind are two calls of `with_options`
        use_problems((use,), where, problems)
    use_problems(function.__dovetail_uses__, where, problems)

    def wrong(code: str, message: str, fix: str) -> None:
        problems.append(Problem(code=code, message=message, fix=fix, file=file, line=line))

    if message := name_problem(function.name):
        wrong("reserved-name", message, f'Write @{function.kind}(name="...") with another one.')
    if code.co_flags & _GENERATOR:
        wrong(
            "generator-function",
            f"{where} is a generator function: what it returns can't be stored",
            "Return a list, or let the caller loop and call a task for each item.",
        )
    if kind == "task" and "wait_for" in function.shape.names:
        wrong(
            "reserved-name",
            f"{where} has a parameter wait_for, which every call of a task takes already",
            "Give the parameter another name.",
        )
    module, qualname = function.address or ("", "")
    return StepDescription(
        name=function.name,
        decorators=tuple(plain_use(use) for use in uses),
        doc=first_paragraph(function.__doc__),
        file=file,
        line=line,
        module=module,
        qualname=qualname,
        kind=kind,
        hooks=plain_hooks(function, where, problems, file, line) if kind == "task" else (),
    )


def _name_clashes(
    functions: Iterable[DeclaredFunction[..., Any]], steps: Iterable[StepDescription], problems: list[Problem]
) -> None:
    """Two functions of one name: paths, records and settings could not tell them apart."""
    first: dict[str, StepDescription] = {}
    for function, step in zip(functions, steps, strict=True):
        other = first.setdefault(step.name, step)
        if other is not step:
            problems.append(
                Problem(
                    code="duplicate-task",
                    message=f"two functions are named {step.name!r}: the other one is at {other.file}:{other.line}",
                    fix=f'Give one another name: @{function.kind}(name="...").',
                    file=step.file,
                    line=step.line,
                )
            )
