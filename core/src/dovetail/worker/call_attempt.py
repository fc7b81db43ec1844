"""Makes an attempt of a task that the process runs which called it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from dovetail.authoring.calling import caller
from dovetail.authoring.current import current
from dovetail.interfaces.tasks import TaskOutcome
from dovetail.worker.failures import remembered
from dovetail.worker.functions import bare, caught, leave_value, returned, run_function
from dovetail.worker.reports import report_exception
from dovetail.worker.wire import Kind, outcome_to_plain

if TYPE_CHECKING:
    from dovetail.authoring.task_function import TaskFunction
    from dovetail.interfaces.tasks import Arguments
    from dovetail.worker.calls import Calls
    from dovetail.worker.channel import Reply
    from dovetail.worker.declarations import Kept
    from dovetail.worker.execute import Executor

__all__ = ["Call", "give_up", "make_attempt", "make_attempt_async"]


class Call:
    """One call on its way."""

    __slots__ = ("after", "arguments", "given", "keep", "kept", "number", "path", "reply", "task")

    def __init__(
        self,
        task: TaskFunction[..., Any],
        kept: Kept,
        number: int,
        path: str,
        given: Mapping[str, Any],
        arguments: Arguments,
        after: tuple[str, ...],
        reply: Reply,
        keep: bool,
    ) -> None:
        self.task = task
        self.kept = kept
        self.number = number
        self.path = path
        self.given = given
        self.arguments = arguments
        self.after = after
        self.reply = reply
        self.keep = keep
        """Whether its arguments are stored, since another process will run it."""


def make_attempt(
    executor: Executor, inside: Calls, call: Call, attempt: int, last: bool
) -> tuple[TaskOutcome, Any, BaseException | None]:
    """Make an attempt of a call in this thread: (outcome, value, error).

    Args:
        executor: Of this process.
        inside: The caller of what the task calls.
        call: The call.
        attempt: Which one, from 1.
        last: Whether no other follows a failure.
    """
    started = time.time()
    with _entered(inside, call, attempt):
        try:
            args, kwargs = call.task.unbind(call.given)
            value = returned(run_function(call.task.fn, args, kwargs))
            inside.finish()
            return _leave(executor, call, value, attempt, started), bare(value), None
        except (Exception, SystemExit) as error:
            return _failed(executor, call, error, attempt, last, started)
        except BaseException as error:  # Ctrl-C: of the process, not of the task
            give_up(executor, call, attempt, error, started)
            raise


async def make_attempt_async(
    executor: Executor, inside: Calls, call: Call, attempt: int, last: bool
) -> tuple[TaskOutcome, Any, BaseException | None]:
    """As `make_attempt`, of a coroutine."""
    started = time.time()
    with _entered(inside, call, attempt):
        try:
            args, kwargs = call.task.unbind(call.given)
            value = returned(await call.task.fn(*args, **kwargs))
            inside.finish()
            return _leave(executor, call, value, attempt, started), bare(value), None
        except (Exception, SystemExit) as error:
            return _failed(executor, call, error, attempt, last, started)
        except BaseException as error:  # the coroutine was cancelled
            give_up(executor, call, attempt, error, started)
            raise


def give_up(executor: Executor, call: Call, attempt: int, error: BaseException, started: float) -> None:
    """Tell the driver that nobody waits for a call any more, and that it shall not be tried again."""
    report = report_exception(error, kind="cancelled")
    outcome = TaskOutcome(path=call.path, attempt=attempt, started=started, finished=time.time(), error=report)
    executor.channel().send(*outcome_to_plain(call.number, attempt, outcome, kind=Kind.CALL_DONE))


@contextmanager
def _entered(inside: Calls, call: Call, attempt: int) -> Iterator[None]:
    """Let the task that a call runs be the caller of what it calls."""
    token = caller.enter(inside)
    before = current._enter(call.task.name, call.path, attempt)
    try:
        yield
    finally:
        current._leave(before)
        caller.leave(token)


def _leave(executor: Executor, call: Call, value: Any, attempt: int, started: float) -> TaskOutcome:
    return leave_value(
        value,
        executor.artifacts(call.kept.datastore),
        inline=executor.is_run_store(call.kept.datastore),
        path=call.path,
        attempt=attempt,
        started=started,
        finished=time.time(),
        arguments=call.arguments.table,
    )


def _failed(
    executor: Executor, call: Call, error: BaseException, attempt: int, last: bool, started: float
) -> tuple[TaskOutcome, Any, BaseException | None]:
    if last and call.kept.catch is not None:
        outcome, value = caught(
            error,
            call.kept.catch,
            executor.artifacts(call.kept.datastore),
            inline=executor.is_run_store(call.kept.datastore),
            path=call.path,
            attempt=attempt,
            started=started,
            arguments=call.arguments.table,
        )
        return outcome, value, None
    remembered(error, call.path)
    outcome = TaskOutcome(
        path=call.path, attempt=attempt, started=started, finished=time.time(), error=report_exception(error)
    )
    return outcome, None, error
