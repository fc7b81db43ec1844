"""Plans the state hooks of a run: each is a task, so it runs in a worker's process, is recorded, and runs once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from dovetail.artifacts.arguments import ArgumentWriter
from dovetail.artifacts.identity import simple_digest
from dovetail.artifacts.packing import JSON_ID
from dovetail.interfaces.artifacts import ArtifactRef, InlinePlace
from dovetail.interfaces.flow import DecoratorUse, StepDescription
from dovetail.interfaces.paths import format_node, step_of
from dovetail.interfaces.states import RunState
from dovetail.planning.planned import PlannedTask

if TYPE_CHECKING:
    from dovetail.artifacts.records import CommitRecord
    from dovetail.artifacts.reports import AttemptReport
    from dovetail.artifacts.store import ArtifactStore
    from dovetail.engine.calls import StepPlan
    from dovetail.engine.known_steps import KnownSteps
    from dovetail.engine.step_plans import StepPlans
    from dovetail.interfaces.flow import FlowDescription
    from dovetail.interfaces.tasks import Arguments, ErrorReport, Scope

__all__ = ["Hooks", "json_arguments", "kind_of_end", "own_step"]

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


def own_step(name: str, module: str, function: str) -> StepDescription:
    """A task of Dovetail's own that a worker runs in a process for itself."""
    isolation = DecoratorUse(kind="isolation", name="isolation", options={"kind": "auto"})
    return StepDescription(name=name, kind="task", module=module, qualname=function, decorators=(isolation,))


def json_arguments(artifacts: ArtifactStore, values: Mapping[str, Any]) -> ArgumentWriter:
    """Arguments that are JSON-able and few, all in the table: the driver stores nothing for them."""
    import json

    writer = ArgumentWriter(artifacts, keep=True)
    for name, value in values.items():
        frame = json.dumps(value, separators=(",", ":")).encode()
        digest, kind = simple_digest(JSON_ID, frame), type(value).__name__
        place = InlinePlace(data=frame)
        writer.add_ref(name, ArtifactRef(digest=digest, size=len(frame), serializer=JSON_ID, type=kind, place=place))
    return writer


class Hooks:
    """Plans the hooks of one run. Owned by the driver's thread.

    Args:
        run: Run id.
        flow: What was described.
        plans: Resolves the choices for the tasks that run hooks.
        scope: Parameters and constants.
        artifacts: Knows how arguments are written.
        call: Plans a task that runs whatever becomes of the run.
    """

    def __init__(
        self,
        *,
        run: str,
        flow: FlowDescription,
        plans: StepPlans,
        scope: Scope,
        artifacts: ArtifactStore,
        call: Callable[[PlannedTask], None],
    ) -> None:
        self._run = run
        self._flow = flow
        self._plans = plans
        self._scope = scope
        self._artifacts = artifacts
        self._call = call
        self._plan: StepPlan | None = None
        self._open: set[str] = set()

    def task_ended(self, task: PlannedTask, plan: StepPlan, attempt: int, kind: str, error: ErrorReport | None) -> None:
        """A task has ended for good."""
        if not plan.hooks:
            return
        run = {"path": task.path, "step": task.step, "attempt": attempt}
        self._plan_all(plan.hooks, kind, f"{plan.code.module}:{plan.code.name}", run, error)

    def know(self, known: KnownSteps, records: Iterable[CommitRecord], reports: Iterable[AttemptReport]) -> None:
        """Of a run that goes on: plan what was cut off. Whoever called a task may be on record too, and not call again.

        Args:
            known: What the tasks are.
            records: What the run has.
            reports: Those of its failed attempts.
        """
        kinds = known.hooks
        if "on_success" in kinds:
            for record in records:
                if record.state == "succeeded":
                    self._plan_known(known, record.path, record.code_key, record.attempt, None)
        if kinds & {"on_failure", "on_crash"}:
            for report in reports:
                if report.final:
                    self._plan_known(known, report.path, report.code_key, report.attempt, report.error)

    def _plan_known(
        self, known: KnownSteps, path: str, code_key: bytes, attempt: int, error: ErrorReport | None
    ) -> None:
        step = known.of(path, code_key)
        if step is not None and step.hooks:
            run = {"path": path, "step": step_of(path), "attempt": attempt}
            self._plan_all(step.hooks, kind_of_end(error), known.subject(step), run, error)

    def run_ended(self, state: RunState, root_cause: tuple[str, ErrorReport] | None) -> None:
        """Nothing of the run is left but its hooks."""
        error = None if root_cause is None or state is RunState.SUCCEEDED else root_cause[1]
        kind = "on_success" if state is RunState.SUCCEEDED else "on_failure"
        if state is RunState.CANCELLED:
            kind = "on_cancel"
        elif error is not None:
            kind = kind_of_end(error)
        self._plan_all(self._flow.hooks, kind, f"{self._flow.module}:{self._flow.name}", {}, error)

    def is_hook(self, task: PlannedTask) -> bool:
        """Whether a task runs a hook."""
        return task.path in self._open

    def _plan_all(
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
            values = {"hook": address, "subject": subject, "run": facts, "state": state}
            # Not by the error: of a run that goes on after a crash, an end that was told is not told again.
            key = f"{self._run} {number} {address} {run.get('attempt', 0)}"
            arguments = json_arguments(self._artifacts, values).finish(key)
            self._start(kind, run.get("path", ""), arguments)

    def _start(self, kind: str, path: str, arguments: Arguments) -> None:
        if self._plan is None:
            self._plan = self._plans.plan(own_step("hook", "dovetail.worker.hooks", "run_hook"))
        node = format_node(kind, call=arguments.digest[:8].hex())
        where = f"{path}/{node}" if path else node
        if where in self._open:
            return
        self._open.add(where)
        inputs = (path,) if path else ()
        task = PlannedTask(where, kind, self._scope, (), None, "", plan=self._plan, arguments=arguments, inputs=inputs)
        self._call(task)
