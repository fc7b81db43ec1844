"""`LateGroup`: workers whose flow is imported only when the first of them is needed."""

from __future__ import annotations

import selectors
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from dovetail.interfaces.errors import DovetailError
from dovetail.interfaces.tasks import ErrorReport, Isolation, TaskOutcome
from dovetail.interfaces.workers import (
    Answer,
    Assignment,
    Checked,
    Described,
    Ended,
    Exited,
    Failed,
    RunFacts,
    WorkerEvent,
    WorkerGroup,
)

if TYPE_CHECKING:
    from typing import Any

__all__ = ["LateGroup"]


class _Waiting:
    """A worker that was asked for and has no process yet."""

    __slots__ = ("assignments", "finished", "isolation", "tasks")

    def __init__(self, isolation: Isolation, tasks: int) -> None:
        self.isolation = isolation
        self.tasks = tasks
        self.assignments: list[Assignment] = []
        self.finished = False


class LateGroup(WorkerGroup):
    """Opens another group with its first worker, and keeps what it is asked until that has imported the flow.

    Where the import fails, or the process that imported dies, only the tasks fail that were given to it, and the
    next worker opens a group anew.

    Args:
        open: Begins to import the flow.
        first: Number of the first worker.
    """

    def __init__(self, open: Callable[[], WorkerGroup], *, first: int = 1) -> None:
        self._open = open
        self._next = first
        self._facts: RunFacts | None = None
        self._selector = selectors.DefaultSelector()
        self._group: WorkerGroup | None = None
        self._described = False
        self._waiting: dict[int, _Waiting] = {}
        self._inner: dict[int, int] = {}
        self._outer: dict[int, int] = {}
        self._events: list[WorkerEvent] = []

    def fileno(self) -> int:
        selector: Any = self._selector  # epoll and kqueue have a descriptor
        number: int = selector.fileno()
        return number

    def begin(self, facts: RunFacts) -> None:
        self._facts = facts

    def start(self, isolation: Isolation, *, tasks: int) -> int:
        number = self._next
        self._next += 1
        self._waiting[number] = _Waiting(isolation, tasks)
        if self._group is None:
            try:
                self._group = self._open()
            except DovetailError as error:
                self._lose(ErrorReport(type="", message=str(error), kind="start"))
            else:
                self._selector.register(self._group.fileno(), selectors.EVENT_READ)
        elif self._described:
            self._release()
        return number

    def assign(self, worker: int, assignments: Sequence[Assignment]) -> None:
        waiting = self._waiting.get(worker)
        if waiting is not None:
            waiting.assignments += assignments
        elif self._group is not None and worker in self._inner:
            self._group.assign(self._inner[worker], assignments)

    def answer(self, worker: int, answer: Answer) -> None:
        if self._group is not None and worker in self._inner:
            self._group.answer(self._inner[worker], answer)

    def finish(self, worker: int) -> None:
        waiting = self._waiting.get(worker)
        if waiting is not None:
            waiting.finished = True
        elif self._group is not None and worker in self._inner:
            self._group.finish(self._inner[worker])

    def kill(self, worker: int, *, grace: float) -> None:
        waiting = self._waiting.pop(worker, None)
        if waiting is not None:
            self._events.append(Exited(worker, tuple(one.call.path for one in waiting.assignments)))
        elif self._group is not None and worker in self._inner:
            self._group.kill(self._inner[worker], grace=grace)

    def next_wake(self) -> float | None:
        if self._events:
            return 0.0
        return None if self._group is None else self._group.next_wake()

    def read(self) -> list[WorkerEvent]:
        group = self._group
        for event in [] if group is None else group.read():
            if isinstance(event, Described):
                assert group is not None
                assert self._facts is not None
                self._described = True
                group.begin(self._facts)
                self._release()
            elif isinstance(event, Failed):
                self._drop()
                self._lose(event.error)
                break
            elif not isinstance(event, Checked):  # who would ask it
                outer = self._outer.get(event.worker, 0)
                self._events.append(replace(event, worker=outer))
                if isinstance(event, Exited):
                    del self._outer[event.worker], self._inner[outer]
        events, self._events = self._events, []
        return events

    def close(self, *, grace: float = 0.0) -> None:
        if self._group is not None:
            self._group.close(grace=grace)
            self._group = None
        self._selector.close()

    def _release(self) -> None:
        """Start what waits for the flow."""
        assert self._group is not None
        for number, waiting in self._waiting.items():
            inner = self._group.start(waiting.isolation, tasks=waiting.tasks)
            self._inner[number], self._outer[inner] = inner, number
            if waiting.assignments:
                self._group.assign(inner, waiting.assignments)
            if waiting.finished:
                self._group.finish(inner)
        self._waiting.clear()

    def _drop(self) -> None:
        """The group is of no use any more."""
        assert self._group is not None
        self._selector.unregister(self._group.fileno())
        self._group.close()
        self._group = None
        self._described = False
        for outer in self._inner:
            self._events.append(Exited(outer, ()))
        self._inner.clear()
        self._outer.clear()

    def _lose(self, error: ErrorReport) -> None:
        """What waited has no process and will have none."""
        now = time.time()
        for number, waiting in self._waiting.items():
            for one in waiting.assignments:
                path, attempt = one.call.path, one.attempt
                outcome = TaskOutcome(path=path, attempt=attempt, started=now, finished=now, error=error)
                self._events.append(Ended(number, outcome, path, attempt))
            self._events.append(Exited(number, ()))
        self._waiting.clear()
