"""`run_flow` and `arun_flow`: class flows that are run from Python, also by a task of another run."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Mapping
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
    import socket

    from dovetail.client import Run

__all__ = ["arun_flow", "run_flow"]


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
    given = _given(flow, parameters)
    inside = caller.get()
    if inside is None:
        return _client_run(_run(flow, given, "", ""), "")
    return _client_run(inside.call(_task_of(flow), {"parameters": given}), _home())


async def arun_flow(flow: type[FlowSpec], /, **parameters: Any) -> Run:
    """As `run_flow`, in a coroutine: others go on meanwhile, so that `asyncio.gather` runs several flows at once.

    Cancelling it interrupts the run, which goes on when the same task, or `dovetail resume`, takes it up again.

    Args:
        flow: The class. Other processes import it from its file.
        **parameters: Values of its parameters; the others have their defaults.

    Returns:
        The run, which has succeeded.

    Raises:
        ValidationError: The flow can't run, or not with these parameters.
        RunFailedError: The run failed or was cancelled.
    """
    given = _given(flow, parameters)
    inside = caller.get()
    if inside is None:
        return _client_run(await _run_beside(flow, given, "", ""), "")
    run = await inside.call_async(_task_of(flow, beside=True), {"parameters": given})
    return _client_run(run, _home())


def _given(flow: type[FlowSpec], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters as plain data."""
    asked: Any = flow
    if not (isinstance(asked, type) and issubclass(asked, FlowSpec)):
        name = getattr(asked, "name", None) or repr(asked)
        raise UsageError(
            f"run_flow runs classes that derive from FlowSpec, not {asked!r}",
            hint=f"A function that is marked @flow is called: {name}(...).",
        )
    return _plain_parameters(flow, parameters)


def _home() -> str:
    """Folder of the local state of the run that calls."""
    facts = current._facts()
    return str(facts.run.get("home") or "") if facts is not None else ""


async def _run_beside(flow: type[FlowSpec], parameters: Mapping[str, Any], parent: str, home: str) -> str:
    """As `_run`, in a thread of its own."""
    import asyncio

    bodies: list[Body] = []
    given_up = False

    def began(body: Body) -> None:
        bodies.append(body)
        if given_up:
            body.interrupt()

    run = asyncio.ensure_future(asyncio.to_thread(_run, flow, parameters, parent, home, began))
    try:
        return await asyncio.shield(run)
    except asyncio.CancelledError:
        given_up = True
        for body in bodies:
            body.interrupt()
        await asyncio.wait([run])
        if not run.cancelled():
            run.exception()  # that it was interrupted is no news
        raise
    except Exception as error:
        raise error.with_traceback(None) from error.__cause__  # where the thread was says nothing


def _run(
    flow: type[FlowSpec],
    parameters: Mapping[str, Any],
    parent: str,
    home: str,
    began: Callable[[Body], None] | None = None,
) -> str:
    """Run a class flow; the id of the run.

    Args:
        flow: The class.
        parameters: Plain data.
        parent: `run/path` of the task that calls; empty where none does.
        home: Folder of local state; empty: as settings have it.
        began: Told of what serves the run, which it may interrupt from another thread.
    """
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

    def make(connection: socket.socket) -> Body:
        body = Body(connection, flow=flow, description=None, given={}, to_save={})
        if began is not None:
            began(body)
        return body

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

_tasks: WeakKeyDictionary[type[FlowSpec], dict[bool, TaskFunction[..., Any]]] = WeakKeyDictionary()


def _task_of(flow: type[FlowSpec], *, beside: bool = False) -> TaskFunction[..., Any]:
    """The task that stands for a class flow; its code is that of the steps, however it is called.

    Args:
        flow: The class.
        beside: Whether a coroutine waits for it.
    """
    known = _tasks.setdefault(flow, {})
    task = known.get(beside)
    if task is None:

        def run_class_flow(parameters: dict[str, Any]) -> str:
            return _run(flow, parameters, f"{current.run_id}/{current.task_id}", _home())

        async def run_class_flow_beside(parameters: dict[str, Any]) -> str:
            return await _run_beside(flow, parameters, f"{current.run_id}/{current.task_id}", _home())

        function: Any = run_class_flow_beside if beside else run_class_flow
        task = known[beside] = TaskFunction(function, flow.__name__)
        description = describe_flow(flow, gated=False)
        parts = {step.name: step.code_key for step in description.steps}
        task.code_key = hashlib.sha256(repr(sorted(parts.items())).encode()).hexdigest()
        task.code_parts = parts
    return task
