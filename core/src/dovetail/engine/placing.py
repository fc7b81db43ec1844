"""Starts what can start: finds records that stand for tasks, waits for limits, and hands attempts to workers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from dovetail.engine.machine import Attempt

if TYPE_CHECKING:
    from dovetail.engine.bookkeeper import Bookkeeper
    from dovetail.engine.calling import CallDesk
    from dovetail.engine.calls import CallBuilder
    from dovetail.engine.commits import Commits
    from dovetail.engine.dispatcher import Dispatcher
    from dovetail.engine.limiting import Limiter
    from dovetail.engine.machine import RunMachine
    from dovetail.engine.recorded import Recorded
    from dovetail.planning.planned import PlannedTask

__all__ = ["Placer"]


class Placer:
    """Starts the tasks of one run. Owned by the driver's thread.

    Args:
        machine: Says what may start.
        calls: Makes task calls.
        recorded: What may be reused.
        commits: Takes what is reused.
        limiter: Holds the limits of tasks.
        limits_of: What a task needs of them.
        dispatcher: Has workers make attempts.
        group_of: Name of the group that runs a task.
        desk: Knows the tasks that their callers' processes run.
        books: Keeps what the run leaves behind.
    """

    def __init__(
        self,
        *,
        machine: RunMachine,
        calls: CallBuilder,
        recorded: Recorded,
        commits: Commits,
        limiter: Limiter,
        limits_of: Callable[[PlannedTask], Mapping[str, int]],
        dispatcher: Dispatcher,
        group_of: Callable[[PlannedTask], str],
        desk: CallDesk,
        books: Bookkeeper,
    ) -> None:
        self._machine = machine
        self._calls = calls
        self._recorded = recorded
        self._commits = commits
        self._limiter = limiter
        self._limits_of = limits_of
        self._dispatcher = dispatcher
        self._group_of = group_of
        self._desk = desk
        self._books = books
        self._held: Attempt | None = None

    @property
    def is_full(self) -> bool:
        """Whether an attempt waits for room, and all that is due behind it."""
        return self._held is not None

    def place(self, now: float) -> None:
        """Start what can start at a time of the run's clock, until there is no room or enough to commit."""
        self._place_limited()
        while not (self._commits.full or self._limiter.full):
            attempt = self._held
            self._held = None
            if attempt is None:
                item = self._machine.take(now)
                if item is None:
                    return
                attempt = item if isinstance(item, Attempt) else self._attempt(item)
                if attempt is None:
                    continue
                here = attempt.task.is_called and self._desk.is_here(attempt)
                if not self._limiter.admit(attempt, self._limits_of(attempt.task), here=here):
                    if here:
                        self._desk.held_up(attempt)
                    self._place_limited()
                    continue
            if attempt.task.is_called and self._desk.runs_here(attempt):
                continue
            if not self._dispatcher.place(self._group_of(attempt.task), attempt):
                self._held = attempt
                self._retry_here(now)
                return

    def put_back(self) -> None:
        """Give back what waits for room: it has not begun."""
        if self._held is not None:
            self._machine.put_back(self._held)
            self._held = None

    def _place_limited(self) -> None:
        """Start what has the slots of its limits now."""
        if self._machine.stopped:
            for attempt in self._limiter.drop(called=self._machine.ended_by is not None):
                self._machine.drop(attempt)
        self._limiter.look(self._dispatcher.room)
        while (found := self._limiter.take()) is not None:
            if found.task.is_called and self._desk.runs_here(found):
                continue
            if not self._dispatcher.place(self._group_of(found.task), found):
                self._limiter.give_back(found)

    def _retry_here(self, now: float) -> None:
        """Begin those retries that need no room, since their callers' processes make them: these wait for them."""
        for attempt in self._machine.take_due(now, lambda one: one.task.is_called and self._desk.is_here(one)):
            if self._limiter.admit(attempt, self._limits_of(attempt.task), here=True):
                self._desk.runs_here(attempt)
            else:
                self._desk.held_up(attempt)

    def _attempt(self, task: PlannedTask) -> Attempt | None:
        """The first attempt of a task, or None when a record stands for it."""
        call = self._calls.build(task)
        if self._recorded or call.cache_key is not None:
            reuse = self._recorded.find(call)
            if reuse.record is not None:
                self._commits.reuse(task, call, reuse)
                return None
            if reuse.reason:
                self._books.not_reused(call.path, reuse.reason)
        return Attempt(task, call)
