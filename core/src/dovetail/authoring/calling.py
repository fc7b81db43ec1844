"""How a task call finds the attempt that makes it."""

from __future__ import annotations

from contextvars import ContextVar

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, Protocol

    from dovetail.authoring.futures import TaskFuture
    from dovetail.authoring.task_function import TaskFunction

    class Caller(Protocol):
        """The running attempt, as the tasks that it calls see it. One exists for each attempt, of any thread.

        `given` is name of a parameter → value, defaults filled in. Values may be or hold `TaskFuture`s, which are
        waited for and replaced by what they became.
        """

        def call(
            self,
            task: TaskFunction[..., Any],
            given: Mapping[str, Any],
            *,
            wait_for: Sequence[TaskFuture[Any]] = (),
            key: str | None = None,
        ) -> Any:
            """Run a task, or take what is recorded of it, and wait; its value.

            Raises whatever the task raised when its last attempt failed.
            """
            ...

        async def call_async(
            self,
            task: TaskFunction[..., Any],
            given: Mapping[str, Any],
            *,
            wait_for: Sequence[TaskFuture[Any]] = (),
            key: str | None = None,
        ) -> Any:
            """The same, of a task that is a coroutine function."""
            ...

        def submit(
            self,
            task: TaskFunction[..., Any],
            given: Mapping[str, Any],
            *,
            wait_for: Sequence[TaskFuture[Any]] = (),
            key: str | None = None,
            index: tuple[int, ...] = (),
        ) -> TaskFuture[Any]:
            """Have a task run beside this one.

            Args:
                index: Of a map: which item, from 0.
            """
            ...

        def room(self) -> None:
            """Wait until so few submitted tasks are unfinished that a map may draw its next item."""
            ...


__all__ = ["caller"]

caller: ContextVar[Caller | None] = ContextVar("dovetail_caller", default=None)
"""The attempt that this thread or coroutine belongs to; None outside of a run."""
