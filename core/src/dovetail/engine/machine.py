"""The state machine of a run: what happened goes in, what to do next comes out. No I/O and no clock in here."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import field
from typing import TYPE_CHECKING, Protocol, TypeAlias

from dovetail.interfaces.dataclass import dataclass
from dovetail.interfaces.states import RunState
from dovetail.interfaces.tasks import ErrorReport, Next, RetryPolicy, Scope, TaskCall

if TYPE_CHECKING:
    from dovetail.planning.planned import PlannedTask

__all__ = ["Attempt", "Commit", "GiveUp", "Planner", "Retry", "RunMachine", "Verdict"]

FAULTS_TOLERATED = 3
"""How often a platform fault (a worker's host process died) is forgiven before it counts as a failure."""


class Planner(Protocol):
    """What decides the next task calls of a run."""

    @property
    def expected(self) -> dict[str, int]: ...
    def take(self) -> PlannedTask | None: ...
    def put_back(self, task: PlannedTask) -> None: ...
    def committed(self, task: PlannedTask, taken: Next, scope: Scope) -> None: ...
    def failed(self, task: PlannedTask, error: ErrorReport) -> bool: ...
    def abandon(self) -> None: ...
    @property
    def done(self) -> bool: ...


@dataclass(slots=True, eq=False)
class Attempt:
    """One try of a task, from when it is taken until its verdict."""

    task: PlannedTask
    """What was planned."""
    call: TaskCall
    """What is executed."""
    number: int = 1
    """Which attempt, from 1."""
    faults: int = 0
    """Platform faults that were forgiven."""

    @property
    def last(self) -> bool:
        """Whether no retry follows a failure."""
        return self.number > self.call.policy.retry.times

    @property
    def replays(self) -> bool:
        """Whether one was made before, so that what it calls may be on record."""
        return self.number > 1 or self.faults > 0


@dataclass(frozen=True, slots=True)
class Commit:
    """Write the commit record, then call `RunMachine.committed`."""


@dataclass(frozen=True, slots=True)
class Retry:
    """The attempt failed; another follows."""

    at: float
    """When, by the clock that `ended` was given."""
    counts: bool
    """Whether an attempt was used up; False for platform faults."""


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The task failed for good."""

    cancelled: bool = False
    """Whether it was ended on request rather than by its own fault."""
    collected: bool = False
    """Whether a foreach keeps the failure at its index."""
    kill: bool = False
    """Whether everything that runs must be ended now."""


Verdict: TypeAlias = Commit | Retry | GiveUp


@dataclass(slots=True)
class RunMachine:
    """Decides what follows from the end of each attempt.

    Args:
        planner: What comes next when a task is committed.
        on_failure: `finish` starts nothing new after a failure and lets the running tasks end; `cancel` ends them;
            `continue` also starts what does not depend on the failure.
        uniform: Draws the jitter of retries, 0 to 1; `random.random` by default.
    """

    planner: Planner
    on_failure: str = "finish"
    uniform: Callable[[], float] | None = None
    running: int = 0
    root_cause: tuple[str, ErrorReport] | None = None
    failures: int = 0
    ended_by: RunState | None = None
    reached_end: bool = False
    stopped: bool = False
    holds: bool = False
    _due: list[tuple[float, int, Attempt]] = field(default_factory=list)
    _later: list[tuple[float, int, Attempt]] = field(default_factory=list)
    _count: int = 0

    # -- what to start --------------------------------------------------------------------------------------------

    def take(self, now: float) -> Attempt | PlannedTask | None:
        """What can start now: a retry that is due, a planned task, or None."""
        if self._due and self._due[0][0] <= now:
            self.running += 1
            return heapq.heappop(self._due)[2]
        task = self.planner.take()
        if task is not None:
            self.running += 1
        return task

    def take_due(self, now: float, which: Callable[[Attempt], bool]) -> list[Attempt]:
        """Those retries that are due and that `which` is true of, while nothing else can start."""
        found = [item for item in self._due if item[0] <= now and which(item[2])]
        if found:
            self._due = [item for item in self._due if item not in found]
            heapq.heapify(self._due)
            self.running += len(found)
        return [attempt for _, _, attempt in sorted(found)]

    def put_back(self, item: Attempt | PlannedTask) -> None:
        """Return what was taken and not started."""
        self.running -= 1
        if isinstance(item, Attempt) and (item.number > 1 or item.faults):
            self._wait(item, 0.0)
        else:
            self.planner.put_back(item.task if isinstance(item, Attempt) else item)

    def next_due(self, after: float | None = None) -> float | None:
        """When the next retry is due.

        Args:
            after: Only those that are due later; what is due by then waits for something else.
        """
        if after is not None:
            return min((at for at, _, _ in self._due if at > after), default=None)
        return self._due[0][0] if self._due else None

    def hold(self, holds: bool) -> None:
        """Begin or end to start only what running tasks need to end."""
        self.holds = holds
        waiting, self._due, self._later = self._due + self._later, [], []
        for at, _, attempt in waiting:
            self._wait(attempt, at)

    @property
    def finished(self) -> bool:
        """Whether nothing runs and nothing will."""
        return self.running == 0 and not self._due and not self._later and self.planner.done

    @property
    def state(self) -> RunState:
        """State of the run, once finished."""
        if self.ended_by is not None:
            return self.ended_by
        return RunState.FAILED if self.root_cause or not self.reached_end else RunState.SUCCEEDED

    # -- what happened --------------------------------------------------------------------------------------------

    def ended(self, attempt: Attempt, error: ErrorReport | None, now: float) -> Verdict:
        """An attempt ended; `error` is None when its result is to be committed."""
        if error is None:
            return Commit()
        self.running -= 1
        if self.ended_by is not None or error.kind == "cancelled":
            self.planner.failed(attempt.task, error)
            return GiveUp(cancelled=True)
        if error.kind == "lost" and attempt.faults < FAULTS_TOLERATED:
            attempt.faults += 1
            self._wait(attempt, now)
            return Retry(at=now, counts=False)
        policy = attempt.call.policy.retry
        stopping = self.root_cause is not None and self.on_failure != "continue"
        if not attempt.last and not stopping and _matches(policy, error):
            at = now + _pause(policy, attempt.number, self.uniform)
            attempt.number += 1
            attempt.faults = 0
            self._wait(attempt, at)
            return Retry(at=at, counts=True)
        taken = self.planner.failed(attempt.task, error)
        if taken:
            return GiveUp(collected=not attempt.task.is_called)
        self.failures += 1
        first = self.root_cause is None
        if first:
            self.root_cause = (attempt.task.path, error)
        if self.on_failure != "continue":
            self._stop()
        return GiveUp(kill=first and self.on_failure == "cancel")

    def committed(self, task: PlannedTask, taken: Next, scope: Scope) -> None:
        """A task's record is written."""
        self.running -= 1
        if not task.is_called:
            self.reached_end = self.reached_end or not taken.targets
        self.planner.committed(task, taken, scope)

    def begun(self) -> None:
        """A called task runs in the process that calls it."""
        self.running += 1

    def dropped(self) -> None:
        """A called task ended with the process that called and ran it."""
        self.running -= 1

    def fail_all(self, error: ErrorReport) -> None:
        """Nothing can run any more: the run fails."""
        if self.root_cause is None:
            self.root_cause = ("", error)
        self._stop()

    def stop(self, state: RunState) -> None:
        """End the run as cancelled or interrupted: nothing new starts. What runs must be killed by the caller."""
        if self.ended_by is None:
            self.ended_by = state
        self._stop()

    def drop(self, attempt: Attempt) -> None:
        """What was taken will not start: the run is being ended."""
        self.running -= 1
        self.planner.failed(attempt.task, ErrorReport(type="", message="not started", kind="cancelled"))

    def _stop(self) -> None:
        self.stopped = True
        self.planner.abandon()
        for _, _, attempt in self._due + self._later:
            self.planner.failed(attempt.task, ErrorReport(type="", message="not tried again", kind="cancelled"))
        self._due.clear()
        self._later.clear()

    def _wait(self, attempt: Attempt, until: float) -> None:
        self._count += 1
        later = self.holds and not attempt.task.is_part
        heapq.heappush(self._later if later else self._due, (until, self._count, attempt))


def _matches(policy: RetryPolicy, error: ErrorReport) -> bool:
    if not policy.on:
        return True
    names = {*error.bases, *(base.rpartition(".")[2] for base in error.bases)}
    return any(name in names for name in policy.on)


def _pause(policy: RetryPolicy, failed: int, uniform: Callable[[], float] | None) -> float:
    """Seconds before the retry that follows attempt number `failed`."""
    pause = min(policy.delay * policy.backoff ** (failed - 1), policy.max_delay)
    if not policy.jitter:
        return pause
    if uniform is None:
        import random  # drags in hashlib; most runs need neither

        uniform = random.random
    return max(0.0, pause * (1 + policy.jitter * (2 * uniform() - 1)))
