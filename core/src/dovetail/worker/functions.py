"""Runs function tasks, and the body of a function flow: what they are given, and what they leave."""

from __future__ import annotations

import inspect
import sys
import time
from typing import TYPE_CHECKING, Any

from dovetail.artifacts.arguments import read_arguments
from dovetail.artifacts.outputs import OutputWriter
from dovetail.artifacts.packing import RESULT
from dovetail.artifacts.record_packing import pack_body
from dovetail.authoring.arguments import futures_in, resolved
from dovetail.interfaces.errors import UsageError
from dovetail.interfaces.stored import Stored
from dovetail.interfaces.tasks import ErrorReport, TaskOutcome
from dovetail.worker.reports import report_exception

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dovetail.artifacts.store import ArtifactStore
    from dovetail.authoring.task_function import TaskFunction
    from dovetail.interfaces.tasks import CatchPolicy

__all__ = ["bare", "caught", "find_task", "given_arguments", "leave_value", "returned", "run_function"]


def find_task(module: str, name: str) -> TaskFunction[..., Any]:
    """The task that a module holds under a qualified name.

    Raises:
        UsageError: It holds no task of this name.
    """
    import importlib

    found: Any = sys.modules.get(module) or importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    if not hasattr(found, "fn"):
        raise UsageError(
            f"{module}.{name} is not a task where it runs", hint="Define the task at the top level of its module."
        )
    return found  # type: ignore[no-any-return]


def given_arguments(table: bytes, artifacts: ArtifactStore) -> dict[str, Any]:
    """Name → value of what a function is called with."""
    given: dict[str, Any] = {}
    for name, ref in read_arguments(table).items():
        assert ref is not None, "a call that another process runs has all of its values stored"
        given[name] = artifacts.load(ref, name=f"argument {name}")
    return given


def run_function(fn: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Call a function; a coroutine is run to its end."""
    value = fn(*args, **kwargs)
    if inspect.iscoroutine(value):
        import asyncio

        return asyncio.run(value)
    return value


def returned(value: Any) -> Any:
    """What a function returned, with futures replaced by their values."""
    return resolved(value, _result) if futures_in(value) else value


def bare(value: Any) -> Any:
    """What a caller gets of what a function returned: the value that `Stored` holds."""
    return value.value if type(value) is Stored else value


def _result(future: Any) -> Any:
    return future.result()


def leave_value(
    value: Any,
    artifacts: ArtifactStore,
    *,
    inline: bool,
    path: str,
    attempt: int,
    started: float,
    finished: float,
    arguments: bytes,
    caught: ErrorReport | None = None,
) -> TaskOutcome:
    """The outcome of a function that returned.

    Raises:
        UnpicklableError: The value can't be stored.
    """
    writer = OutputWriter(artifacts, inline=inline)
    writer.add(RESULT, value)
    outputs = writer.finish()
    return TaskOutcome(
        path=path,
        attempt=attempt,
        started=started,
        finished=finished,
        caught=caught,
        body=pack_body(
            outputs, reads={}, next=None, caught=caught, started=started, finished=finished, arguments=arguments
        ),
        values=outputs.values,
        outputs=outputs.table,
        outputs_digest=outputs.digest,
        index=outputs.index,
        objects=outputs.objects,
    )


def caught(
    error: BaseException,
    catch: CatchPolicy,
    artifacts: ArtifactStore,
    *,
    inline: bool,
    path: str,
    attempt: int,
    started: float,
    arguments: bytes,
) -> tuple[TaskOutcome, Any]:
    """What `@catch` makes of the failure of a function: its value is the error, as data."""
    from dovetail.artifacts.caught import CaughtError

    report = report_exception(error)
    if catch.print_exception:
        sys.stderr.write(report.traceback or f"{report.type}: {report.message}\n")
    value = CaughtError.from_report(report)
    outcome = leave_value(
        value,
        artifacts,
        inline=inline,
        path=path,
        attempt=attempt,
        started=started,
        finished=time.time(),
        arguments=arguments,
        caught=report,
    )
    return outcome, value
