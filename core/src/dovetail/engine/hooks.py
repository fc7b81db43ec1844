"""Which state hooks of a run are to be called. Each call is a task, so it runs in a worker's process, is recorded, and
runs once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from dovetail.artifacts.arguments import key_digest
from dovetail.interfaces.dataclass import dataclass
from dovetail.interfaces.paths import format_node, step_of
from dovetail.interfaces.states import RunState

if TYPE_CHECKING:
    from dovetail.artifacts.records import CommitRecord
    from dovetail.artifacts.reports import AttemptReport
    from dovetail.engine.calls import StepPlan
    from dovetail.engine.known_steps import KnownSteps
    from dovetail.interfaces.flow import FlowDescription
    from dovetail.interfaces.tasks import ErrorReport
    from dovetail.planning.planned import PlannedTask

__all__ = ["HookCall", "Hooks", "kind_of_end"]

CRASHES = frozenset({"exit", "signal", "memory", "lost"})
"""Kinds of errors that say that a process died."""
NAMES = {"on_success": "succeeded", "on_failure": "failed", "on_cancel": "cancelled", "on_crash": "crashed"}
"""Kind of a hook → name of the state that it is told."""


def kind_of_end(error: ErrorReport | None, *, cancelled: bool = False) -> str:
    """Which hooks run for how something ended."""
    if error is None:
        return "on_success"
    if cancelled or error.kind == "cancelled":
        return "on_cancel"
    return "on_crash" if error.kind in CRASHES else "on_failure"


@dataclass(frozen=True, slots=True, kw_only=True)
class HookCall:
    """A call of a hook."""

    kind: str
    """`on_success`, `on_failure`, `on_cancel` or `on_crash`."""
    address: str
    """`module:name` of the function."""
    of: str
    """Path of the task that has ended; empty for the run."""
    key: str
    """Stands for the call in its identity."""
    values: Mapping[str, Any]
    """What the task that calls it is given."""

    @property
    def path(self) -> str:
        """Path of the task that calls it."""
        node = format_node(self.kind, call=key_digest(self.key)[:8].hex())
        return f"{self.of}/{node}" if self.of else node


class Hooks:
    """Says what is to be called, each once. Owned by the driver's thread.

    Args:
        run: Run id.
        flow: What was described.
        call: Has a hook called.
    """

    def __init__(self, *, run: str, flow: FlowDescription, call: Callable[[HookCall], None]) -> None:
        self._run = run
        self._flow = flow
        self._call = call
        self._said: set[str] = set()

    def task_ended(self, task: PlannedTask, plan: StepPlan, attempt: int, kind: str, error: ErrorReport | None) -> None:
        """A task has ended for good."""
        if not plan.hooks:
            return
        run = {"path": task.path, "step": task.step, "attempt": attempt}
        self._say(plan.hooks, kind, f"{plan.code.module}:{plan.code.name}", run, error)

    def know(self, known: KnownSteps, records: Iterable[CommitRecord], reports: Iterable[AttemptReport]) -> None:
        """Of a run that goes on: what was cut off. Whoever called a task may be on record too, and not call again.

        Args:
            known: What the tasks are.
            records: What the run has.
            reports: Those of its failed attempts.
        """
        kinds = known.hooks
        if "on_success" in kinds:
            for record in records:
                if record.state == "succeeded":
                    self._known_ended(known, record.path, record.code_key, record.attempt, None)
        if kinds & {"on_failure", "on_crash"}:
            for report in reports:
                if report.final:
                    self._known_ended(known, report.path, report.code_key, report.attempt, report.error)

    def _known_ended(
        self, known: KnownSteps, path: str, code_key: bytes, attempt: int, error: ErrorReport | None
    ) -> None:
        step = known.of(path, code_key)
        if step is not None and step.hooks:
            run = {"path": path, "step": step_of(path), "attempt": attempt}
            self._say(step.hooks, kind_of_end(error), known.subject(step), run, error)

    def left_cancelled(self, known: KnownSteps, path: str, attempt: int, error: ErrorReport) -> None:
        """A task that a driver before has left under way is cancelled with the run."""
        step = known.named(path)
        if step is not None:
            run = {"path": path, "step": step_of(path), "attempt": attempt}
            self._say(step.hooks, "on_cancel", known.subject(step), run, error)

    def run_ended(self, state: RunState, root_cause: tuple[str, ErrorReport] | None) -> None:
        """Nothing of the run is left but its hooks."""
        error = None if root_cause is None or state is RunState.SUCCEEDED else root_cause[1]
        kind = "on_success" if state is RunState.SUCCEEDED else "on_failure"
        if state is RunState.CANCELLED:
            kind = "on_cancel"
        elif error is not None:
            kind = kind_of_end(error)
        flow = self._flow
        name = flow.by_name[flow.start].qualname if flow.style == "function" else flow.name
        self._say(flow.hooks, kind, f"{flow.module}:{name}", {}, error)

    def is_hook(self, task: PlannedTask) -> bool:
        """Whether a task runs a hook."""
        return task.path in self._said

    def _say(
        self,
        hooks: tuple[tuple[str, str], ...],
        kind: str,
        subject: str,
        run: Mapping[str, Any],
        error: ErrorReport | None,
    ) -> None:
        for number, (of, address) in enumerate(hooks):
            if of != kind:
                continue
            state = {"name": NAMES[kind], "error": None if error is None else error.to_plain()}
            facts = {"id": self._run, "flow": self._flow.name, **run}
            # Not by the error: of a run that goes on after a crash, an end that was told is not told again.
            key = f"{self._run} {number} {address} {run.get('attempt', 0)}"
            values = {"hook": address, "subject": subject, "run": facts, "state": state}
            call = HookCall(kind=kind, address=address, of=run.get("path", ""), key=key, values=values)
            if call.path not in self._said:
                self._said.add(call.path)
                self._call(call)
