"""What a flow looks like: as its source tells before a run, or as a run left it. One model for both styles.

Steps, calls and the constructs around them (a loop, an arm of a branch) are nodes; a node lies in at most one other.
What repeats is folded: a loop's body, the items of a map and of a foreach are there once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any, Literal

from dovetail.interfaces.dataclass import dataclass
from dovetail.interfaces.flow import FlowDescription, StepDescription, Transition

__all__ = ["FlowGraph", "GraphEdge", "GraphNode", "NodeKind", "step_graph"]

NodeKind = Literal["flow", "step", "task", "run", "loop", "branch", "function"]
GROUPS: frozenset[str] = frozenset({"loop", "branch", "function"})
"""Kinds that only hold others: a loop, an arm of a branch, a function that is no task and calls some."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphNode:
    """A step, a call, or what lies around some."""

    id: str
    """Unique in the graph, a letter and a number."""
    kind: NodeKind
    """`flow`: the body of a `@flow` function; `step`; `task`: a call of one, or the calls that a loop or map makes;
    `run`: a call of a flow, which is a child run; `loop`, `branch` and `function` hold others."""
    name: str
    """Name of the step, task or flow; of a group what it is, such as `if score < 0.9`."""
    parent: str | None = None
    """Id of the node that it lies in, or that calls it."""
    verb: str = ""
    """Of a call: `submit` or `map`; empty for a plain one and in the graph of a run."""
    maybe: bool = False
    """Whether it depends on a condition; drawn dotted. In the graph of a run: whether it was not reached."""
    many: bool = False
    """Whether several tasks are folded into it."""
    detail: str = ""
    """What more there is to say, such as `for x in xs` or the options of the call."""
    states: Mapping[str, int] = field(default_factory=dict)
    """Of a run: state → number of tasks."""
    file: str = ""
    """Source file, as messages show it."""
    line: int = 0
    """Line of the call or definition; 0 when unknown."""

    @property
    def is_group(self) -> bool:
        """Whether it only holds others."""
        return self.kind in GROUPS

    def to_plain(self) -> dict[str, Any]:
        """This node as JSON-able data."""
        return {
            "id": self.id,
            "kind": self.kind,
            "name": self.name,
            "parent": self.parent,
            "verb": self.verb,
            "maybe": self.maybe,
            "many": self.many,
            "detail": self.detail,
            "states": dict(self.states),
            "file": self.file,
            "line": self.line,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphEdge:
    """One node before another: a transition between steps, or a value that goes from a call into a call."""

    source: str
    """Id of the node before."""
    target: str
    """Id of the node after."""
    label: str = ""
    """Of a transition: what it is taken for, such as a foreach's items or a switch's case."""
    maybe: bool = False
    """Whether it depends on a condition; drawn dotted. In the graph of a run: whether it was not taken."""

    def to_plain(self) -> dict[str, Any]:
        """This edge as JSON-able data."""
        return {"source": self.source, "target": self.target, "label": self.label, "maybe": self.maybe}


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowGraph:
    """The nodes of one flow or run, those before others first."""

    flow: str
    """Name of the flow."""
    style: Literal["class", "function"]
    """How it is written."""
    nodes: tuple[GraphNode, ...]
    """In the order of the source, or in which they began."""
    edges: tuple[GraphEdge, ...]
    """Without the calls, which `parent` tells."""
    run: str | None = None
    """Id of the run that it is of; None for a graph of the source."""
    notes: tuple[str, ...] = ()
    """What could not be told."""

    @property
    def by_id(self) -> dict[str, GraphNode]:
        """Id → node."""
        return {node.id: node for node in self.nodes}

    def to_plain(self) -> dict[str, Any]:
        """This graph as JSON-able data."""
        return {
            "flow": self.flow,
            "style": self.style,
            "run": self.run,
            "nodes": [node.to_plain() for node in self.nodes],
            "edges": [edge.to_plain() for edge in self.edges],
            "notes": list(self.notes),
        }


def step_graph(flow: FlowDescription) -> tuple[list[GraphNode], list[GraphEdge]]:
    """The steps of a class flow, in the order of a run, and what leads from one to another. A node's id is its step.

    What only one of several ways leads to is `maybe`: the cases of a switch, and of a step that calls `self.next`
    in several places each of them.
    """
    steps = flow.by_name
    around = _around(flow)
    edges: list[GraphEdge] = []
    for step in flow.steps:
        for transition in step.transitions:
            several = transition.kind == "switch" or len(step.transitions) > 1
            edges += [
                GraphEdge(source=step.name, target=target, label=_label(transition, target), maybe=several)
                for target in transition.targets
                if target in steps
            ]
    sure = _sure(flow, edges)
    nodes = [
        GraphNode(
            id=name,
            kind="step",
            name=name,
            many="foreach" in around.get(name, ()),
            maybe=name not in sure,
            detail="join" if steps[name].is_join else "",
            file=steps[name].file,
            line=steps[name].line,
        )
        for name in (*around, *(name for name in steps if name not in around))
    ]
    return nodes, edges


def _label(transition: Transition, target: str) -> str:
    if transition.kind == "foreach":
        collect = ", errors collected" if transition.on_error == "collect" else ""
        return f"for each of {transition.foreach or 'items'}{collect}"
    if transition.kind == "switch":
        return f"{transition.condition} = {', '.join(key for key, to in transition.cases.items() if to == target)}"
    return ""


def _around(flow: FlowDescription) -> dict[str, tuple[str, ...]]:
    """Step → kinds of the splits that are open around it, outermost first; steps before those that follow them."""
    steps = flow.by_name
    found: dict[str, tuple[str, ...]] = {}
    done: list[str] = []
    pending: list[tuple[str, tuple[str, ...]] | str] = [(flow.start, ())]
    while pending:
        item = pending.pop()
        if isinstance(item, str):
            done.append(item)
            continue
        name, around = item
        step: StepDescription | None = steps.get(name)
        if step is None or name in found:
            continue
        if step.is_join:
            around = around[:-1]
        found[name] = around
        pending.append(name)
        for transition in step.transitions:
            inner = (*around, transition.kind) if transition.kind in ("branch", "foreach") else around
            pending += [(target, inner) for target in transition.targets]
    return {name: found[name] for name in reversed(done)}


def _sure(flow: FlowDescription, edges: list[GraphEdge]) -> frozenset[str]:
    """Steps that every run without a failure reaches: all ways from the start to the end pass them, or a split that
    is always met leads to them."""
    after: dict[str, list[GraphEdge]] = {}
    for edge in edges:
        after.setdefault(edge.source, []).append(edge)

    def reached(without: str) -> bool:
        """Whether the end can be reached when a step is left out."""
        seen, pending = {without}, [flow.start]
        while pending:
            name = pending.pop()
            if name == flow.end and name not in seen:
                return True
            if name not in seen:
                seen.add(name)
                pending += [edge.target for edge in after.get(name, ())]
        return False

    sure = {step.name for step in flow.steps if not reached(step.name)}
    pending = list(sure)
    while pending:
        for edge in after.get(pending.pop(), ()):
            if not edge.maybe and edge.target not in sure:
                sure.add(edge.target)
                pending.append(edge.target)
    return frozenset(sure)
