"""States of runs and tasks. They are explicit: nothing infers them from artifacts."""

from __future__ import annotations

from enum import Enum

__all__ = ["RunState", "TaskState"]


class TaskState(str, Enum):
    """State of a task."""

    PLANNED = "planned"
    READY = "ready"
    RUNNING = "running"
    WAITING = "waiting"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"
    CACHED = "cached"

    @property
    def final(self) -> bool:
        """Whether nothing follows in this run."""
        return self in _FINAL_TASK

    @property
    def committed(self) -> bool:
        """Whether a commit record exists."""
        return self in (TaskState.SUCCEEDED, TaskState.CACHED)

    def __str__(self) -> str:
        return self.value


class RunState(str, Enum):
    """State of a run. `LOST` is derived from the driver's lease and never stored."""

    RUNNING = "running"
    PAUSED = "paused"
    INTERRUPTED = "interrupted"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"

    @property
    def final(self) -> bool:
        """Whether the run can't be continued under its own id."""
        return self in _FINAL_RUN

    def __str__(self) -> str:
        return self.value


_FINAL_TASK = frozenset(
    {TaskState.SUCCEEDED, TaskState.FAILED, TaskState.CANCELLED, TaskState.SKIPPED, TaskState.CACHED}
)
_FINAL_RUN = frozenset({RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED})
