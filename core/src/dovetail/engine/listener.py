"""What a run tells the one who watches it here: the terminal, a Runner, a test."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dovetail.artifacts.manifest import RunManifest
    from dovetail.artifacts.waits import Question
    from dovetail.interfaces.states import RunState, TaskState
    from dovetail.interfaces.tasks import ErrorReport
    from dovetail.interfaces.workers import Output

__all__ = ["RunListener"]


class RunListener:
    """Told what happens, in order, on the driver's thread. This one ignores all; override what matters."""

    def run_started(self, manifest: RunManifest, *, continued: bool) -> None:
        """The run is registered; tasks follow."""

    def expected(self, step: str, count: int) -> None:
        """So many tasks of a step are now known to come, in all."""

    def task_began(self, path: str, attempt: int) -> None:
        """An attempt runs."""

    def not_reused(self, path: str, reason: str) -> None:
        """Of a resumed run: why a task runs."""

    def output(self, output: Output) -> None:
        """A task wrote something."""

    def task_ended(self, path: str, state: TaskState, attempt: int, error: ErrorReport | None, seconds: float) -> None:
        """An attempt ended; `WAITING`: it will be tried again."""

    def asked(self, question: Question) -> None:
        """A task waits for somebody outside of the run; `task_ended` or `answered` tells of its end."""

    def answered(self, path: str) -> None:
        """A question need not be answered any more."""

    def task_known(self, path: str) -> None:
        """Of a continued run: a task had succeeded before."""

    def note(self, message: str) -> None:
        """Something that the user should know."""

    def tick(self) -> None:
        """Called at least every half second."""

    def run_ended(self, state: RunState, root_cause: tuple[str, ErrorReport] | None) -> None:
        """The run ended and all is power-durable."""
