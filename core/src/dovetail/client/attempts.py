"""Every attempt of a task: those that failed left reports in the data store, the present one is in the index."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from dovetail.client.clock import aware_or_none
from dovetail.interfaces.dataclass import dataclass
from dovetail.interfaces.states import TaskState
from dovetail.interfaces.tasks import ErrorReport, Exit

if TYPE_CHECKING:
    from datetime import datetime

    from dovetail.client.logs import LogLine
    from dovetail.client.task import Task

__all__ = ["Attempt", "read_attempts"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try of a task."""

    task: Task
    """The task."""
    number: int
    """Which, from 1."""
    state: TaskState
    """`failed` for one that was followed by another, else the task's."""
    started: float | None = None
    """Seconds since the epoch when user code began."""
    finished: float | None = None
    """Seconds since the epoch when it ended."""
    error: ErrorReport | None = None
    """Why it failed."""
    exit: Exit | None = None
    """How its process ended, where it had one of its own or died."""
    cpu: float | None = None
    """CPU seconds; None where they can't be known."""
    memory: int | None = None
    """Peak resident bytes; None where they can't be known."""
    location: tuple[str, int, int] | None = None
    """Where its log is."""

    @property
    def started_at(self) -> datetime | None:
        """When user code began."""
        return aware_or_none(self.started)

    @property
    def finished_at(self) -> datetime | None:
        """When it ended."""
        return aware_or_none(self.finished)

    @property
    def duration(self) -> float | None:
        """Seconds that it took, or None."""
        if self.started is None or self.finished is None:
            return None
        return max(0.0, self.finished - self.started)

    @property
    def stdout(self) -> str:
        """What it wrote to stdout."""
        return "".join(line.text + "\n" for line in self.log(stream="stdout"))

    @property
    def stderr(self) -> str:
        """What it wrote to stderr."""
        return "".join(line.text + "\n" for line in self.log(stream="stderr"))

    def log(self, *, stream: str | None = None) -> Iterator[LogLine]:
        """Lines that it wrote, in the order of time; of `stdout` or `stderr`, or both."""
        from dovetail.client.logs import task_lines

        return task_lines(self.task, stream=stream, attempt=self.number)


def read_attempts(task: Task) -> list[Attempt]:
    """Every attempt of a task, first to last."""
    state = task.state
    found: dict[int, Attempt] = {}
    if task.attempt > 1 or not state.committed:
        found = {report.number: report for report in _reports(task)}
    number = task.attempt
    if number and (number not in found or state.committed):
        log = task._json("log")
        found[number] = Attempt(
            task=task,
            number=number,
            state=state,
            started=task._column("started"),
            finished=task._column("finished"),
            error=task.error,
            exit=task.exit,
            cpu=task.cpu,
            memory=task.memory,
            location=tuple(log) if log else None,
        )
    return [found[number] for number in sorted(found)]


def _reports(task: Task) -> Iterator[Attempt]:
    """The reports of attempts that failed, as the data store has them."""
    from dovetail.artifacts.reports import read_reports

    for report in read_reports(task.run._store, task.run.id, task.path):
        yield Attempt(
            task=task,
            number=report.attempt,
            state=TaskState.FAILED,
            started=report.started,
            finished=report.finished,
            error=report.error,
            exit=report.exit,
            cpu=report.cpu,
            memory=report.memory,
            location=report.log,
        )
