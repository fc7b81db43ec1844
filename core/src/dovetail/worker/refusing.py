"""Answers assignments in a process that could not import the flow."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from dovetail.interfaces.tasks import ErrorReport, TaskOutcome

if TYPE_CHECKING:
    from dovetail.worker.assignments import Task

__all__ = ["RefusingExecutor"]


class RefusingExecutor:
    """Fails every attempt with the reason why the flow can't be imported."""

    def __init__(self, failure: ErrorReport) -> None:
        self._failure = failure

    def connect(self, connection: object, inbox: object) -> None:
        """See `Executor.connect`."""

    def run(self, task: Task, *, thread: bool = False, own_process: bool = False) -> tuple[TaskOutcome, int]:
        """See `Executor.run`."""
        now = time.time()
        outcome = TaskOutcome(path=task.path, attempt=task.attempt, started=now, finished=now, error=self._failure)
        return outcome, 1

    def save_constants(self) -> ErrorReport | None:
        """See `Executor.save_constants`."""
        return self._failure
