"""Makes one attempt of a step of a class flow: its inputs bound, and everything that it leaves behind."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Any

from dovetail.authoring.binding import bind, instance
from dovetail.authoring.calling import caller
from dovetail.authoring.current import current
from dovetail.interfaces.tasks import TaskOutcome
from dovetail.worker.binding import TaskBinding
from dovetail.worker.callers import LateCalls
from dovetail.worker.leaving import Leaving
from dovetail.worker.reports import kind_of_ours, report_exception

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from dovetail.interfaces.tasks import CatchPolicy, ErrorReport
    from dovetail.worker.assignments import Task
    from dovetail.worker.execute import Executor
    from dovetail.worker.transitions import StepTransitions

__all__ = ["StepShared", "attempt_step"]


class StepShared:
    """What all attempts of a step share."""

    __slots__ = ("environment", "method", "transitions")

    def __init__(
        self, method: Callable[..., Any], transitions: StepTransitions, environment: Mapping[str, str]
    ) -> None:
        self.method = method
        self.transitions = transitions
        self.environment = environment


def attempt_step(
    executor: Executor, step: StepShared, task: Task, started: float, thread: bool
) -> tuple[TaskOutcome, int]:
    """Make an attempt; what came of it, and the exit code that a process of its own should have."""
    template = task.template
    binding = TaskBinding(task, executor.artifacts)
    flow = instance(executor.flow_cls)
    inputs = bind(flow, binding, template.step, binding.inputs())
    current._set(
        executor.current_facts,
        step=template.step,
        path=task.path,
        attempt=task.attempt,
        graph=executor.graph,
        thread=thread,
    )
    before = None
    if step.environment:
        before = _set_environment(step.environment)
        if thread:  # siblings share the variables, so they stay
            before = None
    calls = LateCalls(executor, task, task.path)
    token = caller.enter(calls, process=not thread)
    leaving = Leaving(flow, binding, executor.artifacts(template.datastore), executor.is_run_store(template.datastore))
    finished = 0.0
    try:
        if executor.is_wrapped:
            executor.run_wrapped(task, lambda: step.method(flow) if inputs is None else step.method(flow, inputs))
        else:
            step.method(flow) if inputs is None else step.method(flow, inputs)
        calls.finish()
        finished = time.time()
        return leaving.leave(step.transitions, template.catch, started, finished), 0
    except BaseException as error:
        failure = error
        calls.wait()
    finally:
        if before is not None:
            _restore_environment(before)
        caller.leave(token, process=not thread)
        current._clear()
    if executor.post_mortem:
        from dovetail.worker.execute import debug

        debug(failure)
    # Once the step has returned, what fails is storing what it left.
    report = report_exception(failure, kind=kind_of_ours(failure) if finished else "exception")
    finished = finished or time.time()
    caught = _catch(task, template.catch, step, leaving, report, started, finished)
    if caught is not None:
        return caught, 0
    code = failure.code if isinstance(failure, SystemExit) else 1
    outcome = TaskOutcome(path=task.path, attempt=task.attempt, started=started, finished=finished, error=report)
    return outcome, code if isinstance(code, int) else 1


def _catch(
    task: Task,
    catch: CatchPolicy | None,
    step: StepShared,
    leaving: Leaving,
    report: ErrorReport,
    started: float,
    finished: float,
) -> TaskOutcome | None:
    """What `@catch` makes of a failure, or None when it does not apply."""
    if catch is None or not task.last or report.type == "KeyboardInterrupt":
        return None
    if catch.print_exception:
        sys.stderr.write(report.traceback or f"{report.type}: {report.message}\n")
    return leaving.leave_caught(step.transitions, catch, report, started, finished)


def _set_environment(variables: Mapping[str, str]) -> dict[str, str | None]:
    """Set variables; what they were before."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    return before


def _restore_environment(before: Mapping[str, str | None]) -> None:
    for name, value in before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
