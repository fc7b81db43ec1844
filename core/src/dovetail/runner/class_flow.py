"""`run_flow`: class flows that are run from Python, also by a task of another run."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from dovetail.authoring.calling import caller
from dovetail.authoring.current import current
from dovetail.authoring.flowspec import FlowSpec
from dovetail.authoring.hints import Mismatch, plain
from dovetail.authoring.task_function import TaskFunction
from dovetail.interfaces.errors import UsageError, ValidationError
from dovetail.interfaces.problems import Problem
from dovetail.runner._body import Body
from dovetail.runner._drive import drive, request_of
from dovetail.worker.describing import describe_flow

if TYPE_CHECKING:
    from dovetail.client import Run

__all__ = ["run_flow"]


def run_flow(flow: type[FlowSpec], /, **parameters: Any) -> Run:
    """Run a class flow to its end, every step in a process of its own as on the command line.

    Inside of a run this is a task of that run, whose value is the run of the class flow: a run that goes on after a
    crash, or a task that is tried again, finishes a run that was begun instead of beginning another one.

    Args:
        flow: The class. Other processes import it from its file.
        **parameters: Values of its parameters; the others have their defaults.

    Returns:
        The run, which has succeeded.

    Raises:
        ValidationError: The flow can't run, or not with these parameters.
        RunFailedError: The run failed or was cancelled.
    """
    asked: Any = flow
    if not (isinstance(asked, type) and issubclass(asked, FlowSpec)):
        name = getattr(asked, "name", None) or repr(asked)
        raise UsageError(
            f"run_flow runs classes that derive from FlowSpec, not {asked!r}",
            hint=f"A function that is marked @flow is called: {name}(...).",
        )
    given = _plain_parameters(flow, parameters)
    inside = caller.get()
    if inside is None:
        return _client_run(_run(flow, given, "", ""), "")
    facts = current._facts()
    home = str(facts.run.get("home") or "") if facts is not None else ""
    run = inside.call(_task_of(flow), {"parameters": given})
    return _client_run(run, home)


def _run(flow: type[FlowSpec], parameters: Mapping[str, Any], parent: str, home: str) -> str:
    """Run a class flow; the id of the run."""
    request = request_of(
        _file_of(flow),
        flow.__name__,
        flow=None,
        refusal="",
        parameters=parameters,
        saved={},
        parent=parent,
        home=home,
    )
    make = partial(Body, flow=flow, description=None, given={}, to_save={})
    ending = drive(flow.__name__, lambda: (request, make))
    if ending.state != "succeeded":
        raise ending.failure()
    return ending.body.run


def _client_run(run: str, home: str) -> Run:
    from dovetail.client import Client

    return Client(home or None, namespace=None).run(run)


def _file_of(flow: type[FlowSpec]) -> str:
    file: str | None = getattr(sys.modules.get(flow.__module__), "__file__", None)
    if not file or not os.path.isfile(file) or "<locals>" in flow.__qualname__:
        where = "is defined inside a function" if "<locals>" in flow.__qualname__ else "is in no file"
        raise UsageError(
            f"{flow.__name__} can't be run: its steps run in processes that import it, and it {where}",
            hint="Put it at the top level of a file, and import that.",
        )
    return os.path.abspath(file)


def _plain_parameters(flow: type[FlowSpec], parameters: Mapping[str, Any]) -> dict[str, Any]:
    problems: list[Problem] = []
    given: dict[str, Any] = {}
    for name, value in parameters.items():
        try:
            given[name] = plain(value)
        except Mismatch as error:
            fix = "Parameters of a class flow are plain data: give where it is, and load it in a step."
            problems.append(Problem(code="parameter-value", message=f"{name}: {error}", fix=fix))
    if problems:
        raise ValidationError(f"{flow.__name__} can't run with these parameters:", problems=problems)
    return given


# -- as a task of another run -----------------------------------------------------------------------------------------

_tasks: WeakKeyDictionary[type[FlowSpec], TaskFunction[..., str]] = WeakKeyDictionary()


def _task_of(flow: type[FlowSpec]) -> TaskFunction[..., str]:
    """The task that stands for a class flow; its code is that of the steps."""
    task: TaskFunction[..., str] | None = _tasks.get(flow)
    if task is None:

        def run_class_flow(parameters: dict[str, Any]) -> str:
            facts = current._facts()
            assert facts is not None
            home = str(facts.run.get("home") or "")
            return _run(flow, parameters, f"{current.run_id}/{current.task_id}", home)

        task = _tasks[flow] = TaskFunction(run_class_flow, flow.__name__)
        description = describe_flow(flow, gated=False)
        parts = {step.name: step.code_key for step in description.steps}
        task.code_key = hashlib.sha256(repr(sorted(parts.items())).encode()).hexdigest()
        task.code_parts = parts
    return task
