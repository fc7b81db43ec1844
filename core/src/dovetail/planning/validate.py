"""Finds everything that is wrong with a flow, before anything runs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from dovetail.interfaces.flow import FlowDescription, StepDescription
from dovetail.interfaces.problems import Problem
from dovetail.planning.graph import Graph

__all__ = ["validate"]

UNREADABLE = frozenset(
    {
        "dynamic-cases", "dynamic-condition", "dynamic-next", "dynamic-target", "duplicate-target", "foreach-targets",
        "next-without-target", "on-error-without-foreach", "switch-cases", "switch-mixed", "switch-without-cases",
        "switch-without-condition", "unknown-argument", "unknown-on-error",
    }
)  # fmt: skip
"""Problems of a `self.next` that then is no transition of its step."""


def validate(flow: FlowDescription, graph: Graph | None = None) -> list[Problem]:
    """Every problem of a flow, in the order of file and line; empty when it can run.

    What a flow function calls is not known before it runs: only what reading it found counts.

    Args:
        flow: As its file describes it; problems found while reading are among the answer.
        graph: Its graph, where the caller has it.
    """
    if flow.style == "function":
        return sorted(dict.fromkeys(flow.problems), key=lambda problem: (problem.file, problem.line))
    found = [*flow.problems, *_ends(flow), *_names(flow)]
    if graph is None or any(problem.code == "unknown-step" for problem in found):
        graph = Graph(_as_meant(flow))
    # Where a self.next can't be read, what it leads to is not known to be missing.
    readable = not any(problem.code in UNREADABLE for problem in flow.problems)
    found += [p for p in graph.problems if readable or p.code != "never-joined"]
    if readable and flow.start in graph.steps:
        found += _unreachable(graph)
        found += _never_ending(graph)
    found += _silent(flow)
    found += _caught(flow)
    return sorted(dict.fromkeys(found), key=lambda problem: (problem.file, problem.line))


def _as_meant(flow: FlowDescription) -> FlowDescription:
    """The flow with each unknown step name replaced by its nearest: one typo then hides no other problem."""
    steps = flow.by_name

    def meant(target: str) -> str:
        return target if target in steps else next(iter(_near(target, steps)), target)

    return replace(
        flow,
        steps=tuple(
            replace(
                step,
                transitions=tuple(replace(t, targets=tuple(map(meant, t.targets))) for t in step.transitions),
            )
            for step in flow.steps
        ),
    )


def _ends(flow: FlowDescription) -> Iterable[Problem]:
    if not flow.steps:
        yield Problem(
            code="no-steps", message=f"{flow.name} has no steps", fix="Put @step above a method.", file=flow.file
        )
        return
    first, last = flow.steps[0], flow.steps[-1]
    if not flow.start:
        yield _problem(
            "no-start",
            f"{flow.name} has no start step",
            "Name the first step start, or mark it with @step(start=True).",
            first,
        )
    if not flow.end:
        yield _problem(
            "no-end", f"{flow.name} has no end step", "Name the last step end, or mark it with @step(end=True).", last
        )
    for step in flow.steps:
        if step.name == flow.end and step.transitions:
            yield _problem(
                "end-continues",
                f"the end step {step.name} calls self.next",
                "Remove the call, or let another step be the end.",
                step,
                line=step.transitions[0].line,
            )


def _names(flow: FlowDescription) -> Iterable[Problem]:
    steps = flow.by_name
    for step in flow.steps:
        for transition in step.transitions:
            for target in transition.targets:
                if target not in steps:
                    near = _near(target, steps)
                    fix = f"Did you mean {' or '.join(near)}?" if near else f"The steps are {', '.join(steps)}."
                    yield _problem(
                        "unknown-step",
                        f"step {step.name} leads to {target!r}, which is not a step of {flow.name}",
                        fix,
                        step,
                        line=transition.line,
                    )


def _near(name: str, known: Iterable[str]) -> list[str]:
    from difflib import get_close_matches

    return get_close_matches(name, list(known), n=3, cutoff=0.6)


def _silent(flow: FlowDescription) -> Iterable[Problem]:
    """Steps without a transition that are not the end."""
    for step in flow.steps:
        if step.transitions or step.name == flow.end or any(p.code in UNREADABLE for p in _within(flow, step)):
            continue
        yield _problem(
            "no-next",
            f"step {step.name} never calls self.next",
            "End it with self.next(self.THE_NEXT_STEP), or mark it with @step(end=True).",
            step,
        )


def _caught(flow: FlowDescription) -> Iterable[Problem]:
    """A step that failed and is caught goes on as if it had called `self.next`, so there must be one way only."""
    for step in flow.steps:
        if not any(use.kind == "catch" for use in step.decorators) or not step.transitions:
            continue
        kinds = [transition.kind for transition in step.transitions]
        if len(kinds) == 1 and kinds[0] in ("linear", "branch"):
            continue
        yield _problem(
            "catch-with-choice",
            f"step {step.name} is caught, but which way it goes on after a failure is not known: it has "
            + ("several ways" if len(kinds) > 1 else f"a {kinds[0]}"),
            "Move what may fail into a step before it that has one self.next(self.NEXT), and catch that.",
            step,
            line=next(
                (
                    int(use.source.rpartition(":")[2])
                    for use in step.decorators
                    if use.kind == "catch" and use.source.rpartition(":")[2].isdigit()
                ),
                0,
            ),
        )


def _within(flow: FlowDescription, step: StepDescription) -> list[Problem]:
    """Problems between the step's line and the next step's, in its file."""
    later = [s.line for s in flow.steps if s.file == step.file and s.line > step.line]
    end = min(later, default=1 << 31)
    return [p for p in flow.problems if p.file == step.file and step.line <= p.line < end]


def _unreachable(graph: Graph) -> Iterable[Problem]:
    """Steps that nothing leads to; what only they lead to is not repeated."""
    told: set[str] = set()
    lost = [step for step in graph.flow.steps if step.name not in graph.reachable]
    first = [step for step in lost if not graph.predecessors[step.name]]
    for step in [*first, *lost]:
        if step.name in told:
            continue
        told |= graph.ends_in(step.name)
        is_end = step.name == graph.flow.end
        yield _problem(
            "unreachable-step",
            f"no step leads to {step.name}",
            "Name it in a self.next" + (": a flow must reach its end." if is_end else ", or remove it."),
            step,
        )


def _never_ending(graph: Graph) -> Iterable[Problem]:
    """Cycles that no condition leaves: steps from which the end can't be reached whatever is chosen."""
    flow = graph.flow
    can_end = {name for name in graph.steps if name == flow.end or not graph.steps[name].transitions}
    # A step that leads to an unknown name has a problem of its own.
    can_end |= {s.name for s in flow.steps if any(target not in graph.steps for target in s.targets)}
    changed = True
    while changed:
        changed = False
        for step in flow.steps:
            if step.name in can_end:
                continue
            for transition in step.transitions:
                some = transition.kind == "switch"
                reach = [target in can_end for target in transition.targets]
                if any(reach) if some else all(reach):
                    can_end.add(step.name)
                    changed = True
                    break
    told: set[str] = set()
    for step in flow.steps:
        if step.name in can_end or step.name in told or step.name not in graph.reachable:
            continue
        cycle = _cycle(graph, step.name, can_end)
        if not cycle or told & set(cycle):
            continue
        told |= set(cycle)
        yield _problem(
            "endless-cycle",
            f"the steps {' -> '.join([*cycle, cycle[0]])} repeat without end: nothing chooses to leave",
            'Leave by a switch: self.next({"again": ..., "done": ...}, condition="state").',
            graph.steps[cycle[-1]],
            line=graph.steps[cycle[-1]].transitions[0].line,
        )


def _cycle(graph: Graph, start: str, can_end: set[str]) -> list[str]:
    """A cycle among the steps that can't end, followed from `start`."""
    path = [start]
    while True:
        following = next((t for t in graph.steps[path[-1]].targets if t not in can_end), None)
        if following is None:
            return []
        if following in path:
            cycle = path[path.index(following) :]
            first = min(range(len(cycle)), key=lambda n: (graph.steps[cycle[n]].line, n))
            return cycle[first:] + cycle[:first]
        path.append(following)


def _problem(code: str, message: str, fix: str, step: StepDescription, *, line: int = 0) -> Problem:
    return Problem(code=code, message=message, fix=fix, file=step.file, line=line or step.line)
