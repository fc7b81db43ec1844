"""How a task call finds the attempt that makes it."""

from __future__ import annotations

from contextvars import ContextVar

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextvars import Token
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


class CallerSlot:
    """Which attempt this thread or coroutine belongs to. A thread that a task started itself belongs to the attempt
    that has the process."""

    __slots__ = ("_only", "_var")

    def __init__(self) -> None:
        self._var: ContextVar[Caller | None] = ContextVar("dovetail_caller", default=None)
        self._only: Caller | None = None

    def get(self) -> Caller | None:
        """The attempt; None outside of a run."""
        return self._var.get() or self._only

    def enter(self, attempt: Caller, *, process: bool = False) -> Token[Caller | None]:
        """Begin an attempt here.

        Args:
            process: Whether it has the process to itself, so that new threads belong to it.
        """
        if process:
            self._only = attempt
        return self._var.set(attempt)

    def leave(self, token: Token[Caller | None], *, process: bool = False) -> None:
        """End the attempt that `enter` began."""
        if process:
            self._only = None
        self._var.reset(token)

    def reset(self) -> None:
        """Belong to no attempt, as a process that a task forked by itself: what it called would have no one to
        record it."""
        self._only = None
        self._var.set(None)


caller = CallerSlot()
"""The attempt that runs."""
