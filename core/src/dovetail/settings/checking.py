"""Everything that is wrong with a flow's choices and options, found before anything runs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from dovetail.interfaces.errors import DovetailError, SettingsError
from dovetail.interfaces.problems import Problem
from dovetail.interfaces.tasks import Isolation
from dovetail.plugins.extensions import DecoratorSpec
from dovetail.plugins.schema import problems_of
from dovetail.settings.kinds import KINDS, POLICY_KINDS
from dovetail.settings.merging import given_options

if TYPE_CHECKING:
    from dovetail.interfaces.flow import DecoratorUse, FlowDescription, StepDescription
    from dovetail.settings.resolve import Settings
    from dovetail.settings.steps import StepOptions

__all__ = ["check_flow"]


def check_flow(settings: Settings, flow: FlowDescription) -> list[Problem]:
    """Problems of every step, each told once."""
    problems = list(_check_sets(settings, flow))
    try:
        _ = settings.with_uses
    except DovetailError as error:
        # Nothing can be resolved with an argument that means nothing.
        return [*problems, _problem(error)]
    for use in flow.decorators:
        problems += _check_use(settings, use, flow.file)
    try:
        settings.select("metadata", None, flow)
    except DovetailError as error:
        problems.append(_problem(error))
    for step in flow.steps:
        problems += _check_step(settings, step, flow)
    return list(dict.fromkeys(problems))


def _check_sets(settings: Settings, flow: FlowDescription) -> Iterable[Problem]:
    names = flow.by_name
    for override in settings.sets:
        if override.step != "*" and override.step not in names:
            from dovetail.plugins.suggest import did_you_mean

            hint = did_you_mean(override.step, names) or f"The steps are: {', '.join(names)}."
            message = f"{override.given.source}: {flow.name} has no {flow.noun} {override.step!r}"
            yield Problem(code="unknown-step", message=message, fix=hint)
        elif override.kind == "cache" and override.step != "*" and names[override.step].kind == "step":
            yield _not_cached(names[override.step], override.given.source)


def _check_step(settings: Settings, step: StepDescription, flow: FlowDescription) -> list[Problem]:
    problems: list[Problem] = []
    file, line = step.file or flow.file, step.line
    uses = {use.kind: use for use in reversed((*flow.decorators, *step.decorators))}
    for use in step.decorators:
        problems += _check_use(settings, use, file)
        if use.kind == "cache" and step.kind == "step":
            problems.append(_at(_not_cached(step, "@cache"), use))
    for kind in KINDS:
        if kind == "metadata":
            continue
        try:
            settings.select(kind, step, flow)
        except DovetailError as error:
            problems.append(_problem(error, uses.get(kind), file=file, line=line))
    try:
        options = settings.step_options(step, flow)
    except SettingsError as error:
        told = {problem.line for problem in flow.problems if problem.code == "decorator-argument"}
        for text in _split(error):
            cause = uses.get(text.partition(" of ")[0])
            problem = _problem(SettingsError(text), cause, file=file, line=line)
            if cause is None or problem.line not in told:  # Else whoever read the source has told it better.
                problems.append(problem)
        return problems
    except DovetailError:
        return problems  # The compute backend can't be found, which is told already.
    for problem in _check_isolation(step, options, flow):
        problem = replace(problem, file=file, line=line)
        problems.append(_at(problem, uses["isolation"]) if "isolation" in uses else problem)
    return problems


def _check_isolation(step: StepDescription, options: StepOptions, flow: FlowDescription) -> Iterable[Problem]:
    if options.timeout is not None and options.isolation in (Isolation.THREAD, Isolation.INLINE):
        message = (
            f"{step.kind} {step.name!r} has a time limit, which isolation {str(options.isolation)!r} can't enforce"
        )
        fix = "Run it in a process of its own (fork or spawn), or drop the time limit."
        yield Problem(code="timeout-needs-process", message=message, fix=fix)
    if options.isolation is Isolation.FORK and flow.fork_hazards:
        message = (
            f"{step.kind} {step.name!r} asks for isolation 'fork', which is not safe: {'; '.join(flow.fork_hazards)}"
        )
        fix = "Choose isolation 'auto' or 'spawn', or move what was found from the module's top into the steps."
        yield Problem(code="unsafe-fork", message=message, fix=fix)


def _not_cached(step: StepDescription, source: str) -> Problem:
    """Caching asks what a task's inputs are: arguments are, what a step's `self` or a body may read is not known."""
    return Problem(
        code="cache-step",
        message=f"{source}: {step.name!r} is no task, and only tasks are cached across runs",
        fix="Move what takes long into a @task function and call it there; `dovetail resume` reuses whole steps.",
    )


def _check_use(settings: Settings, use: DecoratorUse, file: str) -> list[Problem]:
    """A decorator whose kind nobody knows, or whose options its plugin refuses."""
    if use.kind in KINDS or use.kind in POLICY_KINDS:
        return []
    try:
        for kind in ("step-decorator", "flow-decorator"):
            spec = settings.registry.find(kind, use.kind)
            if isinstance(spec, DecoratorSpec):
                return [_at(p, use) for p in _check_options(spec, use)]
        known = {*KINDS, *POLICY_KINDS, *settings.registry.names("step-decorator")}
    except DovetailError as error:
        return [_problem(error, use, file=file)]
    from dovetail.plugins.known import install_command
    from dovetail.plugins.suggest import did_you_mean

    fix = install_command(use.kind) or did_you_mean(use.kind, known) or ""
    message = f"no installed plugin provides the decorator {use.kind!r}"
    return [_at(Problem(code="unknown-decorator", message=message, fix=fix, file=file), use)]


def _check_options(spec: DecoratorSpec, use: DecoratorUse) -> Iterable[Problem]:
    from dovetail.plugins.loading import import_object

    if spec.options is None:
        return
    for text in problems_of(import_object(spec.options), given_options(use), where=f"decorator {spec.name!r}"):
        yield Problem(code="wrong-option", message=text)


def _split(error: SettingsError) -> list[str]:
    head, *rest = error.message.split("\n  ")
    return rest or [head]


def _problem(error: DovetailError, use: DecoratorUse | None = None, *, file: str = "", line: int = 0) -> Problem:
    problem = Problem(code=error.code, message=error.message, fix=error.hint or "", file=file, line=line)
    return problem if use is None else _at(problem, use)


def _at(problem: Problem, use: DecoratorUse) -> Problem:
    """The problem at the place where the decorator was written (`file:line`)."""
    file, colon, line = use.source.rpartition(":")
    if not colon or not line.isdigit():
        return problem
    return Problem(code=problem.code, message=problem.message, fix=problem.fix, file=file, line=int(line))
