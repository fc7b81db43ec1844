"""A flow that is found valid runs: whatever is chosen, each member of a fan arrives once, and the end is met once."""

from __future__ import annotations

import random

from amounts import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from dovetail.interfaces.flow import FlowDescription, StepDescription, Transition
from dovetail.planning.graph import Graph
from dovetail.planning.validate import validate


class Fan:
    def __init__(self, join: str, size: int, outer: tuple[Fan, ...]) -> None:
        self.join = join
        self.missing = size
        self.outer = outer


def simulate(flow: FlowDescription, rng: random.Random) -> None:
    """Run tokens through the graph; fails where a member arrives twice, elsewhere or never."""
    graph = Graph(flow)
    steps = flow.by_name
    tokens: list[tuple[str, tuple[Fan, ...]]] = [(flow.start, ())]
    fans: list[Fan] = []
    ended = taken = 0
    seen: set[tuple[str, tuple[int, ...]]] = set()
    while tokens:
        name, open_fans = tokens.pop(rng.randrange(len(tokens)))
        step = steps[name]
        if name == flow.end:
            assert open_fans == ()
            ended += 1
            continue
        taken += 1
        if taken > 400:
            return  # a loop that was chosen again and again
        number = rng.randrange(len(step.transitions))
        transition = step.transitions[number]
        targets = list(transition.targets)
        if transition.kind == "switch":
            targets = [rng.choice(targets)]
        elif transition.kind in ("branch", "foreach"):
            size = len(targets) if transition.kind == "branch" else rng.randrange(3)
            fan = Fan(graph.join_of[name, number], size, open_fans)
            fans.append(fan)
            open_fans = (*open_fans, fan)
            if transition.kind == "foreach":
                targets = targets * size
            if size == 0:
                tokens.append((fan.join, fan.outer))
        for target in targets:
            if steps[target].is_join:
                fan = open_fans[-1]
                assert fan.join == target
                assert fan.missing > 0
                fan.missing -= 1
                if fan.missing == 0:
                    tokens.append((target, fan.outer))
            else:
                tokens.append((target, open_fans))
    assert ended == 1
    assert all(fan.missing == 0 for fan in fans)
    del seen


# ---------------------------------------------------------------------- flows that are valid by construction


class Builder:
    """Builds nested blocks; a block has one way in and one way out."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.steps: list[StepDescription] = []
        self.depths: dict[str, int] = {}

    def name(self, depth: int) -> str:
        name = f"s{len(self.depths)}"
        self.depths[name] = depth
        return name

    def add(self, name: str, *transitions: Transition, join: bool = False) -> str:
        self.steps.append(StepDescription(name=name, is_join=join, transitions=transitions))
        return name

    def block(self, follow: str, depth: int, size: int) -> str:
        """Write a block that leads to `follow`; the name of its first step."""
        kind = (
            self.draw(st.sampled_from(["step", "sequence", "branch", "foreach", "switch", "loop"])) if size else "step"
        )
        name = self.name(depth)
        if kind == "step":
            return self.add(name, Transition(kind="linear", targets=(follow,)))
        if kind == "sequence":
            first = self.block(self.block(follow, depth, size - 1), depth, size - 1)
            return self.add(name, Transition(kind="linear", targets=(first,)))
        if kind == "switch":
            one, two = self.block(follow, depth, size - 1), self.block(follow, depth, size - 1)
            return self.add(
                name, Transition(kind="switch", targets=(one, two), condition="v", cases={"1": one, "2": two})
            )
        if kind == "loop":
            test = self.name(depth)
            inner = self.block(test, depth, size - 1)
            self.add(
                test,
                Transition(kind="switch", targets=(inner, follow), condition="v", cases={"1": inner, "2": follow}),
            )
            return self.add(name, Transition(kind="linear", targets=(inner,)))
        join = self.name(depth)
        self.add(join, Transition(kind="linear", targets=(follow,)), join=True)
        if kind == "foreach":
            inner = self.block(join, depth + 1, size - 1)
            return self.add(name, Transition(kind="foreach", targets=(inner,)))
        one, two = self.block(join, depth, size - 1), self.block(join, depth, size - 1)
        return self.add(name, Transition(kind="branch", targets=(one, two)))


@st.composite
def structured(draw: st.DrawFn) -> tuple[FlowDescription, dict[str, int]]:
    builder = Builder(draw)
    builder.add("end")
    start = builder.block("end", 0, draw(st.integers(0, 3)))
    steps = tuple(reversed(builder.steps))
    flow = FlowDescription(name="F", module="f", file="", steps=steps, start=start, end="end")
    return flow, builder.depths


@settings(max_examples=examples(80))
@given(structured(), st.randoms(use_true_random=False))
def test_structured_flows_are_valid_and_run(made: tuple[FlowDescription, dict[str, int]], rng: random.Random) -> None:
    flow, depths = made
    assert validate(flow) == []
    graph = Graph(flow)
    assert {name: graph.depth(name) for name in depths} == depths
    assert len(graph.render().splitlines()) == len(flow.steps)
    for _ in range(5):
        simulate(flow, rng)


# ---------------------------------------------------------------------- any graph at all

NAMES = ["start", "a", "b", "c", "d", "end"]


@st.composite
def transitions(draw: st.DrawFn) -> Transition:
    kind = draw(st.sampled_from(["linear", "linear", "linear", "branch", "foreach", "switch"]))
    if kind in ("linear", "foreach"):
        return Transition(kind=kind, targets=(draw(st.sampled_from(NAMES[1:])),))
    targets = tuple(draw(st.permutations(NAMES[1:]))[:2])
    if kind == "branch":
        return Transition(kind="branch", targets=targets)
    return Transition(kind="switch", targets=targets, condition="v", cases={"1": targets[0], "2": targets[1]})


@st.composite
def arbitrary(draw: st.DrawFn) -> FlowDescription:
    steps = [
        StepDescription(
            name=name,
            is_join=name != "start" and draw(st.booleans()),
            transitions=tuple(draw(st.lists(transitions(), min_size=1, max_size=2))) if name != "end" else (),
        )
        for name in NAMES
    ]
    return FlowDescription(name="F", module="f", file="", steps=tuple(steps), start="start", end="end")


@settings(max_examples=examples(200))
@given(arbitrary(), st.randoms(use_true_random=False))
def test_whatever_passes_for_valid_runs(flow: FlowDescription, rng: random.Random) -> None:
    Graph(flow).render()
    unreachable = {"unreachable-step"}
    if all(problem.code in unreachable and "end" not in problem.message.split() for problem in validate(flow)):
        for _ in range(10):
            simulate(flow, rng)
