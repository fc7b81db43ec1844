"""The shapes of flows, as data: what leads where, and the few statements that decide it while a run goes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

__all__ = ["GRAPHS", "Graph", "Node"]


@dataclass(frozen=True, kw_only=True)
class Node:
    """A step of a shape."""

    name: str
    """Name of the step."""
    next: str = ""
    """The statement that ends the step; empty at the end."""
    targets: tuple[str, ...] = ()
    """Steps that can follow."""
    kind: str = "end"
    """`linear`, `branch`, `foreach`, `switch`, `either` (several transitions) or `end`."""
    join: bool = False
    """Whether it takes inputs."""
    before: tuple[str, ...] = ()
    """Statements ahead of a body: what decides where the flow goes."""
    after: tuple[str, ...] = ()
    """Statements between the body and `next`."""
    closed_by: str = ""
    """Of a foreach: the step that joins it."""
    mark: str = ""
    """Arguments of `@step`."""
    decorators: tuple[str, ...] = ()
    """Further decorators that belong to the shape."""
    owner: str = ""
    """Name of the class that holds the step; empty: the flow itself."""


@dataclass(frozen=True, kw_only=True)
class Graph:
    """A shape."""

    name: str
    nodes: tuple[Node, ...]
    bases: Mapping[str, str] = field(default_factory=dict)
    """Further classes that the flow is built from: name → base."""
    control: tuple[str, ...] = ()
    """Artifacts that steer the shape and differ between the members of a split."""
    idle: tuple[str, ...] = ()
    """Steps that no task is made of."""
    collected: tuple[str, ...] = ()
    """Steps whose failures are collected, so that they can't fail the run."""

    def __getitem__(self, step: str) -> Node:
        return next(node for node in self.nodes if node.name == step)

    def qualifiers(self, node: Node) -> frozenset[str]:
        """What a body can ask of a step."""
        found = {"any", node.name, node.kind, "join" if node.join else "no-join"}
        if node is self.nodes[0]:
            found.add("start")
        if node.kind == "end":
            found.add("end")
        if not found & {"start", "end"}:
            found.add("inside")
        if node.kind in ("linear", "branch", "end"):
            found.add("plain")  # one way on, known beforehand
        if node.name in self._follow(node.name):
            found.add("loop")
        if node.name in self._foreach_inner():
            found.add("item")
        if node.name not in self.idle:
            found.add("runs")
        if node.name not in self.collected:
            found.add("decisive")
        return frozenset(found)

    def _follow(self, name: str) -> set[str]:
        """Steps that can come after a step."""
        found: set[str] = set()
        pending = list(self[name].targets)
        while pending:
            step = pending.pop()
            if step not in found:
                found.add(step)
                pending += self[step].targets
        return found

    def _foreach_inner(self) -> set[str]:
        """Steps whose tasks have an index: between a foreach and its join."""
        found: set[str] = set()
        for node in self.nodes:
            if node.kind == "foreach":
                pending = list(node.targets)
                while pending:
                    step = pending.pop()
                    if step != node.closed_by and step not in found:
                        found.add(step)
                        pending += self[step].targets
        return found


def _to(name: str, *targets: str, **options: object) -> Node:
    """A step that leads to one step, or to several at once."""
    names = ", ".join(f"self.{target}" for target in targets)
    kind = "linear" if len(targets) == 1 else "branch"
    return Node(name=name, next=f"self.next({names})", targets=targets, kind=kind, **options)  # type: ignore[arg-type]


def _foreach(name: str, target: str, items: str, join: str, *, more: str = "", **options: object) -> Node:
    """A step that leads to one task for each item; `items` is a statement's right-hand side."""
    before = (*options.pop("before", ()), f"self.items = {items}")  # type: ignore[misc]
    return Node(
        name=name,
        next=f'self.next(self.{target}, foreach="items"{more})',
        targets=(target,),
        kind="foreach",
        closed_by=join,
        before=before,
        **options,  # type: ignore[arg-type]
    )


def _switch(name: str, choice: str, **cases: str) -> Node:
    """A step that leads to the step that `choice`, an expression, names."""
    return _switching(name, choice, cases)


def _switching(name: str, choice: str, cases: Mapping[str, str], **options: object) -> Node:
    table = ", ".join(f'"{case}": self.{target}' for case, target in cases.items())
    return Node(
        name=name,
        next=f'self.next({{{table}}}, condition="choice")',
        targets=tuple(dict.fromkeys(cases.values())),
        kind="switch",
        after=(f"self.choice = {choice}",),
        **options,  # type: ignore[arg-type]
    )


