"""The driver: performs what the state machine asks for, from one event loop.

It never imports user code. It is the single writer of the run's state events and commit records, under a lease and
a fence; when it can no longer renew them, it stops causing effects.
"""

from __future__ import annotations

import gc
import selectors
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from dovetail.engine.calling import CallDesk
from dovetail.engine.commits import Commits
from dovetail.engine.committer import Pending
from dovetail.engine.control import RunControl
from dovetail.engine.describe import FlowImportError
from dovetail.engine.dispatcher import Dispatcher
from dovetail.engine.hooks import kind_of_end
from dovetail.engine.machine import Attempt, Commit, GiveUp, Retry
from dovetail.engine.placing import Placer
from dovetail.engine.stop_signals import stop_signals
from dovetail.interfaces.clock import clock
from dovetail.interfaces.states import RunState, TaskState
from dovetail.interfaces.tasks import ErrorReport, Exit, Isolation, TaskOutcome, Usage

if TYPE_CHECKING:
    from dovetail.artifacts.records import CommitRecord
    from dovetail.engine.bookkeeper import Bookkeeper
    from dovetail.engine.calling import WorkerKey
    from dovetail.engine.calls import CallBuilder
    from dovetail.engine.hooks import Hooks
    from dovetail.engine.inbox import Inbox
    from dovetail.engine.journal import Journal
    from dovetail.engine.limiting import Limiter
    from dovetail.engine.listener import RunListener
    from dovetail.engine.machine import RunMachine
    from dovetail.engine.ownership import Ownership
    from dovetail.engine.recorded import Recorded
    from dovetail.engine.step_plans import StepPlans
    from dovetail.engine.transactions import OpenTransaction, Transactions
    from dovetail.engine.waits import Waits
    from dovetail.interfaces.flow import StepDescription
    from dovetail.interfaces.workers import Called, CallEnded, Declared, Output, WorkerGroup
    from dovetail.planning.dynamic_planner import DynamicPlanner
    from dovetail.planning.planned import PlannedTask

__all__ = ["Driver"]

TICK_SECONDS = 0.5
RESTARTS = 3
"""How often a group whose warm parent died is opened again."""


