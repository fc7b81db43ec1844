"""Makes one attempt of a function: a called task that has a process of its own, or the body of a function flow."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from dovetail.authoring.calling import caller
from dovetail.authoring.current import current
from dovetail.interfaces.tasks import TaskOutcome
from dovetail.worker.callers import LateCalls
from dovetail.worker.functions import bare, caught, leave_value, returned, run_function
from dovetail.worker.reports import kind_of_ours, report_exception

if TYPE_CHECKING:
    from dovetail.worker.assignments import Task
    from dovetail.worker.execute import Executor

__all__ = ["attempt_function"]


def attempt_function(executor: Executor, task: Task, started: float, thread: bool) -> tuple[TaskOutcome, int]:
    """Make an attempt; what came of it, and the exit code that a process of its own should have."""
    template = task.template
    artifacts = executor.artifacts(template.datastore)
    current._set(
        executor.current_facts,
        step=template.step,
        path=task.path,
        attempt=task.attempt,
        graph=executor.graph,
        thread=thread,
    )
    calls = LateCalls(executor, task, "" if task.arguments is None else task.path)
    token = caller.enter(calls, process=not thread)
    result: list[Any] = []
    try:
        function, args, kwargs = executor.function_of(task)
        if executor.is_wrapped:
            executor.run_wrapped(task, lambda: result.append(run_function(function, args, kwargs)))
        else:
            result.append(run_function(function, args, kwargs))
        result[0] = returned(result[0])
        calls.finish()
        outcome = leave_value(
            result[0],
            artifacts,
            inline=executor.is_run_store(template.datastore),
            path=task.path,
            attempt=task.attempt,
            started=started,
            finished=time.time(),
            arguments=task.arguments or b"",
        )
        executor.returned(task, bare(result[0]))
        return outcome, 0
    except BaseException as error:
        failure = error
        if executor.raised(task, error):
            calls.wait()
    finally:
        caller.leave(token, process=not thread)
        current._clear()
    if executor.post_mortem:
        from dovetail.worker.execute import debug

        debug(failure)
    if template.catch is not None and task.last and not isinstance(failure, KeyboardInterrupt):
        outcome, value = caught(
            failure,
            template.catch,
            artifacts,
            inline=executor.is_run_store(template.datastore),
            path=task.path,
            attempt=task.attempt,
            started=started,
            arguments=task.arguments or b"",
        )
        executor.returned(task, value)
        return outcome, 0
    # Once the function has returned, what fails is storing what it left.
    report = report_exception(failure, kind=kind_of_ours(failure) if result else "exception")
    outcome = TaskOutcome(path=task.path, attempt=task.attempt, started=started, finished=time.time(), error=report)
    code = failure.code if isinstance(failure, SystemExit) else 1
    return outcome, code if isinstance(code, int) else 1
