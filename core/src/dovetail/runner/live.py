"""Function flows that are called: a run whose body is the process that calls, or a task of the run that calls."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from dovetail.authoring.calling import caller
from dovetail.authoring.hooks import hooks_of
from dovetail.authoring.signature import coerce_arguments
from dovetail.interfaces.errors import UsageError
from dovetail.runner._arguments import split_arguments
from dovetail.runner._body import Body, RunOver
from dovetail.runner._drive import Ending, drive, request_of
from dovetail.worker.describing import describe_flow
from dovetail.worker.failures import failure_of
from dovetail.worker.reports import is_ours

if TYPE_CHECKING:
    from dovetail.authoring.flow_function import FlowFunction
    from dovetail.interfaces.flow import FlowDescription

__all__ = ["call_flow"]


def call_flow(flow: FlowFunction[..., Any], given: Mapping[str, Any]) -> Any:
    """What calling a flow does.

    Inside a run it is a task of that run, as if its function were marked `@task`. Anywhere else it is a run of its
    own: this thread runs the body, and a child process, which is kept for further calls, drives the run. A body that
    has a time limit, or an isolation that takes a process of its own, runs in one.

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
    import asyncio

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
    """Run a flow with its body in this thread, or in a process of its own."""
    apart = _why_apart(flow)

    def prepare() -> tuple[dict[str, Any], Any]:
        description = _described(flow)
        name, refusal = _found_as(flow, description)
        if apart and refusal:
            raise UsageError(
                f"{flow.name} {apart}, so its body needs a process of its own, which imports the flow, and {refusal}",
                hint="Put the flow into a file and import that, or say it of its tasks instead of the flow.",
            )
        plain, others = split_arguments(flow.fn, given)
        request = request_of(
            description.file,
            name,
            flow=None if apart else description.to_plain(),
            said=_said(description) if apart and (flow.called_with or hooks_of(flow)) else None,
            refusal=refusal,
            parameters=plain,
            saved=others,
        )
        return request, partial(Body, flow=flow, description=description, given=given, to_save=others, call=call)

    ending = drive(flow.name, prepare)
    return _result_apart(ending) if apart else _result(flow, ending)


def _result(flow: FlowFunction[..., Any], ending: Ending) -> Any:
    """What a run gives whose body ran here."""
    body = ending.body
    if ending.state == "succeeded":
        return body.value
    failure = body.failure
    if failure is None or isinstance(failure, RunOver):
        raise ending.failure()
    _add_note(failure, f"This was run {body.run} of {flow.name}. {ending.way_on}")
    raise failure.with_traceback(_of_user(failure.__traceback__))


def _result_apart(ending: Ending) -> Any:
    """The same of a body that had a process of its own."""
    if ending.state != "succeeded":
        if ending.error is None:
            raise ending.failure()
        error = failure_of(ending.error, ending.path)
        _add_note(error, f"This was run {ending.body.run} of {ending.name}. {ending.way_on}")
        raise error
    from dovetail.client import Client

    with Client(ending.body.home, namespace=None) as client:
        return client.run(ending.body.run).data.result


def _add_note(error: BaseException, note: str) -> None:
    add_note = getattr(error, "add_note", None)  # since Python 3.11
    if add_note is not None:
        add_note(note)


def _of_user(trace: TracebackType | None) -> TracebackType | None:
    """A traceback without our frames."""
    frames: list[TracebackType] = []
    while trace is not None:
        if not is_ours(trace.tb_frame.f_code.co_filename):
            frames.append(trace)
        trace = trace.tb_next
    kept: TracebackType | None = None
    for one in reversed(frames):
        kept = TracebackType(kept, one.tb_frame, one.tb_lasti, one.tb_lineno)
    return kept


# -- what the driver is told ------------------------------------------------------------------------------------------

_descriptions: WeakKeyDictionary[Any, tuple[Any, FlowDescription]] = WeakKeyDictionary()


def _described(flow: FlowFunction[..., Any]) -> FlowDescription:
    """The flow as plain data. What it was when it was called first: that is the code which runs."""
    known = _descriptions.get(flow)
    said = (flow.name, flow.uses, hooks_of(flow))
    if known is not None and known[0] == said:
        return known[1]
    description = replace(describe_flow(flow, gated=False), fork_hazards=())
    if not os.path.isfile(description.file):  # what comes from standard input calls itself <stdin>
        description = replace(description, file="")
    _descriptions[flow] = said, description
    return description


def _said(description: FlowDescription) -> dict[str, Any]:
    """What `with_options` and hooks say of a flow that another process imports, which knows nothing of this object."""
    plain = description.to_plain()
    return {"decorators": plain["decorators"], "body": plain["steps"][0]["decorators"], "hooks": plain["hooks"]}


def _found_as(flow: FlowFunction[..., Any], description: FlowDescription) -> tuple[str, str]:
    """(name that finds the flow in its file, why no other process can import it)."""
    if not description.file:
        return flow.name, f"{flow.name} is in no file"
    if flow.address is None:
        return flow.name, f"{flow.name} is no top-level name of its file"
    return flow.address[1], ""


def _why_apart(flow: FlowFunction[..., Any]) -> str:
    """What is said of the body that a thread of the caller can't do; empty when there is nothing."""
    for use in flow.uses:
        if use.kind == "timeout":
            return "has a time limit"
        if use.kind == "isolation" and use.options.get("kind") in ("fork", "spawn", "auto"):
            return f"has the isolation {use.options['kind']}"
    return ""