class Driver:
    """Drives one run to its end.

    Args:
        machine: Decides.
        calls: Makes task calls.
        groups: Name → workers. May grow while the run goes on.
        group_of: Name of the group that runs a task.
        begin: Tells a group the facts of the run.
        reopen: Opens a group again whose warm parent died.
        slots: Attempts that may run at the same time.
        books: Keeps what the run leaves behind.
        planner: The machine's.
        hooks: Plans what is called when tasks and the run have ended.
        transactions: Knows which are open.
        finish: Has a transaction ended.
        cancel_left: Tells of the tasks that a driver before has left under way that they are cancelled with the run.
        plans: Resolves the choices for tasks that are called.
        reread: The records that the run has by now.
        values_of: Bytes of the values section of a recorded task.
        caught: Makes the outcome of a task whose last attempt died and is caught.
        limiter: Holds the limits of tasks.
        limits_of: What a task needs of them.
        keep_call: Keeps what nothing else tells of a called task.
        waits: Tasks that wait for somebody outside of the run.
        pause_after: Seconds that the driver waits for input with nothing else to do, before it pauses the run.
        terminal: Whether a step may have the terminal, with a debugger on it.
        grace: Seconds between SIGTERM and SIGKILL.
    """

    def __init__(
        self,
        *,
        machine: RunMachine,
        calls: CallBuilder,
        groups: dict[str, WorkerGroup],
        group_of: Callable[[PlannedTask], str],
        begin: Callable[[WorkerGroup], None],
        reopen: Callable[[str], WorkerGroup],
        slots: int,
        books: Bookkeeper,
        journal: Journal,
        recorded: Recorded,
        planner: DynamicPlanner,
        hooks: Hooks,
        transactions: Transactions,
        finish: Callable[[OpenTransaction], None],
        cancel_left: Callable[[], None],
        plans: StepPlans,
        reread: Callable[[], Iterable[CommitRecord]],
        values_of: Callable[[CommitRecord], bytes],
        caught: Callable[[Attempt, ErrorReport, float | None], TaskOutcome],
        limiter: Limiter,
        limits_of: Callable[[PlannedTask], Mapping[str, int]],
        keep_call: Callable[[StepDescription], None],
        ownership: Ownership,
        inbox: Inbox,
        listener: RunListener,
        waits: Waits,
        pause_after: float = 0.0,
        terminal: bool = False,
        grace: float = 5.0,
    ) -> None:
        self._terminal = terminal
        self._machine = machine
        self._calls = calls
        self._groups = groups
        self._hooks = hooks
        self._transactions = transactions
        self._finish = finish
        self._cancel_left = cancel_left
        self._reread = reread
        self._begin = begin
        self._reopen = reopen
        self._books = books
        self._journal = journal
        self._recorded = recorded
        self._caught = caught
        self._limiter = limiter
        self._ownership = ownership
        self._inbox = inbox
        self._listener = listener
        self._waits = waits
        self._clock = clock()
        self._commits = Commits(
            books=books,
            journal=journal,
            machine=machine,
            calls=calls,
            recorded=recorded,
            hooks=hooks,
            transactions=transactions,
            values_of=values_of,
            called=lambda written: self._desk.committed(written),
        )
        self._dispatcher = Dispatcher(groups, slots=slots, listener=self, grace=grace, replays=bool(recorded))
        self._desk = CallDesk(
            plans=plans,
            machine=machine,
            planner=planner,
            calls=calls,
            recorded=recorded,
            reread=reread,
            books=books,
            reuse=lambda attempt, found: self._commits.reuse(attempt.task, attempt.call, found),
            answer=self._dispatcher.answer,
            waits=self._dispatcher.waits,
            died=self._call_hooks,
            limiter=limiter,
            keep_call=keep_call,
            inputs=waits,
        )
        self._placer = Placer(
            machine=machine,
            calls=calls,
            recorded=recorded,
            commits=self._commits,
            limiter=limiter,
            limits_of=limits_of,
            dispatcher=self._dispatcher,
            group_of=group_of,
            desk=self._desk,
            books=books,
        )
        self._control = RunControl(
            machine=machine,
            planner=planner,
            placer=self._placer,
            desk=self._desk,
            dispatcher=self._dispatcher,
            limiter=limiter,
            waits=waits,
            books=books,
            pause_after=pause_after,
        )
        self._selector = selectors.DefaultSelector()
        self._wound_up = False
        self._restarts: dict[str, int] = {}
        self._listening: set[str] = set()
        self._tick = 0.0

    # -- the loop -------------------------------------------------------------------------------------------------

    def run(self) -> RunState:
        """Drive the run until nothing runs and nothing will; its final state.

        All that was committed is kill-durable; the caller makes it power-durable and tells the final state.
        """
        if not gc.isenabled():
            gc.freeze()  # what was imported stays
            gc.enable()
        self._open_new_groups()
        with stop_signals(self._selector, self._control.interrupted, leave_sigint=self._terminal), self._selector:
            self._control.take_in(self._inbox.take(self._journal))  # of a run that goes on: it may be asked to end
            if self._machine.ended_by is RunState.CANCELLED:
                self._cancel_left()
            self._fill()
            while not self._machine.finished or self._wind_up():
                ready = self._selector.select(self._timeout())
                if not ready and (retry := self._next_retry()) is not None:
                    self._clock.skip_to(retry)
                for key, _ in ready:
                    if key.data is not None:
                        self._dispatcher.read(key.data)
                    else:
                        key.fileobj.recv(64)  # type: ignore[union-attr]
                self._dispatcher.enforce()
                self._desk.look_up()
                self._commits.write()
                self._look_around()
                self._fill()
                self._control.pause_if_idle()
        return self._machine.state

    def _wind_up(self) -> bool:
        """Plan what is left to do once nothing runs any more; False when that is done."""
        state = self._machine.state
        if self._wound_up or state not in (RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED):
            return False
        open_ones = self._transactions.unfinished()
        if open_ones:
            self._recorded.know(self._reread())
            self._dispatcher.replay()
            for one in open_ones:
                self._finish(one)
            self._fill()
            return True
        self._wound_up = True
        self._hooks.run_ended(state, self._machine.root_cause)
        self._fill()
        return not self._machine.finished

    def _open_new_groups(self) -> None:
        """Listen to groups; a task that is called may need a further one."""
        for name, group in self._groups.items():
            if name not in self._listening:
                self._listening.add(name)
                self._begin(group)
                self._selector.register(group.fileno(), selectors.EVENT_READ, name)

    def _timeout(self) -> float:
        dues = [
            self._tick,
            self._inbox.next_due(),
            self._ownership.next_due(),
            self._journal.next_due(),
            self._dispatcher.next_due(),
            self._clock.real_due(self._next_retry()),
            self._waits.next_due(),
            self._limiter.next_due(),
            self._control.next_due(),
        ]
        return max(0.0, min(due for due in dues if due is not None) - time.monotonic())

    def _next_retry(self) -> float | None:
        """When a retry can begin. While something waits for room, what is due already waits behind it."""
        return self._machine.next_due(self._clock.monotonic() if self._placer.is_full else None)

    def _look_around(self) -> None:
        """What is due by the clock rather than by an event."""
        now = time.monotonic()
        self._journal.flush_if_due()
        self._ownership.renew_if_due()
        self._limiter.renew_if_due()
        self._control.take_in(self._inbox.take(self._journal, at_once=self._waits.is_due()))
        for attempt, outcome, error in self._waits.settle():
            self.ended(attempt, outcome, error, None, None, Isolation.INLINE)
        for question in self._waits.fresh():
            self._listener.asked(question)
        if now >= self._tick:
            self._tick = now + TICK_SECONDS
            self._books.flush_logs()  # others may follow them
            self._limiter.tick()
            self._listener.tick()
        self._control.stop_if_interrupted()

    # -- starting -------------------------------------------------------------------------------------------------

    def _fill(self) -> None:
        """Start what can start, and take what is recorded instead of running it."""
        while True:
            self._placer.place(self._clock.monotonic())
            self._books.expected(self._machine.planner.expected.items())
            if not self._commits:
                break
            self._commits.write()
        self._dispatcher.send()

    # -- what workers tell ----------------------------------------------------------------------------------------

    def began(self, attempt: Attempt, isolation: Isolation, pid: int) -> None:
        """An attempt runs."""
        self._books.began(attempt.call.path, attempt.number)

    def output(self, output: Output) -> None:
        """A task wrote something."""
        self._books.output(output)

    def ended(
        self,
        attempt: Attempt,
        outcome: TaskOutcome | None,
        error: ErrorReport | None,
        exit: Exit | None,
        usage: Usage | None,
        isolation: Isolation,
    ) -> None:
        """An attempt ended: commit it, try again or give up."""
        self._limiter.release(attempt)
        call = attempt.call
        if error is not None and call.policy.catch is not None and attempt.last and error.kind not in _NOT_CAUGHT:
            outcome, error = self._caught(attempt, error, self._books.started(call.path)), None
        number = attempt.number
        self._desk.caller_ended(attempt)
        verdict = self._machine.ended(attempt, error, self._clock.monotonic())
        if isinstance(verdict, Commit):
            assert outcome is not None
            self._commits.add(
                Pending(
                    task=attempt.task,
                    call=call,
                    outcome=outcome,
                    attempt=number,
                    state="succeeded",
                    isolation=isolation.value,
                    exit=exit,
                    usage=usage,
                )
            )
            return
        assert error is not None
        if self._machine.ended_by is RunState.PAUSED:
            self._books.paused(attempt)
            return
        state = TaskState.WAITING if isinstance(verdict, Retry) else TaskState.FAILED
        if isinstance(verdict, GiveUp) and verdict.cancelled:
            state = TaskState.CANCELLED
        self._books.failed(attempt, number, error, state, exit, usage)
        if isinstance(verdict, GiveUp):
            self._call_hooks(attempt, error)
        if attempt.task.is_called and isinstance(verdict, GiveUp):
            self._desk.failed(attempt, error)
        elif self._machine.root_cause == (call.path, error):
            self._machine.root_cause = self._desk.origin_of(error) or self._machine.root_cause
        if isinstance(verdict, GiveUp) and verdict.kill:
            self._placer.put_back()
            self._desk.ended_by = "ended because another task failed"
            self._dispatcher.kill_all(self._desk.ended_by)

    def declared(self, key: WorkerKey, callers: Iterable[Attempt], event: Declared) -> None:
        """A worker is about to call a task."""
        self._desk.declared(key, callers, event)
        self._open_new_groups()

    def called(self, key: WorkerKey, caller: Attempt, event: Called) -> None:
        """A task calls another one."""
        self._desk.called(key, caller, event)

    def call_ended(self, key: WorkerKey, event: CallEnded, isolation: Isolation) -> None:
        """A worker made an attempt of a called task in its own process."""
        attempt, outcome = self._desk.ended(key, event), event.outcome
        self.ended(attempt, outcome, outcome.error, None, outcome.usage, isolation)

    def worker_gone(self, key: WorkerKey) -> None:
        """A worker's process ended."""
        self._commits.write()  # of what it ran itself, some may have ended before
        self._desk.gone(key)

    def returned(self, attempt: Attempt) -> None:
        """An attempt never began: it goes back, without using a try."""
        self._limiter.release(attempt)
        self._machine.put_back(attempt)

    def group_failed(self, name: str, error: ErrorReport) -> None:
        """A warm parent died in mid-run: open its group again, a few times."""
        self._selector.unregister(self._groups[name].fileno())
        self._groups[name].close()
        self._restarts[name] = self._restarts.get(name, 0) + 1
        if self._restarts[name] <= RESTARTS:
            self._books.note(f"the process that imported the flow died ({error.message}); starting it again")
            try:
                self._groups[name] = self._reopen(name)
            except FlowImportError as again:
                error = again.report
            else:
                self._selector.register(self._groups[name].fileno(), selectors.EVENT_READ, name)
                self._dispatcher.abandon(name, ErrorReport(type="", message=error.message, kind="lost"))
                return
        self._dispatcher.abandon(name, error)
        self._machine.fail_all(error)

    def _call_hooks(self, attempt: Attempt, error: ErrorReport) -> None:
        """Plan the hooks of a task that has failed for good; say it where that was a hook."""
        if self._hooks.is_hook(attempt.task):
            self._books.note(f"{attempt.task.path} failed, which changes nothing: {error}")
        if self._machine.ended_by in (None, RunState.CANCELLED):
            kind = kind_of_end(error, cancelled=self._machine.ended_by is not None)
            self._hooks.task_ended(attempt.task, self._calls.plan(attempt.task), attempt.number, kind, error)


_NOT_CAUGHT = frozenset({"cancelled", "lost"})
