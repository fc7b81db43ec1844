"""Recorded calls that a worker is told of at once, so that a body which is run again need not ask for each."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from dovetail.artifacts.packing import RESULT
from dovetail.interfaces.artifacts import InlinePlace

if TYPE_CHECKING:
    from dovetail.artifacts.records import CommitRecord
    from dovetail.engine.calls import StepPlan
    from dovetail.engine.machine import Attempt
    from dovetail.engine.recorded import Recorded
    from dovetail.engine.step_plans import StepPlans
    from dovetail.interfaces.artifacts import ArtifactRef

__all__ = ["KnownCalls"]

LIMIT = 100_000
"""Calls of a task that a worker is told of at most; it asks about others one by one."""


class KnownCalls:
    """Finds them for one run. Owned by the driver's thread.

    Args:
        recorded: What is on record.
        reread: The run's records as they are now.
        plans: Knows the stores that workers can open.
    """

    def __init__(self, recorded: Recorded, reread: Callable[[], Iterable[CommitRecord]], plans: StepPlans) -> None:
        self._recorded = recorded
        self._reread = reread
        self._plans = plans
        self._learned: tuple[Attempt, int, int] | None = None

    def learn(self, caller: Attempt) -> None:
        """An attempt that was made before may call what is on record by now: of a task that is tried again, children
        are recorded already."""
        made_again = (caller, caller.number, caller.faults)
        if caller.replays and self._learned != made_again:
            self._learned = made_again
            self._recorded.know(self._reread())

    def of(self, callers: Iterable[Attempt], step: str, plan: StepPlan) -> dict[str, tuple[bytes, ArtifactRef]]:
        """Calls of a task, as `Answer.recorded` has them.

        Args:
            callers: The attempts that a worker makes.
            step: The called task.
            plan: The choices for it.
        """
        if plan.waits or plan.hooks or plan.code.module.startswith("dovetail."):
            return {}  # the driver follows these call by call
        attempts = list(callers)
        for caller in attempts:
            self.learn(caller)
        if not self._recorded:
            return {}
        paths = ["" if self._is_body(caller) else caller.task.path for caller in attempts]
        found: dict[str, tuple[bytes, ArtifactRef]] = {}
        for record, own in self._recorded.calls_of(step, plan.code.key, plan.environment, paths):
            ref = record.outputs.get(RESULT)
            if ref is not None and (isinstance(ref.place, InlinePlace) or ref.place.store in self._plans.stores):
                found[record.path] = record.call_digest if own else b"", ref
            if len(found) >= LIMIT:
                break
        return found

    def _is_body(self, attempt: Attempt) -> bool:
        """Whether an attempt is of the body of a function flow, whose calls are at the top."""
        return self._plans.is_function and not attempt.task.is_called
