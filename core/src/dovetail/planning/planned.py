"""A task that can run now, as planners make it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dovetail.interfaces.tasks import Arguments, ForeachFrame, JoinInput, Scope

__all__ = ["PlannedTask"]


@dataclass(slots=True, eq=False)
class PlannedTask:
    """A task that can run now."""

    path: str
    """Coordinate in the run."""
    step: str
    """Name of the step."""
    scope: Scope
    """What `self` reads."""
    frames: tuple[ForeachFrame, ...]
    """Foreach levels, outermost first."""
    joined: Sequence[JoinInput] | None
    """Of a join: what it brings together."""
    after: str
    """Path of its predecessor; empty for the first task and for a join, which has `joined` (of an empty foreach: the
    task that split)."""
    fan: Any = None
    """The planner's own: where in a split it is."""
    member: int = 0
    """The planner's own: which member of the split."""
    plan: Any = None
    """Of a called task: the engine's choices for it, which its call site may change."""
    arguments: Arguments | None = None
    """Of a called task: what it is called with."""
    inputs: tuple[str, ...] = ()
    """Of a called task: paths of the tasks whose outputs it takes, or that it waited for."""

    @property
    def is_called(self) -> bool:
        """Whether another task called it and waits for what becomes of it."""
        return self.arguments is not None

    @property
    def is_part(self) -> bool:
        """Whether it is a part of another task, which needs it to end. What the body of a function flow calls is a
        task beside others."""
        return self.arguments is not None and "/" in self.path

    @property
    def predecessors(self) -> list[str]:
        """Paths of the tasks before it."""
        if self.joined:
            return [one.path for one in self.joined]
        return [self.after] if self.after else list(self.inputs)
