"""What becomes of a task that was submitted: it runs beside its caller on a thread, or in a process of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dovetail.worker.call_attempt import make_attempt
from dovetail.worker.channel import Reply
from dovetail.worker.failures import failure_of
from dovetail.worker.wire import Kind, outcome_to_plain

if TYPE_CHECKING:
    from dovetail.authoring.task_function import TaskFunction
    from dovetail.interfaces.workers import Answer
    from dovetail.worker.calls import Calls
    from dovetail.worker.declarations import Kept
    from dovetail.worker.futures import Submitted

__all__ = ["run_beside", "send_to_driver"]


def run_beside(
    calls: Calls,
    future: Submitted[Any],
    task: TaskFunction[..., Any],
    kept: Kept,
    given: Mapping[str, Any],
    after: tuple[str, ...],
    key: str | None,
    index: tuple[int, ...],
) -> None:
    """Run a call in this thread; the future hears of it when it is recorded, which nobody waits for here."""
    channel = calls.executor.channel()
    asked = calls.replays or kept.asks
    value: Any = None
    failure: BaseException | None = None

    def run(attempt: int, last: bool) -> None:
        nonlocal value, failure
        try:
            inside = calls.inside(made, attempt)
            outcome, value, failure = make_attempt(calls.executor, inside, made, attempt, last)
            channel.send(*outcome_to_plain(made.number, attempt, outcome, kind=Kind.CALL_DONE))
        except BaseException as error:
            future.fail(error)

    def answered(answer: Answer) -> None:
        nonlocal asked
        ref = answer.value
        if ref is None and answer.error is None:
            asked = False
            calls.executor.threads().submit(run, answer.attempt, answer.last)
            return
        channel.forget(made.number)
        if answer.error is not None:
            future.fail(failure if failure is not None else failure_of(answer.error, made.path))
        elif asked and ref is not None:
            future.succeed_later(ref, lambda: calls.load(ref))
        else:
            future.ref = ref
            future.succeed(value)

    made = calls.prepare(task, kept, given, after, key, index=index, reply=Reply(answered))
    future.path = made.path
    if calls.recalled(future, made):
        return
    at_once = not asked
    calls.tell(made)  # from here on `answered` may be called, on the thread that reads
    if at_once:
        run(1, True)


def send_to_driver(
    calls: Calls,
    future: Submitted[Any],
    task: TaskFunction[..., Any],
    kept: Kept,
    given: Mapping[str, Any],
    after: tuple[str, ...],
    key: str | None,
    index: tuple[int, ...],
) -> None:
    """Have the driver run a call in a process of its own; the future hears of it."""

    def ended(answer: Answer) -> None:
        calls.executor.channel().forget(made.number)
        if answer.error is not None:
            future.fail(failure_of(answer.error, made.path))
            return
        ref = answer.value
        assert ref is not None
        future.succeed_later(ref, lambda: calls.load(ref))

    made = calls.prepare(task, kept, given, after, key, index=index, reply=Reply(ended), keep=True)
    future.path = made.path
    if not calls.recalled(future, made):
        calls.tell(made)
