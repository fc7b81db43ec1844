"""What a state hook is told."""

from __future__ import annotations

from dovetail.interfaces.dataclass import dataclass
from dovetail.interfaces.tasks import ErrorReport

__all__ = ["HookRun", "HookState"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HookRun:
    """The run, and what of it has ended."""

    id: str
    """Run id."""
    flow: str
    """Name of the flow."""
    path: str = ""
    """Coordinate of the task; empty for the run as a whole."""
    step: str = ""
    """Name of the step or task; empty for the run as a whole."""
    attempt: int = 0
    """Last attempt of the task; 0 for the run as a whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HookState:
    """How it ended."""

    name: str
    """`succeeded`, `failed`, `cancelled` or `crashed`."""
    error: ErrorReport | None = None
    """Why it did not succeed: of a run, that of the task that failed first."""