def _end(name: str = "end", **options: object) -> Node:
    return Node(name=name, **options)  # type: ignore[arg-type]


_COUNT = ("self.round = getattr(self, 'round', 0) + 1",)


def _graphs() -> Iterator[Graph]:
    yield Graph(name="one_step", nodes=(_end("only"),))
    yield Graph(name="linear", nodes=(_to("start", "a"), _to("a", "b"), _to("b", "end"), _end()))
    yield Graph(
        name="marked_ends",
        nodes=(_to("first", "middle", mark="start=True"), _to("middle", "last"), _end("last", mark="end=True")),
    )
    yield Graph(
        name="branch",
        nodes=(_to("start", "a", "b"), _to("a", "join"), _to("b", "join"), _to("join", "end", join=True), _end()),
    )
    yield Graph(
        name="nested_branch",
        nodes=(
            _to("start", "a", "b"),
            _to("a", "c", "d"),
            _to("b", "join"),
            _to("c", "inner"),
            _to("d", "inner"),
            _to("inner", "join", join=True),
            _to("join", "end", join=True),
            _end(),
        ),
    )
    yield Graph(
        name="branch_straight_into_join",
        nodes=(_to("start", "a", "join"), _to("a", "join"), _to("join", "end", join=True), _end()),
    )
    yield Graph(
        name="foreach",
        nodes=(
            _foreach("start", "item", "['x', 'y', 'z']", "join"),
            _to("item", "join"),
            _to("join", "end", join=True),
            _end(),
        ),
    )
    yield Graph(
        name="foreach_over_generator",
        nodes=(
            Node(
                name="start",
                next="self.next(self.item, foreach=({'n': n} for n in range(3)))",
                targets=("item",),
                kind="foreach",
                closed_by="join",
            ),
            _to("item", "join"),
            _to("join", "end", join=True),
            _end(),
        ),
    )
    yield Graph(
        name="empty_foreach",
        nodes=(_foreach("start", "item", "[]", "join"), _to("item", "join"), _to("join", "end", join=True), _end()),
        idle=("item",),
    )
    yield Graph(
        name="nested_foreach",
        nodes=(
            _foreach("start", "outer", "[2, 0, 3]", "join"),
            _foreach("outer", "item", "list(range(self.input))", "inner"),
            _to("item", "deeper"),
            _to("deeper", "inner"),
            _to("inner", "join", join=True),
            _to("join", "end", join=True),
            _end(),
        ),
        control=("items",),
    )
    yield Graph(
        name="three_foreaches",
        nodes=(
            _foreach("start", "a", "['l', 'r']", "join"),
            _foreach("a", "b", "[1, 2]", "join_a"),
            _foreach("b", "c", "(self.input, 7)", "join_b"),
            _to("c", "join_b"),
            _to("join_b", "join_a", join=True),
            _to("join_a", "join", join=True),
            _to("join", "end", join=True),
            _end(),
        ),
        control=("items",),
    )
    yield Graph(
        name="wide_foreach",
        nodes=(
            _foreach("start", "item", "list(range(1000))", "join"),
            _to("item", "join", decorators=('isolation(reuse="auto")',)),
            _to("join", "end", join=True),
            _end(),
        ),
    )
    yield Graph(
        name="collect",
        nodes=(
            _foreach("start", "item", "[1, 0, 2]", "join", more=', on_error="collect"'),
            _to("item", "more", before=("self.share = 6 / self.input",)),
            _to("more", "join"),
            _to("join", "end", join=True),
            _end(),
        ),
        control=("share",),
        collected=("item", "more"),
    )
    yield Graph(
        name="switch",
        nodes=(
            _switch("start", "'right'", left="a", right="b"),
            _to("a", "after"),
            _to("b", "after"),
            _to("after", "end"),
            _end(),
        ),
        idle=("a",),
    )
    yield Graph(
        name="nested_switch",
        nodes=(
            _switch("start", "'in'", out="other", **{"in": "inner"}),
            _switch("inner", "'two'", one="a", two="b", three="after"),
            _to("a", "after"),
            _to("b", "after"),
            _to("other", "after"),
            _to("after", "end"),
            _end(),
        ),
        idle=("a", "other"),
    )
    yield Graph(
        name="switch_in_foreach",
        nodes=(
            _foreach("start", "item", "[1, 2, 3]", "join"),
            _switch("item", "'odd' if self.input % 2 else 'even'", odd="a", even="b"),
            _to("a", "join"),
            _to("b", "more"),
            _to("more", "join"),
            _to("join", "end", join=True),
            _end(),
        ),
        control=("choice",),
    )
    yield Graph(
        name="foreach_in_switch",
        nodes=(
            _switch("start", "'wide'", wide="split", narrow="a"),
            _foreach("split", "item", "[10, 20]", "join"),
            _to("item", "join"),
            _to("join", "after", join=True),
            _to("a", "after"),
            _to("after", "end"),
            _end(),
        ),
        idle=("a",),
    )
    yield Graph(
        name="switch_into_join",
        nodes=(
            _to("start", "a", "b"),
            _switch("a", "'direct'", direct="join", detour="c"),
            _to("b", "join"),
            _to("c", "join"),
            _to("join", "end", join=True),
            _end(),
        ),
        idle=("c",),
        control=("choice",),
    )
    yield Graph(
        name="loop",
        nodes=(
            _to("start", "work"),
            _to("work", "check", before=_COUNT),
            _switch("check", "'again' if self.round < 3 else 'done'", again="work", done="end"),
            _end(),
        ),
    )
    yield Graph(
        name="self_loop",
        nodes=(
            _to("start", "work"),
            _switching(
                "work", "'again' if self.round < 3 else 'done'", {"again": "work", "done": "end"}, before=_COUNT
            ),
            _end(),
        ),
    )
    yield Graph(
        name="nested_loop",
        nodes=(
            _to("start", "outer"),
            _to("outer", "inner", before=("self.outers = getattr(self, 'outers', 0) + 1", "self.round = 0")),
            _switching(
                "inner", "'again' if self.round < 2 else 'out'", {"again": "inner", "out": "check"}, before=_COUNT
            ),
            _switch("check", "'again' if self.outers < 2 else 'done'", again="outer", done="end"),
            _end(),
        ),
    )
    yield Graph(
        name="loop_in_foreach",
        nodes=(
            _foreach("start", "item", "[1, 3]", "join"),
            _to("item", "work"),
            _to("work", "check", before=_COUNT),
            _switch("check", "'again' if self.round < self.input else 'done'", again="work", done="leave"),
            _to("leave", "join"),
            _to("join", "end", join=True),
            _end(),
        ),
        control=("choice", "round"),
    )
    yield Graph(
        name="foreach_in_loop",
        nodes=(
            _foreach("start", "item", "list(range(1 + getattr(self, 'round', 0)))", "join"),
            _to("item", "join"),
            _switching(
                "join",
                "'again' if self.round < 3 else 'done'",
                {"again": "start", "done": "end"},
                join=True,
                before=("self.round = len(inputs)",),
            ),
            _end(),
        ),
    )
    yield Graph(
        name="branch_in_foreach",
        nodes=(
            _foreach("start", "item", "['x', 'y']", "join"),
            _to("item", "a", "b"),
            _to("a", "inner"),
            _to("b", "inner"),
            _to("inner", "join", join=True),
            _to("join", "end", join=True),
            _end(),
        ),
    )
    yield Graph(
        name="foreach_in_branch",
        nodes=(
            _to("start", "a", "b"),
            _foreach("a", "item", "[5, 6]", "inner"),
            _to("b", "join"),
            _to("item", "inner"),
            _to("inner", "join", join=True),
            _to("join", "end", join=True),
            _end(),
        ),
    )
    yield Graph(
        name="either_next",
        nodes=(
            _to("start", "choose"),
            Node(
                name="choose",
                next="if len(current.step_name) > 3:\n"
                "    self.next(self.a, self.b)\n"
                "else:\n"
                "    self.next(self.item, foreach=[1])",
                targets=("a", "b", "item"),
                kind="either",
                closed_by="join",
            ),
            _to("a", "join"),
            _to("b", "join"),
            _to("item", "join"),
            _to("join", "end", join=True),
            _end(),
        ),
        idle=("item",),
    )
    yield Graph(
        name="mixin",
        nodes=(
            _to("start", "prepare", owner="Beginning"),
            _to("prepare", "a", "b", owner="Preparing"),
            _to("a", "join"),
            _to("b", "join", owner="Preparing"),
            _to("join", "end", join=True),
            _end(owner="Beginning"),
        ),
        bases={"Preparing": "", "Beginning": "FlowSpec"},
    )


GRAPHS: Mapping[str, Graph] = {graph.name: graph for graph in _graphs()}
"""Name → shape."""
