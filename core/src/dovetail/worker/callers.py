"""The caller of an attempt, made when it first calls a task: most steps never do."""

from __future__ import annotations

import _thread
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dovetail.worker.assignments import Task
    from dovetail.worker.calls import Calls
    from dovetail.worker.execute import Executor

__all__ = ["LateCalls"]


class LateCalls:
    """Stands for a `Calls`.

    Args:
        executor: Of this process.
        task: The attempt.
        path: What paths of called tasks begin with; empty for the body of a function flow.
    """

    __slots__ = ("_calls", "_executor", "_lock", "_path", "_task")

    if TYPE_CHECKING:  # what `__getattr__` finds
        call: Any
        call_async: Any
        submit: Any
        record: Any
        record_async: Any
        within: Any
        replays: bool
        lookup: Any
        room: Any

    def __init__(self, executor: Executor, task: Task, path: str) -> None:
        self._executor = executor
        self._task = task
        self._path = path
        self._calls: Calls | None = None
        self._lock = _thread.allocate_lock()  # the attempt may have threads of its own

    def __getattr__(self, name: str) -> Any:
        if self._calls is None:
            from dovetail.worker.calls import Calls

            with self._lock:
                if self._calls is None:
                    self._calls = Calls(self._executor, self._task.seq, self._path, asks=self._task.replays)
        return getattr(self._calls, name)

    @property
    def printed(self) -> Any:
        """Takes what the attempt prints, where nobody reads it from a pipe."""
        return self._executor.printed

    def finish(self) -> None:
        """Wait for everything that was submitted.

        Raises:
            BaseException: Of the first task that failed and that nobody asked about.
        """
        if self._calls is not None:
            self._calls.finish()

    def wait(self) -> None:
        """Wait for everything that was submitted, whatever becomes of it."""
        try:
            self.finish()
        except BaseException:  # the attempt has failed already
            return
