"""What `.submit` gives: a value that a task will have."""

from __future__ import annotations

import concurrent.futures
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from dovetail.interfaces.artifacts import ArtifactRef

__all__ = ["TaskFuture", "settled"]

T = TypeVar("T")


class TaskFuture(concurrent.futures.Future[T], Generic[T]):
    """The value that a submitted task will have.

    A future of the standard library: `result`, `exception`, `concurrent.futures.wait` and `as_completed` work as
    they do there, and in a coroutine it can be awaited. Passed to a task, alone or inside a list, tuple, set, dict
    or dataclass, it is replaced by its value once that is there.

    A failure that nobody asks for (`result`, `exception`, `await`, or as an input of another task) fails the flow.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name
        self._load: Callable[[], T] | None = None
        self.path = ""
        """Path of the task inside the run, once its inputs are there; else empty."""
        self.ref: ArtifactRef | None = None
        """Where the value is, once the task succeeded."""
        self.is_handled = False
        """Whether somebody asked how it ended."""

    def __repr__(self) -> str:
        return f"<TaskFuture of {self.path or self._name}, {self._state.lower()}>"

    def result(self, timeout: float | None = None) -> T:
        """The value; waits for it.

        Args:
            timeout: Seconds; None: as long as it takes.

        Raises:
            TimeoutError: It is not there yet.
            Exception: What the task raised.
        """
        self.is_handled = True
        super().result(timeout)
        if self._load is not None:  # it ran elsewhere, and nobody has looked at it yet
            with self._condition:  # others may just now
                if self._load is not None:
                    self._result, self._load = self._load(), None
        return super().result()  # anew: it may have been loaded since

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Why the task failed, or None; waits until it has ended."""
        self.is_handled = True
        return super().exception(timeout)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the task has ended, however; whether it has. Does not ask how it ended."""
        concurrent.futures.wait([self], timeout)
        return self.done()

    def cancel(self) -> bool:
        """A task that is on its way can't be taken back: always False."""
        return False

    def __await__(self) -> Generator[Any, None, T]:
        if not self.done():
            yield from settled(self).__await__()
        return self.result()


async def settled(future: TaskFuture[Any]) -> None:
    """Wait until a future is done, whatever it became."""
    import asyncio

    await asyncio.wrap_future(_Settled(future))


class _Settled(concurrent.futures.Future[None]):
    """Done when another future is, whatever it became."""

    def __init__(self, future: TaskFuture[Any]) -> None:
        super().__init__()
        future.add_done_callback(lambda _: self.set_result(None))
