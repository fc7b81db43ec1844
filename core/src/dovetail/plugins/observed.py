"""What event and policy hooks are told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any

from dovetail.interfaces.dataclass import dataclass
from dovetail.interfaces.tasks import ErrorReport

__all__ = ["Outcome", "RunInfo", "TaskInfo"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunInfo:
    """A run, as observers see it."""

    run: str
    """Run id."""
    flow: str
    """Name of the flow."""
    user: str = ""
    """Who started it."""
    tags: tuple[str, ...] = ()
    """User tags at the start."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Values of the parameters as far as they are JSON-able."""
    origin: str | None = None
    """Run that this one resumes."""
    continued: bool = False
    """Whether this driver goes on with a run that another one began."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskInfo:
    """A task, as observers and wrappers see it."""

    run: str
    """Run id."""
    flow: str
    """Name of the flow."""
    path: str
    """Coordinate in the run, such as `train[3]`."""
    step: str
    """Name of the step."""
    attempt: int
    """Attempt, from 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a run or task ended."""

    state: str
    """`succeeded`, `failed`, `cancelled`, of a run also `interrupted` and `paused`, of a task also `cached` and
    `skipped`."""
    started: float | None = None
    """Seconds since the epoch, where known."""
    finished: float | None = None
    """Seconds since the epoch, where known."""
    error: ErrorReport | None = None
    """Why it failed."""
