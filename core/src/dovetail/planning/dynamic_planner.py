"""Adds to a planner the tasks that running tasks call."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dovetail.interfaces.tasks import ErrorReport, Next, Scope
    from dovetail.planning.planned import PlannedTask
    from dovetail.planning.static_planner import StaticPlanner

__all__ = ["DynamicPlanner"]


class DynamicPlanner:
    """Plans what `inner` plans, and before it what was called: who calls waits.

    Nothing follows from a called task but what its caller does next, so it is planned only while it waits to begin.

    Args:
        inner: Plans the written graph; of a function flow that is its body alone.
    """

    def __init__(self, inner: StaticPlanner) -> None:
        self._inner = inner
        self._called: deque[PlannedTask] = deque()
        self._after: deque[PlannedTask] = deque()
        self._are_after: set[str] = set()
        self._later: deque[PlannedTask] = deque()
        self._holds = False

    def hold(self, holds: bool) -> None:
        """Begin or end to plan only what running tasks need to end: what they call."""
        self._holds = holds
        if not holds:
            self._called.extend(self._later)
            self._later.clear()

    def call(self, task: PlannedTask) -> None:
        """Plan a called task."""
        self._called.append(task)

    def after(self, task: PlannedTask) -> None:
        """Plan what nobody waits for, and what runs also when the run is being ended: a hook."""
        self._are_after.add(task.path)
        self._after.append(task)

    def drop_calls(self, *, hooks: bool = False) -> None:
        """Forget what was called and has not begun: the callers are being ended.

        Args:
            hooks: Forget these too: the run will go on, and come by them again.
        """
        self._called.clear()
        self._later.clear()
        if hooks:
            self._after.clear()

    @property
    def expected(self) -> dict[str, int]:
        """Step → tasks of the written graph that are known to come, in all."""
        return self._inner.expected

    def take(self) -> PlannedTask | None:
        """The next task that can run, or None while there is none."""
        while self._called:
            task = self._called.popleft()
            if not self._holds or task.is_part:
                return task
            self._later.append(task)
        if self._holds:
            return None
        return self._after.popleft() if self._after else self._inner.take()

    def put_back(self, task: PlannedTask) -> None:
        """Return a task that was taken and not begun."""
        if task.path in self._are_after:
            self._after.appendleft(task)
        elif task.is_called:
            self._called.appendleft(task)
        else:
            self._inner.put_back(task)

    @property
    def done(self) -> bool:
        """Whether nothing is planned or running."""
        return not self._called and not self._later and not self._after and self._inner.done

    def abandon(self) -> None:
        """Plan nothing more of the graph, for good. What runs may still call: it needs that to end."""
        self._inner.abandon()

    def committed(self, task: PlannedTask, taken: Next, scope: Scope) -> None:
        """A task was committed: plan what follows."""
        if not task.is_called:
            self._inner.committed(task, taken, scope)

    def failed(self, task: PlannedTask, error: ErrorReport) -> bool:
        """A task failed for good. Whether somebody takes the failure: a foreach that collects, or who called."""
        return task.is_called or self._inner.failed(task, error)
