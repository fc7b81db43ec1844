"""Resolves every choice of a run once: backends, options, environments and stores of each step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dovetail.engine.step_plans import NO_FILE, NO_LIMIT, StepPlans
from dovetail.interfaces.dataclass import dataclass
from dovetail.interfaces.errors import ValidationError

if TYPE_CHECKING:
    from dovetail.engine.calls import StepPlan
    from dovetail.engine.session import Session
    from dovetail.interfaces.flow import FlowDescription
    from dovetail.interfaces.problems import Problem
    from dovetail.interfaces.workers import WorkerGroup

__all__ = ["RunPlan", "plan_run"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPlan:
    """Every choice of a run."""

    flow: FlowDescription
    """The flow."""
    steps: Mapping[str, StepPlan]
    """Step → what its tasks share."""
    plans: StepPlans
    """What the steps' choices opened; plans further tasks that are called."""
    store: str
    """UUID of the run's data store."""
    code: Mapping[str, Any]
    """Step → code key, and the code package's key."""
    plugins: Mapping[str, Any]
    """Pins of the plugins that take part, by distribution."""


def plan_run(session: Session, flow: FlowDescription, first: WorkerGroup, *, debug: str | None) -> RunPlan:
    """Resolve every choice of a run.

    Args:
        session: The opened backends.
        flow: What was described; valid.
        first: The group that described it: it runs the tasks of the flow-level compute and environment.
        debug: Step that runs inline with the terminal attached, `*` for all.

    Raises:
        ValidationError: A choice can't be met; all that can't, at once.
    """
    if debug not in (None, "*") and debug not in flow.by_name:
        raise ValidationError(
            f"--debug={debug}: {flow.name} has no such {flow.noun}", hint=f"It has {', '.join(flow.by_name)}."
        )
    plans = StepPlans(session, flow, first, debug)
    run_store = plans.take_store(session.settings.select("datastore", None, flow))
    steps: dict[str, StepPlan] = {}
    problems: list[Problem] = []
    when_called: list[tuple[str, Problem]] = []
    for step in flow.steps:
        steps[step.name] = plans.plan(step)
        found, plans.problems = plans.problems, []
        for problem in found:
            if step.kind == "task" and problem.code in (NO_FILE, NO_LIMIT):
                when_called.append((step.name, problem))
            else:
                problems.append(problem)
    if any(problem.code == NO_LIMIT for _, problem in when_called):
        called = session.surely_called(flow)
        problems += [problem for name, problem in when_called if problem.code == NO_LIMIT and name in called]
    if problems:
        raise ValidationError(f"{flow.name} can't run:", problems=problems)
    plans.groups.update(session.beside)
    # A constant that is too large to be inline is stored by the first worker, in the run's own data store.
    constants = {name: {**ref, "object": run_store} if "object" in ref else ref for name, ref in flow.constants.items()}
    return RunPlan(
        flow=replace(flow, constants=constants),
        steps=steps,
        plans=plans,
        store=run_store,
        code={"steps": {step.name: step.code_key for step in flow.steps}, "sources": dict(flow.sources)},
        plugins=_plugins(session, flow),
    )


def _plugins(session: Session, flow: FlowDescription) -> Mapping[str, Any]:
    if not session.settings.registry.has_plugins:
        return {}
    from dovetail.settings.taking_part import pins_of

    return pins_of(session.settings, flow)
