"""Flows that are called: a run whose body is the process that calls, or a task of the run that calls."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from dovetail.authoring.calling import caller
from dovetail.authoring.signature import coerce_arguments
from dovetail.interfaces import errors
from dovetail.interfaces.errors import DovetailError, RunFailedError
from dovetail.interfaces.tasks import ErrorReport
from dovetail.runner._arguments import split_arguments
from dovetail.runner._body import Body, RunOver
from dovetail.runner._driver_process import drivers
from dovetail.runner._printing import printing
from dovetail.worker.describing import describe_flow
from dovetail.worker.wire import Kind, pack

if TYPE_CHECKING:
    from dovetail.authoring.flow_function import FlowFunction
    from dovetail.interfaces.flow import FlowDescription
    from dovetail.runner._driver_process import DriverProcess

__all__ = ["run_flow"]

QUIET = "DOVETAIL_QUIET"
"""Variable that, set to 1, silences the lines about runs in a terminal."""


def run_flow(flow: FlowFunction[..., Any], given: Mapping[str, Any]) -> Any:
    """What calling a flow does.

    Inside a run it is a task of that run, as if its function were marked `@task`. Anywhere else it is a run of its
    own: this thread runs the body, and a child process, which is kept for further calls, drives the run.

    Args:
        flow: The flow.
        given: Name of a parameter → value, defaults filled in; made what the hints say, as from a command line.

    Returns:
        What the body returned, the object itself; of a coroutine function a coroutine that gives it.

    Raises:
        ValidationError: Arguments are not what the hints say.
        RunFailedError: The run failed, and not by what the body raised.
        StoreError: What came of the body can't be kept.
        Exception: Whatever the body raised when its last attempt failed.
    """
    inside = caller.get()
    if inside is not None:
        task: Any = flow
        return inside.call_async(task, given) if flow.is_async else inside.call(task, given)
    given = coerce_arguments(flow.fn, given)
    if flow.is_async:
        return _run_async(flow, given)
    return _run(flow, given, None)


async def _run_async(flow: FlowFunction[..., Any], given: Mapping[str, Any]) -> Any:
    """The run goes on in a thread; the body itself in the event loop that waits for it."""
    loop = asyncio.get_running_loop()
    bodies: list[Any] = []

    def call(*args: Any, **kwargs: Any) -> Any:
        body = asyncio.run_coroutine_threadsafe(flow.fn(*args, **kwargs), loop)
        bodies.append(body)
        try:
            return body.result()
        except BaseException as error:
            # Whoever waits for the run gives it up, by Ctrl-C for one.
            if is_given_up:
                raise KeyboardInterrupt from error
            raise

    is_given_up = False
    run = asyncio.ensure_future(asyncio.to_thread(_run, flow, given, call))
    try:
        return await asyncio.shield(run)
    except asyncio.CancelledError:
        is_given_up = True
        for body in bodies:
            body.cancel()
        await asyncio.wait([run])
        raise


def _run(flow: FlowFunction[..., Any], given: Mapping[str, Any], call: Callable[..., Any] | None) -> Any:
    """Run a flow with its body in this thread."""
    driver = drivers.take()  # it starts while the flow is described
    usable = False
    try:
        description = _described(flow)
        plain, others = split_arguments(flow.fn, given)
        driver.connection.sendall(pack((Kind.REQUEST, _request(flow, description, plain, others))))
        body = Body(driver.connection, flow, description, given, to_save=others, call=call)
        begun = time.monotonic()
        body.on_begin = lambda: _tell(f"{flow.name} runs as {body.run}")
        try:
            _serve(body, driver)
            usable = body.is_clean
        finally:
            body.close()
    finally:
        drivers.give_back(driver, usable=usable)
    return _result(flow, body, time.monotonic() - begun)


def _serve(body: Body, driver: DriverProcess) -> None:
    try:
        body.serve()
    except KeyboardInterrupt:
        body.interrupt()
        body.wait_end()  # a second Ctrl-C leaves the run as lost
        if body.end is not None:
            _tell(f"run {body.run} interrupted; go on: dovetail resume {body.run}")
        raise


def _result(flow: FlowFunction[..., Any], body: Body, seconds: float) -> Any:
    """What a run that ended gives, or the reason why it gives nothing."""
    way_on = _way_on(flow, body.run)
    if body.end is None:
        raise RunFailedError(
            f"the driver of run {body.run} of {flow.name} died" if body.run else f"the driver of {flow.name} died",
            hint=f"What is recorded is kept. {way_on}" if body.run else "Nothing was run; call it again.",
        )
    if body.end[0] == Kind.REFUSED:
        raise _refusal(body.end)
    _, state, path, error, tasks = body.end
    count = "1 task" if tasks == 1 else f"{tasks} tasks"
    _tell(f"run {body.run} {state}: {count}, {seconds:.2f} s")
    if state == "succeeded":
        return body.value
    failure = body.failure
    if failure is not None and not isinstance(failure, RunOver):
        _add_note(failure, f"This was run {body.run} of {flow.name}. {way_on}")
        raise _cut(failure, flow)
    report = None if error is None else ErrorReport.from_plain(error)
    why = "" if report is None else f": {path}: {report}" if path else f": {report}"
    raise RunFailedError(f"run {body.run} of {flow.name} {state}{why}", hint=way_on)


def _refusal(end: list[Any]) -> DovetailError:
    """The error of a driver that could not begin a run, or not drive it on."""
    _, name, message, hint, run = end
    cls = getattr(errors, name, RunFailedError)
    if run and run not in message:
        message = f"run {run}: {message}"
    try:
        error: DovetailError = cls(message, hint=hint)
    except TypeError:  # takes something else
        error = RunFailedError(message, hint=hint)
    return error


def _way_on(flow: FlowFunction[..., Any], run: str) -> str:
    if not _file_of(flow):
        return f"Look deeper with: dovetail logs {run}"
    return f"Go on with: dovetail resume {run}"


def _add_note(error: BaseException, note: str) -> None:
    add_note = getattr(error, "add_note", None)  # since Python 3.11
    if add_note is not None:
        add_note(note)


def _cut(error: BaseException, flow: FlowFunction[..., Any]) -> BaseException:
    """An exception of the body, whose traceback begins in the body."""
    code = flow.fn.__code__
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code is not code:
        trace = trace.tb_next
    return error if trace is None else error.with_traceback(trace)


# -- what the driver is asked -----------------------------------------------------------------------------------------

_descriptions: WeakKeyDictionary[Any, tuple[Any, FlowDescription]] = WeakKeyDictionary()


def _described(flow: FlowFunction[..., Any]) -> FlowDescription:
    """The flow as plain data. What it was when it was called first: that is the code which runs."""
    known = _descriptions.get(flow)
    said = (flow.name, flow.uses)
    if known is not None and known[0] == said:
        return known[1]
    description = replace(describe_flow(flow, gated=False), fork_hazards=())
    if not os.path.isfile(description.file):  # what comes from standard input calls itself <stdin>
        description = replace(description, file="")
    _descriptions[flow] = said, description
    return description


def _request(
    flow: FlowFunction[..., Any], description: FlowDescription, plain: Mapping[str, Any], others: Mapping[str, Any]
) -> dict[str, Any]:
    name, refusal = flow.name, ""
    if not description.file:
        refusal = f"{flow.name} is in no file"
    elif flow.address is None:
        refusal = f"{flow.name} is no top-level name of its file"
    else:
        name = flow.address[1]
    return {
        "flow": description.to_plain(),
        "name": name,
        "refusal": refusal,
        "parameters": plain,
        "saved": list(others),
        "cwd": os.getcwd(),
        "env": dict(os.environ),
    }


def _file_of(flow: FlowFunction[..., Any]) -> str:
    return _described(flow).file


def _tell(line: str) -> None:
    """Say how it goes, where somebody looks on."""
    try:
        is_terminal = sys.stderr is not None and sys.stderr.isatty()
    except ValueError:  # closed
        is_terminal = False
    if is_terminal and os.environ.get(QUIET) != "1":
        printing.show("stderr", line + "\n")
