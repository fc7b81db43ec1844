"""Flows written as text: `start -> a, b`, one step a line."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dovetail.interfaces.flow import FlowDescription, StepDescription, Transition

Flow = Callable[..., FlowDescription]


def _transition(text: str, line: int) -> Transition:
    text = text.strip()
    if text.startswith("each "):
        name, _, rest = text[5:].partition(" ")
        return Transition(
            kind="foreach", targets=(name,), foreach="xs", on_error="collect" if rest else "fail", line=line
        )
    if text.startswith("if "):
        targets = [target.strip() for target in text[3:].split(",")]
        cases = {f'"{n}"': target for n, target in enumerate(targets)}
        return Transition(kind="switch", targets=tuple(dict.fromkeys(targets)), condition="v", cases=cases, line=line)
    targets = [target.strip() for target in text.split(",")]
    return Transition(kind="linear" if len(targets) == 1 else "branch", targets=tuple(targets), line=line)


def flow_of(text: str, *, start: str = "start", end: str = "end") -> FlowDescription:
    """`name -> a`, `-> a, b` (branch), `-> each a`, `-> if a, b`, `-> a | b` (alternatives); `+name` is a join."""
    steps = []
    for line, row in enumerate((row.strip() for row in text.strip().splitlines()), 1):
        name, _, ways = row.partition("->")
        name = name.strip()
        transitions = tuple(_transition(way, line) for way in ways.split("|")) if ways.strip() else ()
        steps.append(
            StepDescription(
                name=name.lstrip("+"), is_join=name.startswith("+"), transitions=transitions, file="flow.py", line=line
            )
        )
    names = {step.name for step in steps}
    return FlowDescription(
        name="Made",
        module="made",
        file="/made/flow.py",
        steps=tuple(steps),
        start=start if start in names else "",
        end=end if end in names else "",
    )


@pytest.fixture
def make() -> Flow:
    return flow_of
