"""Calls that running tasks make: finds what is recorded of them, has them run, and answers who called."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from dovetail.engine.calls import around_arguments
from dovetail.engine.known_calls import KnownCalls
from dovetail.engine.machine import Attempt
from dovetail.interfaces.errors import DovetailError, ValidationError
from dovetail.interfaces.states import RunState, TaskState
from dovetail.interfaces.tasks import ErrorReport
from dovetail.interfaces.workers import Answer
from dovetail.planning.planned import PlannedTask

if TYPE_CHECKING:
    from dovetail.artifacts.records import CommitRecord
    from dovetail.engine.bookkeeper import Bookkeeper
    from dovetail.engine.calls import CallBuilder, StepPlan
    from dovetail.engine.committer import Written
    from dovetail.engine.limiting import Limiter
    from dovetail.engine.machine import RunMachine
    from dovetail.engine.recorded import Recorded, Reuse
    from dovetail.engine.step_plans import StepPlans
    from dovetail.engine.waits import Waits
    from dovetail.interfaces.flow import StepDescription
    from dovetail.interfaces.workers import Called, CallEnded, Declared
    from dovetail.planning.dynamic_planner import DynamicPlanner

__all__ = ["CallDesk", "WorkerKey"]

FAILURES_KEPT = 1000
"""Failures of called tasks that are remembered to tell where a run's own comes from."""
WorkerKey: TypeAlias = "tuple[str, int]"
"""(group, worker)"""


class _Open:
    """A called task that has not been answered."""

    __slots__ = ("callers", "held_up", "here")

    def __init__(self, here: bool) -> None:
        self.here = here
        self.held_up: Attempt | None = None
        """The caller, while the task waits for a limit."""
        self.callers: list[tuple[WorkerKey, int, Attempt]] = []
        """Who waits: (worker, number of the call there, the attempt that called)."""


class _Told(NamedTuple):
    """What a caller shall be told once the run is not held any more."""

    path: str
    opened: _Open
    written: Written | None
    error: ErrorReport | None


