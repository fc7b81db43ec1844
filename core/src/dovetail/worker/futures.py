"""Futures of submitted tasks, as the process that runs or awaits them keeps them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from dovetail.authoring.futures import TaskFuture

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

    from dovetail.interfaces.artifacts import ArtifactRef

__all__ = ["Submitted", "Unfinished"]

T = TypeVar("T")

ROOM = 1000
"""Submitted tasks of one caller that may be unfinished while a map draws further items."""


class Submitted(TaskFuture[T]):
    """A future whose task has not begun is run by whoever waits for it: a pool of threads can't lock itself up."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.begin: Callable[[], None] | None = None
        """Runs the task, or sends it away; None while its inputs are missing."""
        self._claim = threading.Lock()
        self.unfinished: Unfinished | None = None

    # -- running --------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Run it, unless somebody else does."""
        begin = self.begin
        if begin is not None and self._claim.acquire(blocking=False):
            begin()

    def run_after(self, inputs: Iterable[Future[Any]], threads: ThreadPoolExecutor) -> None:
        """Run it on a thread once its inputs are there, which may be now."""
        missing = [one for one in inputs if not one.done()]
        if not missing:
            threads.submit(self.run)
            return
        begin, self.begin = self.begin, None
        left = len(missing)
        lock = threading.Lock()

        def arrived(_: Future[Any]) -> None:
            nonlocal left
            with lock:
                left -= 1
                ready = left == 0
            if ready:
                self.begin = begin
                with suppress(RuntimeError):  # the run is over, and its threads are gone
                    threads.submit(self.run)

        for one in missing:
            one.add_done_callback(arrived)

    def result(self, timeout: float | None = None) -> T:
        """See `TaskFuture`."""
        if timeout is None and not self.done():
            self.run()
        return super().result(timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """See `TaskFuture`."""
        if timeout is None and not self.done():
            self.run()
        return super().exception(timeout)

    # -- ending ---------------------------------------------------------------------------------------------------

    # Each may come behind another: where a run is over, the thread that reads lets go of what a task's own thread is
    # just ending. The first one counts.

    def succeed(self, value: T) -> None:
        """It has its value."""
        with suppress(InvalidStateError):
            self.set_result(value)
            self._over(failed=False)

    def succeed_later(self, ref: ArtifactRef, load: Callable[[], T]) -> None:
        """It has its value, which is loaded when it is first asked for."""
        self.ref = ref
        self._load = load
        with suppress(InvalidStateError):
            self.set_result(None)  # type: ignore[arg-type]
            self._over(failed=False)

    def fail(self, error: BaseException) -> None:
        """It failed."""
        with suppress(InvalidStateError):
            self.set_exception(error)
            self._over(failed=True)

    def _over(self, *, failed: bool) -> None:
        if self.unfinished is not None:
            self.unfinished.over(self, failed=failed)


class Unfinished:
    """What one caller submitted. Thread-safe."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._futures: dict[Submitted[Any], None] = {}
        self._failed: list[Submitted[Any]] = []

    def add(self, future: Submitted[Any]) -> None:
        """One more."""
        future.unfinished = self
        with self._changed:
            self._futures[future] = None

    def over(self, future: Submitted[Any], *, failed: bool) -> None:
        """One ended."""
        with self._changed:
            del self._futures[future]
            if failed:
                self._failed.append(future)
            self._changed.notify_all()

    def wait_for_room(self) -> None:
        """Wait until few are unfinished."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._futures) < ROOM)

    def finish(self) -> None:
        """Wait for all.

        Raises:
            BaseException: Of the first one that failed and that nobody asked about.
        """
        while True:
            with self._changed:
                future = next(iter(self._futures), None)
            if future is None:
                break
            future.run()
            future.wait()
            with self._changed:  # what follows its end may not be through
                while future in self._futures:
                    self._changed.wait()
        for failed in self._failed:
            if not failed.is_handled:
                error = failed.exception()
                assert error is not None
                raise error
