"""Holds what a step passed to `self.next` against what its source says it can pass."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from dovetail.interfaces.errors import UsageError
from dovetail.interfaces.tasks import Next

if TYPE_CHECKING:
    from dovetail.authoring.binding import NextCall
    from dovetail.interfaces.artifacts import ArtifactRef
    from dovetail.interfaces.flow import StepDescription, Transition

__all__ = ["StepTransitions"]

_END = Next(targets=())


class StepTransitions:
    """What may follow a step.

    Args:
        step: The step.
        is_end: Whether the run ends with it.
    """

    def __init__(self, step: StepDescription, *, is_end: bool) -> None:
        self._step = step
        self._is_end = is_end
        self._plain = {t.targets: Next(targets=t.targets) for t in step.transitions if t.kind in ("linear", "branch")}
        self._foreach = {t.targets for t in step.transitions if t.kind == "foreach"}
        self._switch = {(t.condition, target) for t in step.transitions if t.kind == "switch" for target in t.targets}

    def check(self, call: NextCall | None) -> None:
        """See that a task may take this transition.

        Raises:
            UsageError: It may not, or took none.
        """
        name = self._step.name
        if call is None:
            if self._is_end:
                return
            raise UsageError(
                f"step {name} returned without calling self.next",
                hint=f"Every way through the step must end in self.next(...); it declares {self._declared()}.",
            )
        if self._is_end:
            raise UsageError(f"step {name} is the end of the flow, so it can't call self.next")
        if call.is_foreach:
            known = call.targets in self._foreach
        elif call.condition is not None:
            known = (call.condition, call.targets[0]) in self._switch
        else:
            known = call.targets in self._plain
        if not known:
            raise UsageError(
                f"step {name} took the transition {call!r}, which its source does not show",
                hint=f"The steps that follow must be written out in self.next(...); it declares {self._declared()}.",
            )

    def taken(self, call: NextCall | None, sequence: ArtifactRef | None = None, length: int | None = None) -> Next:
        """The transition as a commit record keeps it."""
        if call is None:
            return _END
        if call.condition is not None:
            return Next(targets=call.targets, condition=json.dumps(call.value))
        if call.is_foreach:
            return Next(targets=call.targets, sequence=sequence, length=length, var=call.var, on_error=call.on_error)
        return self._plain[call.targets]

    def only(self) -> Next | None:
        """The transition that a step which failed and was caught takes: its only one, if that needs no value."""
        if self._is_end:
            return _END
        return next(iter(self._plain.values())) if len(self._step.transitions) == len(self._plain) == 1 else None

    def _declared(self) -> str:
        return "; ".join(_show(t) for t in self._step.transitions)


def _show(transition: Transition) -> str:
    targets = ", ".join(f"self.{target}" for target in transition.targets)
    if transition.kind == "foreach":
        return f"self.next({targets}, foreach=...)"
    if transition.kind == "switch":
        return f"self.next({{...: {targets}}}, condition={transition.condition!r})"
    return f"self.next({targets})"