class CallDesk:
    """Takes the calls of one run. Owned by the driver's thread.

    Args:
        plans: Resolves the choices for tasks that are declared.
        machine: Counts what runs.
        planner: Plans what another process shall run.
        calls: Makes task calls.
        recorded: Finds what need not run.
        reread: The run's records as they are now: of a task that is tried again, children are recorded already.
        books: Keeps what the run leaves behind.
        reuse: Commits a record that stands for a call.
        answer: Sends an answer to a worker.
        died: Told of a called task whose process died.
        waits: Told when an attempt begins (True) or ends to wait for a task in another process.
        limiter: Holds the limits of tasks.
        keep_call: Keeps what nothing else tells of a called task.
        inputs: Tasks that wait for somebody outside of the run.
    """

    def __init__(
        self,
        *,
        plans: StepPlans,
        machine: RunMachine,
        planner: DynamicPlanner,
        calls: CallBuilder,
        recorded: Recorded,
        reread: Callable[[], Iterable[CommitRecord]],
        books: Bookkeeper,
        reuse: Callable[[Attempt, Reuse], None],
        answer: Callable[[WorkerKey, Answer], None],
        waits: Callable[[Attempt, bool], None],
        died: Callable[[Attempt, ErrorReport], None],
        limiter: Limiter,
        keep_call: Callable[[StepDescription], None],
        inputs: Waits,
    ) -> None:
        self._inputs = inputs
        self._holds = False
        self.ended_by = ""
        """Why everything that runs is being ended, once it is."""
        self._calls_later: list[tuple[WorkerKey, Attempt, Called]] = []
        self._told_later: list[_Told] = []
        self._plans = plans
        self._machine = machine
        self._planner = planner
        self._calls = calls
        self._recorded = recorded
        self._known = KnownCalls(recorded, reread, plans)
        self._books = books
        self._reuse = reuse
        self._answer = answer
        self._waits = waits
        self._died = died
        self._limiter = limiter
        self._keep_call = keep_call
        self._declared: dict[WorkerKey, dict[int, tuple[str, StepPlan]]] = {}
        self._planned: dict[str, StepPlan] = {}
        self._open: dict[str, _Open] = {}
        self._looked_for: list[tuple[Attempt, WorkerKey, Called]] = []
        self._here: dict[WorkerKey, dict[int, Attempt]] = {}
        self._failures: dict[str, tuple[str, ErrorReport]] = {}

    # -- what workers ask -----------------------------------------------------------------------------------------

    def declared(self, key: WorkerKey, callers: Iterable[Attempt], event: Declared) -> None:
        """A worker is about to call a task, for one of the attempts that it makes."""
        number = -1 - event.slot
        try:
            plan = self._plan(event.step)
        except DovetailError as error:
            text = f"{error}" if error.hint is None else f"{error}. {error.hint}"
            self._answer(key, Answer(number, error=ErrorReport(type="", message=text, kind="start")))
            return
        self._declared.setdefault(key, {})[event.slot] = event.step.name, plan
        catch = plan.policy.catch
        self._answer(
            key,
            Answer(
                number,
                isolation=plan.here or "driver",
                datastore=plan.datastore,
                asks=catch is not None
                or plan.policy.retry.times > 0
                or plan.policy.cache is not None
                or bool(plan.limits),
                catch=catch,
                recorded=self._known.of(callers, event.step.name, plan),
                around=around_arguments(plan),
            ),
        )

    def _plan(self, step: StepDescription) -> StepPlan:
        known = repr(step.to_plain())
        plan = self._planned.get(known)
        if plan is None:
            plan = self._plans.plan(step)
            problems, self._plans.problems = self._plans.problems, []
            if problems:
                raise ValidationError(f"task {step.name} can't be called:", problems=problems)
            self._planned[known] = plan
            self._keep_call(step)
        return plan

    def called(self, key: WorkerKey, caller: Attempt, event: Called) -> None:
        """A task calls another one."""
        if self._holds and event.asks and not event.known and not _is_part(event.path):
            self._calls_later.append((key, caller, event))
            return
        name, plan = self._declared[key][event.slot]
        waiter = (key, event.number, caller)
        known = self._open.get(event.path)
        if known is not None:  # of an attempt of the caller that failed meanwhile
            known.callers.append(waiter)
            self._waits(caller, True)
            return
        self._known.learn(caller)
        if plan.own_hooks:
            self._books.call_hooks(event.path, plan)
        task = PlannedTask(
            event.path, name, caller.task.scope, (), None, "", plan=plan, arguments=event.arguments, inputs=event.after
        )
        if event.known:
            self._count(Attempt(task, self._calls.build(task)))
            return
        if event.looks and self._recorded.find(self._calls.build(task)).record is None:
            self._answer(key, Answer(event.number))
            return
        opened = self._open[event.path] = _Open(event.here)
        opened.callers.append(waiter)
        if plan.waits:
            self._waits(caller, True)
            self._ask(Attempt(task, self._calls.build(task)))
            return
        if not event.here:
            self._waits(caller, True)
        if plan.policy.cache is not None:
            self._looked_for.append((Attempt(task, self._calls.build(task)), key, event))
        elif event.here:
            self._begin(Attempt(task, self._calls.build(task)), key, event)
        else:
            self._planner.call(task)

    def _count(self, attempt: Attempt) -> None:
        """Take a record for a call whose value its caller knows already."""
        found = self._recorded.find(attempt.call)
        assert found.record is not None, "a worker knows of records from here alone"
        self._machine.begun()
        self._reuse(attempt, found)

    def look_up(self) -> None:
        """Go on with the calls of tasks that other runs may have made, now that all that has come is read: the index
        is asked once for all of them."""
        cache = self._recorded.cache
        if not self._looked_for or cache is None:
            return
        waiting, self._looked_for = self._looked_for, []
        cache.look_up(attempt.call for attempt, _, _ in waiting)
        for attempt, key, event in waiting:
            if attempt.task.path not in self._open:
                continue  # the process that called is gone
            if event.here:
                self._begin(attempt, key, event)
            else:
                self._planner.call(attempt.task)

    def _begin(self, attempt: Attempt, key: WorkerKey, event: Called) -> None:
        """Begin a task that its caller's process runs, unless there is a record of it."""
        self._machine.begun()
        if event.asks and (self._recorded or attempt.call.cache_key is not None):
            found = self._recorded.find(attempt.call)
            if found.record is not None:
                self._reuse(attempt, found)
                return
            if found.reason:
                self._books.not_reused(event.path, found.reason)
        self._here.setdefault(key, {})[event.number] = attempt
        plan = attempt.task.plan
        assert plan is not None  # of every task that is called
        if not self._limiter.admit(attempt, plan.limits, here=True):
            self.held_up(attempt)
            return
        self._books.began(event.path, 1)
        if event.asks:
            self._answer(key, Answer(event.number, attempt=1, last=attempt.last))

    def _ask(self, attempt: Attempt) -> None:
        """Begin to wait for somebody outside, unless the answer is on record."""
        self._machine.begun()
        found = self._recorded.find(attempt.call) if self._recorded else None
        if found is not None and found.record is not None:
            self._reuse(attempt, found)
        else:
            self._books.asks(self._inputs.open(attempt))

    def ended(self, key: WorkerKey, event: CallEnded) -> Attempt:
        """The attempt of a called task that its caller's process made."""
        return self._here[key][event.number]

    # -- what becomes of them -------------------------------------------------------------------------------------

    def is_here(self, attempt: Attempt) -> bool:
        """Whether the process that called a task runs it."""
        opened = self._open.get(attempt.task.path)
        return opened is not None and opened.here

    def held_up(self, attempt: Attempt) -> None:
        """A task that its caller's process runs waits for a limit: meanwhile the caller needs no slot of a worker."""
        opened = self._open[attempt.task.path]
        opened.held_up = opened.callers[-1][2]
        self._waits(opened.held_up, True)

    def runs_here(self, attempt: Attempt) -> bool:
        """Have the process that called a task run it again; False when it is not such a task."""
        opened = self._open.get(attempt.task.path)
        if opened is None or not opened.here:
            return False
        key, number, _ = opened.callers[-1]
        if opened.held_up is not None:
            self._waits(opened.held_up, False)
            opened.held_up = None
        self._books.began(attempt.task.path, attempt.number)
        self._answer(key, Answer(number, attempt=attempt.number, last=attempt.last))
        return True

    def committed(self, written: Written) -> None:
        """The record of a called task is written."""
        path = written.pending.task.path
        opened = self._open.pop(path, None)
        if opened is not None:
            self._tell_unless_held(_Told(path, opened, written, None))

    def failed(self, attempt: Attempt, error: ErrorReport) -> None:
        """A called task failed for good."""
        if len(self._failures) < FAILURES_KEPT:
            self._failures.setdefault(error.message, (attempt.task.path, error))
        path = attempt.task.path
        opened = self._open.pop(path, None)
        if opened is not None:
            self._tell_unless_held(_Told(path, opened, None, error))

    def _tell_unless_held(self, told: _Told) -> None:
        if self._holds and not _is_part(told.path):
            self._told_later.append(told)
        else:
            self._tell(told)

    def _tell(self, told: _Told) -> None:
        _, opened, written, error = told
        value = None if written is None else written.result
        for key, number, caller in opened.callers:
            if opened.here:
                self._here.get(key, {}).pop(number, None)
            else:
                self._waits(caller, False)
            self._answer(key, Answer(number, value=value, error=error))

    def origin_of(self, error: ErrorReport) -> tuple[str, ErrorReport] | None:
        """(path, error) of the called task whose failure its caller let through."""
        found = self._failures.get(error.message)
        return found if found is not None and found[1].bases[:1] in (error.bases[:1], ()) else None

    def gone(self, key: WorkerKey) -> None:
        """A worker's process ended: what it ran for itself ended with it."""
        self._declared.pop(key, None)
        for attempt in self._here.pop(key, {}).values():
            self._limiter.release(attempt)
            if self._open.pop(attempt.task.path, None) is None:
                continue
            self._machine.dropped()
            if self._machine.ended_by is RunState.PAUSED:
                self._books.paused(attempt)
                continue
            error = ErrorReport(type="", message="the process that called it ended", kind="lost")
            state = TaskState.FAILED
            if self.ended_by:
                error, state = ErrorReport(type="", message=self.ended_by, kind="cancelled"), TaskState.CANCELLED
            self._books.failed(attempt, attempt.number, error, state, None, None)
            self._died(attempt, error)
        for attempt, caller, event in self._looked_for:
            if caller == key and event.here:
                self._open.pop(attempt.task.path, None)
        for opened in (*self._open.values(), *(told.opened for told in self._told_later)):
            opened.callers = [waiter for waiter in opened.callers if waiter[0] != key]
        self._calls_later = [late for late in self._calls_later if late[0] != key]
        self._close_waits(unasked=True)

    def caller_ended(self, attempt: Attempt) -> None:
        """An attempt of a task ended: it waits for nothing any more, whatever its process goes on to do."""
        for path in self._inputs.paths():
            opened = self._open[path]
            opened.callers = [waiter for waiter in opened.callers if waiter[2] is not attempt]
        self._close_waits(unasked=True)

    def _close_waits(self, *, unasked: bool) -> None:
        """End the waits, or those alone that nobody would hear the answer of."""
        for path in list(self._inputs.paths()):
            if unasked and self._open[path].callers:
                continue
            del self._open[path]
            attempt = self._inputs.close(path)
            self._machine.dropped()
            if self._machine.ended_by is not RunState.PAUSED:
                self._books.asks_no_more(attempt)

    # -- holding and pausing --------------------------------------------------------------------------------------

    def hold(self, holds: bool) -> None:
        """Begin or end to let the body of a function flow wait at its next call. Tasks that run end as ever."""
        self._holds = holds
        if holds:
            return
        told, self._told_later = self._told_later, []
        for one in told:
            self._tell(one)
        calls, self._calls_later = self._calls_later, []
        for key, caller, event in calls:
            self.called(key, caller, event)

    def stop(self) -> None:
        """The run stops, and whoever called is being ended."""
        self._calls_later.clear()
        self._told_later.clear()
        self._close_waits(unasked=False)

    def busy(self) -> int:
        """How many tasks go on by themselves: neither wait for somebody outside, nor are held, nor wait for such."""
        stuck = [(path, self._open[path].callers) for path in self._inputs.paths()]
        stuck += [(told.path, told.opened.callers) for told in self._told_later]
        stuck += [(event.path, [(key, event.number, caller)]) for key, caller, event in self._calls_later]
        if self._holds:  # some of these begin later; those that run are counted themselves
            stuck += [(path, opened.callers) for path, opened in self._open.items() if not _is_part(path)]
        paths: set[str] = set()
        callers: set[Attempt] = set()
        while stuck:
            path, waiters = stuck.pop()
            paths.add(path)
            for _, _, caller in waiters:
                if caller not in callers:
                    callers.add(caller)
                    if caller.task.path in self._open:
                        stuck.append((caller.task.path, self._open[caller.task.path].callers))
        above = {parent for path in paths for parent in _parents(path)}
        here = sum(attempt.task.path in above for attempts in self._here.values() for attempt in attempts.values())
        return self._machine.running - len(self._inputs) - len(callers) - here


def _is_part(path: str) -> bool:
    """Whether a called task is a part of another one; what the body of a function flow calls is not."""
    return "/" in path


def _parents(path: str) -> Iterator[str]:
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path
